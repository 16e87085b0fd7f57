/* What the device tests share: the device named by DEMIST_DEVICE, opened once a group of tests. */
#ifndef DEMIST_TESTS_DEVICE_SETUP_H
#define DEMIST_TESTS_DEVICE_SETUP_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "device/device.h"

static inline const char *test_device(void)
{
    const char *s = getenv("DEMIST_DEVICE");

    return s && *s ? s : "auto";
}

/* Fails the test with the message. */
static inline void must(dm_status s, const dm_err *err)
{
    if (s != DM_OK)
        fail_msg("%s: %s", dm_status_name(s), err->msg);
}

static inline void must_fail(dm_status s, dm_status wanted, const dm_err *err, const char *part)
{
    assert_string_equal(dm_status_name(s), dm_status_name(wanted));
    assert_int_equal(err->code, wanted);
    if (!strstr(err->msg, part))
        fail_msg("'%s' is not in the message: %s", part, err->msg);
}

/* Group set-up and tear-down; *state is the device. */
static inline int open_device(void **state)
{
    dm_err err = {0};
    dm_device *d = NULL;

    if (dm_device_open(test_device(), NULL, &d, &err) != DM_OK) {
        fprintf(stderr, "unable to open the device: %s\n", err.msg);
        return -1;
    }
    *state = d;
    return 0;
}

static inline int close_device(void **state)
{
    dm_device_close(*state);
    return 0;
}

#endif
