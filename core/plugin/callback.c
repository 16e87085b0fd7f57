/* Which callback each thread is in; see callback.h. */
#include "plugin/callback.h"

#include "plugin/instance.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>

/* step -> predict -> affine; loss -> network -> build -> the op's shape. */
enum { MAX_DEPTH = 8 };

typedef struct call { const dm_instance *instance; dm_callback which; dm_err *why; } call;
/* A thread's calls. In the list while there is one; what the list's readers see changes under its lock alone, but for
 * the time. */
typedef struct calls {
    call at[MAX_DEPTH];
    int depth;
    _Atomic int64_t since;         /* of the last sign of progress, ns; 0 while the host works */
    struct calls *next, *previous;
} calls;

static _Thread_local calls mine;
static struct { pthread_mutex_t lock; calls *first; } all = {.lock = PTHREAD_MUTEX_INITIALIZER};

static const char *const names[DM_CB_COUNT] = {
    [DM_CB_NONE] = "no callback",
    [DM_CB_FILL] = "fill()",
    [DM_CB_AT] = "at()",
    [DM_CB_GRID_STEPS] = "steps()",
    [DM_CB_GRID_FILL] = "fill()",
    [DM_CB_GUIDANCE_CHECK] = "check()",
    [DM_CB_GUIDANCE_AT] = "at()",
    [DM_CB_GUIDANCE_BEGIN] = "begin()",
    [DM_CB_GUIDE] = "guide()",
    [DM_CB_CHECK] = "check()",
    [DM_CB_BEGIN] = "begin()",
    [DM_CB_STEP] = "step()",
    [DM_CB_STEP_LOG_VAR] = "log_var()",
    [DM_CB_BUILD] = "build()",
    [DM_CB_DATA_OPEN] = "open()",
    [DM_CB_READ] = "read()",
    [DM_CB_DATA_SHAPE] = "shape()",
    [DM_CB_NAME] = "name()",
    [DM_CB_CLASS_NAME] = "class_name()",
    [DM_CB_READ_CONDITION] = "read_condition()",
    [DM_CB_OPEN] = "open()",
    [DM_CB_AFFINE] = "affine()",
    [DM_CB_LOG_VAR] = "log_var()",
    [DM_CB_SCALARS] = "scalars()",
    [DM_CB_LOSS] = "loss()",
    [DM_CB_DRAW] = "draw()",
    [DM_CB_OP_SHAPE] = "the op's shape()",
    [DM_CB_FORWARD] = "the op's forward()",
    [DM_CB_BACKWARD] = "the op's backward()",
    [DM_CB_CLOSE] = "close()",
};

const char *dm_callback_name(dm_callback c) { return names[c]; }

static int64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void link_mine(void)
{
    mine.next = all.first;
    mine.previous = NULL;
    if (all.first)
        all.first->previous = &mine;
    all.first = &mine;
}

static void unlink_mine(void)
{
    if (mine.next)
        mine.next->previous = mine.previous;
    if (mine.previous)
        mine.previous->next = mine.next;
    else
        all.first = mine.next;
}

static int top(const calls *c) { return (c->depth < MAX_DEPTH ? c->depth : MAX_DEPTH) - 1; }
static call *innermost(void) { return mine.depth ? &mine.at[top(&mine)] : NULL; }

void dm_call_enter(const dm_instance *i, dm_callback which, dm_err *why)
{
    *why = (dm_err){.code = DM_OK};
    pthread_mutex_lock(&all.lock);
    if (!mine.depth)
        link_mine();
    if (mine.depth < MAX_DEPTH)
        mine.at[mine.depth] = (call){i, which, why};
    mine.depth++;
    atomic_store_explicit(&mine.since, now(), memory_order_relaxed);
    pthread_mutex_unlock(&all.lock);
}

dm_status dm_call_leave(dm_status rc, dm_err *err)
{
    const call c = *innermost();

    pthread_mutex_lock(&all.lock);
    mine.depth--;
    if (!mine.depth)
        unlink_mine();
    atomic_store_explicit(&mine.since, 0, memory_order_relaxed); /* an outer call waits for the host */
    pthread_mutex_unlock(&all.lock);
    if (c.why->code && c.why->msg[0]) /* dm_fail is a failure, whatever is returned then */
        return dm_error(err, c.why->code, "plugin '%s': %.960s", c.instance->plugin->name, c.why->msg);
    if (rc == DM_OK)
        return DM_OK;
    if (strcmp(dm_status_name(rc), "unknown status"))
        return dm_error(err, rc, "plugin '%s': %s failed (%s) and gave no reason; `return dm_fail(...)` gives one",
                        c.instance->plugin->name, names[c.which], dm_status_name(rc));
    return dm_error(err, DM_EINVAL,
                    "plugin '%s': %s returned %d, which is not a dm_status; return DM_OK, or `return dm_fail(...)`",
                    c.instance->plugin->name, names[c.which], (int)rc);
}

const dm_instance *dm_call_instance(void) { return mine.depth ? innermost()->instance : NULL; }
dm_callback dm_call_which(void) { return mine.depth ? innermost()->which : DM_CB_NONE; }

void dm_call_host_enter(void) { atomic_store_explicit(&mine.since, 0, memory_order_relaxed); }
void dm_call_host_leave(void) { atomic_store_explicit(&mine.since, now(), memory_order_relaxed); }

void dm_call_progress(void)
{
    if (atomic_load_explicit(&mine.since, memory_order_relaxed)) /* 0: the host is at work */
        dm_call_host_leave();
}

static void describe(const call *c, dm_call_info *out)
{
    *out = (dm_call_info){.plugin = c->instance->plugin->name, .kind = c->instance->kind, .file = c->instance->file,
                          .callback = names[c->which], .settings = c->instance->settings};
}

bool dm_call_here(dm_call_info *out)
{
    const call *c = innermost();

    if (c)
        describe(c, out);
    return c != NULL;
}

bool dm_call_stuck(double seconds, char *what, size_t n)
{
    dm_call_info at;
    const int64_t latest = now() - (int64_t)(seconds * 1e9);
    bool found = false;

    pthread_mutex_lock(&all.lock);
    for (const calls *t = all.first; t && !found; t = t->next) {
        const int64_t since = atomic_load_explicit(&t->since, memory_order_relaxed);

        if ((found = since && since < latest)) {
            describe(&t->at[top(t)], &at);
            snprintf(what, n, "%s plugin '%s' is in %s with {%s}", at.kind, at.plugin, at.callback, at.settings);
        }
    }
    pthread_mutex_unlock(&all.lock);
    return found;
}

bool dm_call_anywhere(dm_callback which)
{
    bool found = false;

    pthread_mutex_lock(&all.lock);
    for (const calls *t = all.first; t && !found; t = t->next)
        for (int i = 0; i <= top(t) && !found; i++)
            found = t->at[i].which == which;
    pthread_mutex_unlock(&all.lock);
    return found;
}
