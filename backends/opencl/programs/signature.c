/* What the arguments of a kernel take, from the driver or, for a program that came from the cache,
 * from the text that was kept with it: a line a kernel, "name", then for each argument a tab, a
 * letter for its kind and its type. */
#include "opencl/programs/programs.h"

#include <stdlib.h>
#include <string.h>

enum { MAX_KERNELS = 256 };

static const char letters[] = "?blfiov"; /* in the order of ocl_arg */

static ocl_arg kind_of(cl_kernel_arg_address_qualifier q, const char *type)
{
    if (q == CL_KERNEL_ARG_ADDRESS_GLOBAL || q == CL_KERNEL_ARG_ADDRESS_CONSTANT)
        return OCL_ARG_BUF;
    if (q == CL_KERNEL_ARG_ADDRESS_LOCAL)
        return OCL_ARG_LOCAL;
    if (!strcmp(type, "float"))
        return OCL_ARG_F32;
    if (!strcmp(type, "int") || !strcmp(type, "uint") || !strcmp(type, "unsigned int"))
        return OCL_ARG_I32;
    return strcmp(type, "int4") ? OCL_ARG_OTHER : OCL_ARG_I32X4;
}

/* OCL_ARG_ANY and "" where the driver does not tell. */
static ocl_arg ask(cl_kernel k, cl_uint i, char *type, size_t size)
{
    cl_kernel_arg_address_qualifier q;
    char full[128] = "";

    type[0] = 0;
    if (clGetKernelArgInfo(k, i, CL_KERNEL_ARG_ADDRESS_QUALIFIER, sizeof q, &q, NULL) != CL_SUCCESS ||
        clGetKernelArgInfo(k, i, CL_KERNEL_ARG_TYPE_NAME, sizeof full - 1, full, NULL) != CL_SUCCESS)
        return OCL_ARG_ANY;
    snprintf(type, size, "%s", full);
    return kind_of(q, full);
}

static bool add_signature(cl_kernel k, ocl_text *out)
{
    char name[256] = "", type[24];
    cl_uint n = 0;

    if (clGetKernelInfo(k, CL_KERNEL_FUNCTION_NAME, sizeof name - 1, name, NULL) != CL_SUCCESS ||
        clGetKernelInfo(k, CL_KERNEL_NUM_ARGS, sizeof n, &n, NULL) != CL_SUCCESS || !ocl_text_print(out, "%s", name))
        return false;
    for (cl_uint i = 0; i < n; i++) {
        const ocl_arg kind = ask(k, i, type, sizeof type);

        if (!ocl_text_print(out, "\t%c%s", letters[kind], type))
            return false;
    }
    return ocl_text_add(out, "\n", 1);
}

bool ocl_signatures(cl_program p, ocl_text *out)
{
    cl_kernel all[MAX_KERNELS];
    cl_uint n = 0;
    bool ok;

    if (clCreateKernelsInProgram(p, MAX_KERNELS, all, &n) != CL_SUCCESS)
        return false;
    ok = ocl_text_add(out, "", 0);
    for (cl_uint i = 0; i < n && i < MAX_KERNELS; i++) {
        ok = ok && add_signature(all[i], out);
        clReleaseKernel(all[i]);
    }
    return ok;
}

/* The kernel's line, after its name. */
static const char *find_line(const char *signatures, const char *name)
{
    const size_t n = strlen(name);

    for (const char *p = signatures; *p;) {
        const char *nl = strchr(p, '\n');

        if (!strncmp(p, name, n) && (p[n] == '\t' || p[n] == '\n'))
            return p + n;
        if (!nl)
            break;
        p = nl + 1;
    }
    return NULL;
}

static void read_signature(dm_kernel *k)
{
    const char *p = find_line(k->program->signatures, k->name);

    for (int i = 0; p && *p == '\t' && i < k->n_args; i++) {
        const char *letter = p[1] ? strchr(letters, p[1]) : NULL;
        const size_t n = strcspn(p + 1, "\t\n");

        if (!letter)
            return;
        k->args[i] = (ocl_arg)(letter - letters);
        snprintf(k->types[i], sizeof k->types[i], "%.*s", (int)(n - 1), p + 2);
        p += 1 + n;
    }
}

dm_status ocl_kernel_describe(dm_kernel *k, dm_err *err)
{
    cl_uint n = 0;
    const cl_int code = clGetKernelInfo(k->cl, CL_KERNEL_NUM_ARGS, sizeof n, &n, NULL);

    if (code != CL_SUCCESS)
        return ocl_error(k->d, code, "clGetKernelInfo", k->name, err);
    if (n > OCL_MAX_ARGS)
        return dm_error(err, DM_EINVAL, "kernel '%s' of '%s' has %u arguments; at most %d are allowed", k->name,
                        k->program->id, n, OCL_MAX_ARGS);
    k->n_args = (int)n;
    for (cl_uint i = 0; i < n; i++)
        k->args[i] = ask(k->cl, i, k->types[i], sizeof k->types[i]);
    if (k->program->signatures)
        read_signature(k);
    k->max_group = k->d->info.max_group;
    clGetKernelWorkGroupInfo(k->cl, k->d->id, CL_KERNEL_COMPILE_WORK_GROUP_SIZE, sizeof k->group, k->group, NULL);
    clGetKernelWorkGroupInfo(k->cl, k->d->id, CL_KERNEL_WORK_GROUP_SIZE, sizeof k->max_group, &k->max_group, NULL);
    clGetKernelWorkGroupInfo(k->cl, k->d->id, CL_KERNEL_LOCAL_MEM_SIZE, sizeof k->local_mem, &k->local_mem, NULL);
    return DM_OK;
}
