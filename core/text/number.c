/* Numbers as text, the same in every locale; see number.h. The C library converts, while the
 * calling thread, and it alone, is in the "C" locale. */
#include "text/number.h"

#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static const char *skip_digits(const char *s)
{
    while (is_digit(*s))
        s++;
    return s;
}

static bool is_real(const char *s)
{
    const char *whole, *dot;
    bool digits;

    s += *s == '+' || *s == '-';
    whole = s;
    s = skip_digits(s);
    digits = s > whole;
    if (*s == '.') {
        dot = ++s;
        s = skip_digits(s);
        digits = digits || s > dot;
    }
    if (!digits)
        return false;
    if (*s == 'e' || *s == 'E') {
        s += 1 + (s[1] == '+' || s[1] == '-');
        if (!is_digit(*s))
            return false;
        s = skip_digits(s);
    }
    return !*s;
}

static bool enter_c(locale_t *c, locale_t *old)
{
    *c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    if (*c == (locale_t)0)
        return false;
    *old = uselocale(*c);
    return true;
}

static void leave_c(locale_t c, locale_t old)
{
    uselocale(old);
    freelocale(c);
}

dm_number_status dm_number_real(const char *s, double *v)
{
    const int saved = errno;
    locale_t c, old;
    double x;
    bool lost;

    if (!is_real(s) || !enter_c(&c, &old))
        return DM_NUMBER_NONE;
    errno = 0;
    x = strtod(s, NULL);
    /* A subnormal is kept, although some of its digits are lost. */
    lost = errno == ERANGE && (x == 0 || x > 1 || x < -1);
    errno = saved;
    leave_c(c, old);
    if (lost)
        return DM_NUMBER_RANGE;
    *v = x;
    return DM_NUMBER_OK;
}

dm_number_status dm_number_int(const char *s, int64_t *v)
{
    const bool negative = *s == '-';
    const char *first = s + (*s == '+' || *s == '-');
    uint64_t x = 0;
    const uint64_t limit = negative ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;

    if (!is_digit(*first) || *skip_digits(first) || (*first == '0' && first[1]))
        return DM_NUMBER_NONE;
    for (; *first; first++) {
        const uint64_t digit = (uint64_t)(*first - '0');

        if (x > (limit - digit) / 10)
            return DM_NUMBER_RANGE;
        x = x * 10 + digit;
    }
    if (!negative)
        *v = (int64_t)x;
    else
        *v = x > INT64_MAX ? INT64_MIN : -(int64_t)x;
    return DM_NUMBER_OK;
}

char *dm_number_write(double v, char buf[DM_NUMBER_TEXT])
{
    locale_t c, old;
    const bool in_c = enter_c(&c, &old);

    for (int digits = 15; digits <= 17; digits++) {
        snprintf(buf, DM_NUMBER_TEXT, "%.*g", digits, v);
        if (strtod(buf, NULL) == v)
            break;
    }
    if (in_c)
        leave_c(c, old);
    return buf;
}
