/* Text from outside as text alone; see plain_text.h. */
#include "text/plain_text.h"

#include <stddef.h>
#include <stdint.h>

int dm_utf8_length(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    const int n = *s < 0x80 ? 1 : *s < 0xc2 ? 0 : *s < 0xe0 ? 2 : *s < 0xf0 ? 3 : *s < 0xf5 ? 4 : 0;

    for (int i = 1; i < n; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((n == 3 && ((*s == 0xe0 && s[1] < 0xa0) || (*s == 0xed && s[1] > 0x9f))) ||
        (n == 4 && ((*s == 0xf0 && s[1] < 0x90) || (*s == 0xf4 && s[1] > 0x8f))))
        return 0;
    return n;
}

static const struct { uint32_t first, last; } obeyed[] = {
    {0, 0x1f},          /* C0 */
    {0x7f, 0x9f},       /* DEL, C1 */
    {0x61c, 0x61c},     /* marks, embeddings, overrides and isolates of direction, and between them line separators */
    {0x200e, 0x200f},
    {0x2028, 0x202e},
    {0x2066, 0x206f},
    {0xfeff, 0xfeff},
    {0xfff9, 0xfffb},   /* interlinear annotations */
    {0xe0000, 0xe007f}, /* tags */
};

int dm_plain_length(const char *text)
{
    const unsigned char *s = (const unsigned char *)text;
    const int n = dm_utf8_length(text);
    uint32_t c = n < 2 ? *s : *s & (0x7fu >> n);

    for (int i = 1; i < n; i++)
        c = c << 6 | (s[i] & 0x3fu);
    for (size_t i = 0; i < sizeof obeyed / sizeof obeyed[0]; i++)
        if (c >= obeyed[i].first && c <= obeyed[i].last)
            return 0;
    return n;
}

void dm_plain_text(char *s)
{
    char *to = s;

    while (*s) {
        const int n = dm_plain_length(s), whole = dm_utf8_length(s);

        if (n || *s == '\n' || *s == '\t')
            for (int i = 0; i < (n ? n : 1); i++)
                *to++ = s[i];
        else
            *to++ = '?';
        s += whole ? whole : 1;
    }
    *to = 0;
}

void dm_plain_put(FILE *to, const char *s)
{
    while (*s) {
        const int n = dm_plain_length(s), whole = dm_utf8_length(s);

        if (n)
            fwrite(s, 1, (size_t)n, to);
        else
            fputc(*s == '\n' || *s == '\t' ? ' ' : '?', to);
        s += whole ? whole : 1;
    }
}
