/* Guidance at work; see guiding.h. */
#include "model/guiding.h"

#include <stdlib.h>

enum { X0, EPS, OUT, FORMS };

struct dm_guiding {
    dm_instance plugin;
    dm_device *device;
    dm_tensor guess[DM_OF_COUNT][FORMS], result[FORMS];
    int64_t n, inner;
};

bool dm_guiding_wanted(const dm_experiment *e)
{
    const dm_plugin *p = e->section[DM_SEC_GUIDANCE].plugin;

    return p && p->guidance->guide;
}

static dm_status check_guesses(const dm_plugin *p, const dm_experiment *e, const dm_guiding_facts *f, dm_err *err)
{
    const bool none = p->guidance->uses & DM_USES(DM_OF_NONE), guide = p->guidance->uses & DM_USES(DM_OF_GUIDE);

    if (none && !f->takes_none)
        return dm_error(err, DM_EINVAL, "needs a prediction without a class; %s",
                        f->conditions        ? "the model is trained with train.drop_condition = 0; 0.1 is usual"
                        : !f->classes       ? "the data has no classes"
                        : !f->reads_classes ? "the network reads no classes"
                                            : "the model is trained with train.drop_condition = 0; 0.1 is usual");
    if (guide && !*e->guidance.guide)
        return dm_error(err, DM_EINVAL, "guide: guidance '%s' needs another model, a run or a checkpoint", p->name);
    if (!guide && *e->guidance.guide)
        return dm_error(err, DM_EINVAL, "guide: guidance '%s' uses no other model", p->name);
    return DM_OK;
}

dm_status dm_guiding_check(const dm_experiment *e, const dm_guiding_facts *f, dm_err *err)
{
    const dm_section *s = &e->section[DM_SEC_GUIDANCE];
    const dm_guidance *g = s->plugin ? s->plugin->guidance : NULL;
    dm_services services;
    dm_instance i;
    dm_status rc;

    if (!g || (rc = check_guesses(s->plugin, e, f, err)) || !g->check)
        return g ? rc : DM_OK;
    dm_services_init(&services, &e->plugin_log);
    if (!(rc = dm_instance_init(&i, s->plugin, s->cfg, &services, err)))
        rc = DM_CALL(&i, DM_CB_GUIDANCE_CHECK, err, g->check(&i.ctx));
    dm_instance_fini(&i);
    return rc;
}

static dm_status allocate(dm_guiding *g, dm_tensor *t, const dm_shape *shape, dm_err *err)
{
    t->shape = *shape;
    return dm_buf_new(g->device, (size_t)dm_shape_count(shape) * sizeof(float), "guidance", &t->buf, err);
}

dm_status dm_guiding_new(const dm_experiment *e, dm_services *services, dm_device *device, const dm_shape *shape,
                         dm_guiding **out, dm_err *err)
{
    const dm_section *s = &e->section[DM_SEC_GUIDANCE];
    const uint32_t writes = s->plugin->guidance->writes;
    const bool written[FORMS] = {
        [X0] = writes != DM_GUIDES_OUT, [EPS] = writes == DM_GUIDES_X0_AND_EPS, [OUT] = writes == DM_GUIDES_OUT};
    dm_guiding *g = calloc(1, sizeof *g);
    dm_status rc;

    if (!g)
        return dm_error(err, DM_ENOMEM, "out of memory for guidance");
    g->device = device;
    g->n = shape->dim[0];
    g->inner = dm_shape_count(shape) / g->n;
    rc = dm_instance_init(&g->plugin, s->plugin, s->cfg, services, err);
    for (int k = 0; k < FORMS && device; k++) {
        for (int of = 0; of < DM_OF_COUNT && !rc; of++)
            if (s->plugin->guidance->uses & DM_USES(of))
                rc = allocate(g, &g->guess[of][k], shape, err);
        if (!rc && written[k])
            rc = allocate(g, &g->result[k], shape, err);
    }
    if (rc)
        dm_guiding_free(g);
    else
        *out = g;
    return rc;
}

void dm_guiding_free(dm_guiding *g)
{
    if (!g)
        return;
    dm_instance_fini(&g->plugin);
    for (int k = 0; k < FORMS; k++) {
        for (int of = 0; of < DM_OF_COUNT; of++)
            dm_buf_free(g->guess[of][k].buf);
        dm_buf_free(g->result[k].buf);
    }
    free(g);
}

const dm_plugin *dm_guiding_plugin(const dm_guiding *g) { return g->plugin.plugin; }

dm_status dm_guiding_begin(dm_guiding *g, const dm_tensor *x, dm_err *err)
{
    const dm_guidance *p = g->plugin.plugin->guidance;

    return p->begin ? DM_CALL(&g->plugin, DM_CB_GUIDANCE_BEGIN, err, p->begin(&g->plugin.ctx, x)) : DM_OK;
}

dm_status dm_guiding_at(dm_guiding *g, const dm_point *p, bool *on, dm_err *err)
{
    const dm_guidance *plugin = g->plugin.plugin->guidance;

    *on = true;
    return plugin->at ? DM_CALL(&g->plugin, DM_CB_GUIDANCE_AT, err, plugin->at(&g->plugin.ctx, p, on)) : DM_OK;
}

/* A prediction as x0 and eps, and the first channels of the output, those of the data, by themselves. */
static dm_status make_guess(dm_guiding *g, const dm_said *said, dm_tensor *t, dm_err *err)
{
    dm_predict_args a = {.x = said->x, .F = said->F, .n = g->n, .inner = g->inner, .stride = said->stride,
                         .c_skip = said->is.c_skip, .c_out = said->is.c_out, .alpha = said->at.alpha,
                         .sigma = said->at.sigma, .x0 = t[X0].buf, .eps = t[EPS].buf};
    const dm_status rc = dm_launch_predict(g->device, &a, err);

    if (rc)
        return rc;
    a.c_skip = 0;
    a.c_out = 1;
    a.x0 = t[OUT].buf;
    a.eps = NULL;
    return dm_launch_predict(g->device, &a, err);
}

dm_status dm_guiding_run(dm_guiding *g, const dm_tensor *x, const dm_said said[DM_OF_COUNT], dm_predict_args *a,
                         dm_buf **eps, dm_err *err)
{
    const dm_guidance *plugin = g->plugin.plugin->guidance;
    dm_guess of[DM_OF_COUNT] = {{NULL, NULL, NULL}};
    dm_guided guided = {.size = sizeof guided, .n = DM_OF_COUNT, .p = &said[DM_OF_CLASS].at, .x = x, .of = of};
    dm_tensor *const to[FORMS] = {&g->result[X0], &g->result[EPS], &g->result[OUT]};
    dm_status rc;

    for (int k = 0; k < DM_OF_COUNT; k++) {
        if (!(plugin->uses & DM_USES(k)))
            continue;
        if ((rc = make_guess(g, &said[k], g->guess[k], err)))
            return rc;
        of[k] = (dm_guess){&g->guess[k][X0], &g->guess[k][EPS], &g->guess[k][OUT]};
    }
    guided.x0 = to[X0]->buf ? to[X0] : NULL;
    guided.eps = to[EPS]->buf ? to[EPS] : NULL;
    guided.out = to[OUT]->buf ? to[OUT] : NULL;
    for (int k = 0; k < FORMS; k++)
        to[k]->unwritten = true;
    if ((rc = DM_CALL(&g->plugin, DM_CB_GUIDE, err, plugin->guide(&g->plugin.ctx, &guided))))
        return rc;
    for (int k = 0; k < FORMS; k++)
        if (to[k]->buf && to[k]->unwritten)
            return dm_error(err, DM_EINVAL, "plugin '%s': guide() did not write its result, %s, as .writes says",
                            g->plugin.plugin->name, (const char *const[]){"x0", "eps", "out"}[k]);
    a->stride = g->inner;
    a->F = plugin->writes == DM_GUIDES_OUT ? to[OUT]->buf : to[X0]->buf;
    if (plugin->writes != DM_GUIDES_OUT) {
        a->c_skip = 0;
        a->c_out = 1;
    }
    *eps = plugin->writes == DM_GUIDES_X0_AND_EPS ? to[EPS]->buf : NULL;
    return DM_OK;
}
