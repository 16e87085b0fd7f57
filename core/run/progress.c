/* Progress on a stream; see progress.h. */
#include "run/progress.h"

#include "base/clock.h"
#include "text/number.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { WIDEST_BAR = 30, NARROWEST_BAR = 8, STATE_ROOM = 46 }; /* columns; a state is rarely wider than its room */
static const double bar_every = 0.1, line_every = 10, forget = 10; /* seconds */

struct dm_progress {
    dm_progress_setup s;
    bool on_line;                  /* the bar stands on the current line */
    int64_t done, drawn_step, rated;
    double loss, began, drawn, rated_at, rate; /* steps a second, smoothed over `forget` */
};

static double now(const dm_progress *p)
{
    return p->s.clock ? p->s.clock(p->s.user) : dm_seconds();
}

dm_progress_mode dm_progress_choose(FILE *to, bool colour)
{
    const char *term = getenv("TERM");

    if (!isatty(fileno(to)) || !term || strcmp(term, "dumb") == 0)
        return DM_PROGRESS_PLAIN;
    return colour ? DM_PROGRESS_COLOUR : DM_PROGRESS_BAR;
}

static dm_progress_mode choose(FILE *to)
{
    const char *plain = getenv("NO_COLOR");

    return dm_progress_choose(to, !(plain && *plain));
}

dm_progress *dm_progress_new(const dm_progress_setup *s)
{
    dm_progress *p = calloc(1, sizeof *p);

    if (!p)
        return NULL;
    p->s = *s;
    if (s->mode == DM_PROGRESS_AUTO)
        p->s.mode = choose(s->to);
    p->done = p->rated = s->first;
    p->drawn_step = -1;
    p->loss = NAN;
    p->began = p->rated_at = p->drawn = now(p);
    return p;
}

static void update_rate(dm_progress *p, double t)
{
    const double dt = t - p->rated_at;

    if (dt < bar_every || p->done <= p->rated)
        return;
    const double r = (double)(p->done - p->rated) / dt, keep = p->rate > 0 ? exp(-dt / forget) : 0;
    p->rate = keep * p->rate + (1 - keep) * r;
    p->rated = p->done;
    p->rated_at = t;
}

static void print_time(char *to, size_t n, double seconds)
{
    const long long s = seconds < 8640000 ? (long long)(seconds + 0.5) : 8640000;

    if (s >= 3600)
        snprintf(to, n, "%lld:%02lld:%02lld", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(to, n, "%lld:%02lld", s / 60, s % 60);
}

/* ", loss 0.0431, 512 images/s, 1:23 left" */
static void print_state(const dm_progress *p, char *to, size_t n)
{
    const double rate = p->rate * p->s.per_step;
    char left[32];
    int at = 0;

    to[0] = 0;
    if (!isnan(p->loss))
        at += snprintf(to, n, ", loss %.4g", p->loss);
    if (p->rate <= 0)
        return;
    at += snprintf(to + at, n - (size_t)at, rate < 10 ? ", %.2g %s" : ", %.0f %s", rate, p->s.unit);
    print_time(left, sizeof left, (double)(p->s.total - p->done) / p->rate);
    if (p->done < p->s.total && (size_t)at < n)
        snprintf(to + at, n - (size_t)at, ", %s left", left);
}

static int columns(const dm_progress *p)
{
    struct winsize w;

    if (p->s.width)
        return p->s.width;
    return ioctl(fileno(p->s.to), TIOCGWINSZ, &w) == 0 && w.ws_col ? w.ws_col : 80;
}

/* "step 30/50", or "step 60%"; numbers of `digits` at least */
static int print_count(const dm_progress *p, int digits, char *to, size_t n)
{
    return p->s.percent ? snprintf(to, n, "%s %*lld%%", p->s.what, digits, (long long)p->done)
                        : snprintf(to, n, "%s %*lld/%lld", p->s.what, digits, (long long)p->done,
                                   (long long)p->s.total);
}

static void draw_bar(dm_progress *p, const char *state)
{
    const bool colour = p->s.mode == DM_PROGRESS_COLOUR;
    char count[80], bar[WIDEST_BAR + 1];
    const int most = columns(p) - 1, n = print_count(p, snprintf(NULL, 0, "%lld", (long long)p->s.total), count,
                                                     sizeof count);
    int fits, wide;

    /* Of one width whatever the numbers are, but where they leave no room for it. */
    wide = most - n - 4 - STATE_ROOM;
    wide = wide > WIDEST_BAR ? WIDEST_BAR : wide < NARROWEST_BAR ? NARROWEST_BAR : wide;
    fits = most - n - 4 - (int)strlen(state);
    wide = wide > fits ? fits : wide;
    if (wide < 5) { /* no room for a bar: what fits of the rest */
        fprintf(p->s.to, "\r%.*s\033[K", most > 0 ? most : 0, count);
    } else {
        const int full = p->s.total > 0 ? (int)((double)wide * (double)p->done / (double)p->s.total) : 0;

        for (int i = 0; i < wide; i++)
            bar[i] = i < full ? '#' : '-';
        bar[wide] = 0;
        fprintf(p->s.to, "\r%s [%s%s%s]%s\033[K", count, colour ? "\033[32m" : "", bar, colour ? "\033[0m" : "",
                *state ? state + 1 : "");
    }
    fflush(p->s.to);
    p->on_line = true;
}

static void draw_json(const dm_progress *p)
{
    char number[DM_NUMBER_TEXT];

    fprintf(p->s.to, "{\"what\": \"%s\", \"step\": %lld, \"steps\": %lld", p->s.what, (long long)p->done,
            (long long)p->s.total);
    if (p->s.percent)
        fputs(", \"percent\": true", p->s.to);
    if (isfinite(p->loss))
        fprintf(p->s.to, ", \"loss\": %s", dm_number_write(p->loss, number));
    if (p->rate > 0)
        fprintf(p->s.to, ", \"images_per_s\": %s", dm_number_write(p->rate * p->s.per_step, number));
    fputs("}\n", p->s.to);
    fflush(p->s.to);
}

static void draw(dm_progress *p, double t)
{
    char state[160], count[80];

    p->drawn = t;
    p->drawn_step = p->done;
    print_state(p, state, sizeof state);
    if (p->s.mode == DM_PROGRESS_JSON) {
        draw_json(p);
    } else if (p->s.mode == DM_PROGRESS_PLAIN) {
        print_count(p, 0, count, sizeof count);
        fprintf(p->s.to, "%s%s\n", count, state);
        fflush(p->s.to);
    } else {
        draw_bar(p, state);
    }
}

void dm_progress_step(dm_progress *p, int64_t done, double loss)
{
    double t;

    if (!p || p->s.mode == DM_PROGRESS_NONE)
        return;
    t = now(p);
    p->done = done;
    p->loss = isnan(loss) ? p->loss : loss;
    update_rate(p, t);
    if (t - p->drawn >= (p->s.mode == DM_PROGRESS_PLAIN || p->s.mode == DM_PROGRESS_JSON ? line_every : bar_every))
        draw(p, t);
}

void dm_progress_message(dm_progress *p, const char *line)
{
    if (!p)
        return;
    if (p->on_line)
        fputs("\r\033[K", p->s.to);
    p->on_line = false;
    fprintf(p->s.to, "%s\n", line);
    if (p->s.mode == DM_PROGRESS_BAR || p->s.mode == DM_PROGRESS_COLOUR)
        draw(p, p->drawn);
    fflush(p->s.to);
}

void dm_progress_end(dm_progress *p)
{
    if (!p)
        return;
    if (p->s.mode != DM_PROGRESS_NONE && p->done > p->s.first && p->drawn_step != p->done) {
        const double t = now(p);

        if (p->done >= p->s.total && t > p->began) /* what it was in all, not of late */
            p->rate = (double)(p->done - p->s.first) / (t - p->began);
        draw(p, t);
    }
    if (p->on_line)
        fputc('\n', p->s.to);
    fflush(p->s.to);
    free(p);
}
