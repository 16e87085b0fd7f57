/* What the work-items of one group of each kernel read and write, for tools/gpu-roofline. Preloaded, it has OpenCL run
 * the first group alone of a kernel's first GPU_TRACE_LAUNCHES sizes; as a plugin of Oclgrind 21.10, it writes their
 * accesses to GPU_TRACE:
 *   kernel KEY NAME ITEMS          the key of as_gpu.c's sources
 *   at SPACE BYTES TIMES           an instruction: global or local, bytes at once, how often all items ran it
 *   round ITEM:ADDRESS...          its first rounds (ROUNDS of global memory): which item accessed what
 * Debian has no headers of Oclgrind, so the part of its interface that this takes is declared here. */
#include <dlfcn.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include <CL/cl.h>

namespace llvm {
class Instruction;
}

namespace oclgrind {

struct Size3 { size_t x, y, z; };
struct TypedValue;
enum AtomicOp : int;
enum MessageType : int;
class Plugin;
class WorkGroup;

struct Context {
    void registerPlugin(Plugin *plugin);
    void unregisterPlugin(Plugin *plugin);
};
struct Memory { unsigned getAddressSpace() const; };
struct Program {
    const std::string &getSource() const;
    const std::string &getBuildOptions() const;
};
struct Kernel {
    const std::string &getName() const;
    const Program *getProgram() const;
};
struct KernelInvocation {
    const Kernel *getKernel() const;
    Size3 getLocalSize() const;
};
struct WorkItem {
    const llvm::Instruction *getCurrentInstruction() const;
    Size3 getLocalID() const;
};

/* Every virtual function in its place; only some are overridden. */
class Plugin {
public:
    explicit Plugin(const Context *context);
    virtual ~Plugin();
    virtual void hostMemoryLoad(const Memory *, size_t, size_t);
    virtual void hostMemoryStore(const Memory *, size_t, size_t, const uint8_t *);
    virtual void instructionExecuted(const WorkItem *, const llvm::Instruction *, const TypedValue &);
    virtual void kernelBegin(const KernelInvocation *);
    virtual void kernelEnd(const KernelInvocation *);
    virtual void log(MessageType, const char *);
    virtual void memoryAllocated(const Memory *, size_t, size_t, cl_mem_flags, const uint8_t *);
    virtual void memoryAtomicLoad(const Memory *, const WorkItem *, AtomicOp, size_t, size_t);
    virtual void memoryAtomicStore(const Memory *, const WorkItem *, AtomicOp, size_t, size_t);
    virtual void memoryDeallocated(const Memory *, size_t);
    virtual void memoryLoad(const Memory *, const WorkItem *, size_t, size_t);
    virtual void memoryLoad(const Memory *, const WorkGroup *, size_t, size_t);
    virtual void memoryMap(const Memory *, size_t, size_t, size_t, cl_map_flags);
    virtual void memoryStore(const Memory *, const WorkItem *, size_t, size_t, const uint8_t *);
    virtual void memoryStore(const Memory *, const WorkGroup *, size_t, size_t, const uint8_t *);
    virtual void memoryUnmap(const Memory *, size_t, const void *);
    virtual void workGroupBarrier(const WorkGroup *, uint32_t);
    virtual void workGroupBegin(const WorkGroup *);
    virtual void workGroupComplete(const WorkGroup *);
    virtual void workItemBegin(const WorkItem *);
    virtual void workItemComplete(const WorkItem *);
    virtual bool isThreadSafe() const;

protected:
    const Context *context;
};

} // namespace oclgrind

using namespace oclgrind;

namespace {

enum { GLOBAL = 1, LOCAL = 3, ROUNDS = 64, LOCAL_ROUNDS = 8 };

/* An instruction that accesses memory. Loads and stores of a builtin are apart; a vector is one access. */
struct Place {
    const llvm::Instruction *instruction;
    bool store;
    unsigned space;
    size_t bytes;

    bool operator<(const Place &o) const
    {
        return std::tie(instruction, store, space, bytes) < std::tie(o.instruction, o.store, o.space, o.bytes);
    }
};

struct Accesses {
    size_t times = 0;
    std::map<size_t, size_t> of_item;                             /* how often each ran it */
    std::vector<std::pair<size_t, size_t>> rounds[ROUNDS];        /* item, address */
};

class Trace : public Plugin {
public:
    Trace(const Context *c, FILE *to) : Plugin(c), to(to) {}
    ~Trace() override { fclose(to); }
    bool isThreadSafe() const override { return false; }

    void kernelBegin(const KernelInvocation *k) override
    {
        group = k->getLocalSize();
        places.clear();
        order.clear();
    }

    void kernelEnd(const KernelInvocation *k) override
    {
        const Kernel *kernel = k->getKernel();
        const Program *p = kernel->getProgram();
        unsigned long long hash = 14695981039346656037u;

        for (const std::string *text : {&p->getSource(), &p->getBuildOptions()})
            for (unsigned char c : *text)
                hash = (hash ^ c) * 1099511628211u;
        fprintf(to, "kernel %016llx %s %zu\n", hash, kernel->getName().c_str(), group.x * group.y * group.z);
        for (const Place &at : order)
            write(at, places[at]);
        fflush(to);
    }

    void memoryLoad(const Memory *m, const WorkItem *w, size_t address, size_t size) override
    {
        add(m, w, address, size, false);
    }
    void memoryStore(const Memory *m, const WorkItem *w, size_t address, size_t size, const uint8_t *) override
    {
        add(m, w, address, size, true);
    }
    using Plugin::memoryLoad;
    using Plugin::memoryStore;

private:
    void add(const Memory *m, const WorkItem *w, size_t address, size_t size, bool store)
    {
        const unsigned space = m->getAddressSpace();
        const Place at{w->getCurrentInstruction(), store, space, size};
        const Size3 id = w->getLocalID();
        const size_t item = (id.z * group.y + id.y) * group.x + id.x;

        if (space != GLOBAL && space != LOCAL)
            return;
        if (!places.count(at))
            order.push_back(at);
        Accesses &a = places[at];
        const size_t round = a.of_item[item]++;

        a.times++;
        if (round < (space == GLOBAL ? ROUNDS : LOCAL_ROUNDS))
            a.rounds[round].emplace_back(item, address);
    }

    void write(const Place &at, const Accesses &a)
    {
        fprintf(to, "at %s %zu %zu\n", at.space == GLOBAL ? "global" : "local", at.bytes, a.times);
        for (const auto &round : a.rounds) {
            if (round.empty())
                break;
            fputs("round", to);
            for (const auto &access : round)
                fprintf(to, " %zu:%zu", access.first, access.second);
            fputc('\n', to);
        }
    }

    FILE *to;
    Size3 group{};
    std::map<Place, Accesses> places;
    std::vector<Place> order;
};

Trace *trace;

} // namespace

extern "C" {

void initializePlugins(Context *context)
{
    const char *name = getenv("GPU_TRACE");
    FILE *to = name ? fopen(name, "a") : nullptr;

    if (to && !trace)
        context->registerPlugin(trace = new Trace(context, to));
}

void releasePlugins(Context *context)
{
    context->unregisterPlugin(trace);
    delete trace;
    trace = nullptr;
}

/* A driver takes groups of its own where none is asked for: here 64 items of the first dimension. */
cl_int clEnqueueNDRangeKernel(cl_command_queue q, cl_kernel k, cl_uint dim, const size_t *offset, const size_t *global,
                              const size_t *local, cl_uint n, const cl_event *wait, cl_event *event)
{
    static std::map<std::string, std::set<std::vector<size_t>>> seen;
    static const auto real = (decltype(&clEnqueueNDRangeKernel))dlsym(RTLD_NEXT, "clEnqueueNDRangeKernel");
    const char *launches = getenv("GPU_TRACE_LAUNCHES");
    size_t group[3] = {global[0] < 64 ? global[0] : 64, 1, 1};
    char name[256] = "";
    cl_program program = nullptr;

    if (!launches)
        return real(q, k, dim, offset, global, local, n, wait, event);
    clGetKernelInfo(k, CL_KERNEL_FUNCTION_NAME, sizeof name, name, nullptr);
    clGetKernelInfo(k, CL_KERNEL_PROGRAM, sizeof program, &program, nullptr);
    auto &sizes = seen[name + std::to_string((uintptr_t)program)];
    if (!sizes.insert(std::vector<size_t>(global, global + dim)).second ||
        sizes.size() > strtoul(launches, nullptr, 10))
        return clEnqueueMarkerWithWaitList(q, n, wait, event);
    if (local)
        memcpy(group, local, dim * sizeof *local);
    return real(q, k, dim, offset, group, group, n, wait, event);
}
}
