/* HTML by hand; see report.h. */
#include "report/report.h"

#include "text/plain_text.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char style[] =
    "body{font:15px/1.5 system-ui,sans-serif;color:#1c2530;background:#fff;max-width:1120px;margin:2em auto;"
    "padding:0 1.2em}h1{font-size:1.7em;margin:0 0 .2em}"
    "h2{font-size:1.2em;margin:2.2em 0 .6em;padding-top:.8em;border-top:1px solid #dde3ea}"
    "p{margin:.5em 0;max-width:75ch}.note{color:#5a6675}.warn{color:#a13a12}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums;margin:.8em 0;display:block;overflow-x:auto}"
    "th,td{padding:.25em .9em .25em 0;text-align:left;border-bottom:1px solid #e8edf2;vertical-align:top;"
    "overflow-wrap:anywhere}"
    "th{font-weight:600;color:#43505e;white-space:nowrap}td.n,th.n{text-align:right}"
    "figure{margin:1em 0}figcaption{color:#5a6675;font-size:.92em;margin-top:.3em}"
    "div{display:flex;flex-wrap:wrap;gap:1.5em;align-items:flex-end}"
    "img{max-width:100%;height:auto;display:block}img.p{image-rendering:pixelated;background:#000}"
    "pre{background:#f5f7f9;padding:.9em 1.1em;overflow-x:auto;font-size:.87em;line-height:1.45;border-radius:4px}";

/* Nothing but images from the page itself: no scripts, no network, whatever got into it. */
void html_begin(FILE *f, const char *title)
{
    fputs("<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
          "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; img-src data:; "
          "style-src 'unsafe-inline'\">\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>", f);
    html_text(f, title);
    fprintf(f, "</title>\n<style>%s</style>\n</head>\n<body>\n<h1>", style);
    html_text(f, title);
    fputs("</h1>\n", f);
}

void html_end(FILE *f) { fputs("</body>\n</html>\n", f); }

void html_section(FILE *f, const char *title)
{
    fputs("<h2>", f);
    html_text(f, title);
    fputs("</h2>\n", f);
}

void html_text(FILE *f, const char *text)
{
    for (const char *s = text; *s;) {
        const int n = dm_utf8_length(s);

        switch (*s) {
        case '<': fputs("&lt;", f); break;
        case '>': fputs("&gt;", f); break;
        case '&': fputs("&amp;", f); break;
        case '"': fputs("&quot;", f); break;
        case '\'': fputs("&#39;", f); break;
        default:
            if (!n)
                fputs("\xef\xbf\xbd", f);
            else if (!dm_plain_length(s) && *s != '\n')
                fputc(' ', f);
            else
                fwrite(s, 1, (size_t)n, f);
        }
        s += n ? n : 1;
    }
}

static void say(FILE *f, const char *class, const char *fmt, va_list ap)
{
    char text[2048];

    vsnprintf(text, sizeof text, fmt, ap);
    fprintf(f, "<p class=\"%s\">", class);
    html_text(f, text);
    fputs("</p>\n", f);
}

void html_say(FILE *f, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    say(f, "note", fmt, ap);
    va_end(ap);
}

void html_cell(FILE *f, const char *tag, const char *text)
{
    fprintf(f, "<%s>", tag);
    html_text(f, text);
    fprintf(f, "</%.*s>", (int)strcspn(tag, " "), tag);
}

void html_number(FILE *f, double x)
{
    char text[32] = "";

    if (isfinite(x))
        snprintf(text, sizeof text, fabs(x) >= 1e4 && fabs(x) < 1e9 && x == floor(x) ? "%.0f" : "%.4g", x);
    html_cell(f, "td class=\"n\"", text);
}

static void base64(FILE *f, const unsigned char *b, size_t n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    for (size_t i = 0; i < n; i += 3) {
        const unsigned second = i + 1 < n ? b[i + 1] : 0, third = i + 2 < n ? b[i + 2] : 0;
        const unsigned v = (unsigned)b[i] << 16 | second << 8 | third;

        fputc(digits[v >> 18], f);
        fputc(digits[v >> 12 & 63], f);
        fputc(i + 1 < n ? digits[v >> 6 & 63] : '=', f);
        fputc(i + 2 < n ? digits[v & 63] : '=', f);
    }
}

bool html_png(FILE *f, const void *bytes, size_t n, int scale, const char *caption)
{
    const unsigned char *b = bytes;
    uint32_t width;

    if (n < 33 || memcmp(b, "\x89PNG\r\n\x1a\n\0\0\0\rIHDR", 16))
        return false;
    width = (uint32_t)b[16] << 24 | (uint32_t)b[17] << 16 | (uint32_t)b[18] << 8 | b[19];
    if (!width || width > 65535)
        return false;
    if (scale < 0)
        scale = (int)width < -scale ? -scale / (int)width : 1;
    fprintf(f, "<figure><img%s width=\"%u\" alt=\"", scale ? " class=\"p\"" : "",
            width * (unsigned)(scale ? scale : 1));
    html_text(f, caption);
    fputs("\" src=\"data:image/png;base64,", f);
    base64(f, b, n);
    fputs("\"><figcaption>", f);
    html_text(f, caption);
    fputs("</figcaption></figure>\n", f);
    return true;
}

void html_side_begin(FILE *f) { fputs("<div>\n", f); }

void html_side_end(FILE *f) { fputs("</div>\n", f); }

dm_status html_picture(FILE *f, const dm_picture *p, int scale, const char *caption, dm_err *err)
{
    uint8_t *png;
    size_t n;
    dm_status rc;

    if (!(rc = dm_png_encode(p, NULL, 0, &png, &n, err))) {
        html_png(f, png, n, scale, caption);
        free(png);
    }
    return rc;
}
