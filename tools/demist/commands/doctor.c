/* demist doctor: is everything installed? */
#include "device/doctor.h"

#include <stdio.h>

#include "options/command.h"
#include "plugin/plugin_doctor.h"
#include "terminal/process.h"

static int run(cli_call *call)
{
    dm_err err = {0};
    dm_findings found = {.out = stdout, .err = &err, .building = cli_watch_aborts};

    (void)call;
    dm_doctor(&found);
    dm_plugin_doctor(&found);
    return found.first ? cli_fail(&err) : 0;
}

const cli_command cmd_doctor = {
    .name = "doctor",
    .summary = "check the installation and report what to install",
    .details = "Loader, platforms, drivers, CLBlast, plugin folders, cache: each OK or what to do.\n",
    .run = run};
