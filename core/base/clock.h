/* The two clocks. */
#ifndef DEMIST_CORE_CLOCK_H
#define DEMIST_CORE_CLOCK_H

/* In seconds, of a clock that only goes forward: for what lies between two calls. */
double dm_seconds(void);
/* In seconds since 1970, as the machine's clock has it: for what is written to files. */
double dm_wall_seconds(void);

#endif
