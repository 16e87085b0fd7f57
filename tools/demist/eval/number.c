/* A number of a report; see eval.h. */
#include <math.h>

#include "eval/eval.h"

json_t *eval_number(double x) { return isfinite(x) ? json_real(x) : json_null(); }
