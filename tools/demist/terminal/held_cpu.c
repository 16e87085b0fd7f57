/* The processor that the user holds the program to. */
#include "terminal/process.h"

#include <stdlib.h>

#include "device/device.h"
#include "terminal/message.h"

bool cli_hold_cpu(void)
{
    dm_err err = {0};

    if (!dm_cpu_hold(getenv("DEMIST_CPU"), &err))
        return true;
    cli_error("%s", err.msg);
    return false;
}
