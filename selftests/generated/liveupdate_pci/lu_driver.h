/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The test driver's files in debugfs: users of its FLBs inside the kernel, and
 * callbacks that fail on request.
 */
#ifndef LU_DRIVER_H
#define LU_DRIVER_H

#include "lu_test.h"

/*
 * Lets the user do @what, "get", "use" or "put", on the object behind @file, which is
 * "outgoing_flb", "incoming_flb" or "other_flb". Opens it the first time.
 */
static inline int lu_user(int *fd, const char *file, const char *what)
{
	char path[LU_PATH_MAX];

	if (*fd < 0) {
		snprintf(path, sizeof(path), LU_DEBUG "/%s", file);
		*fd = open(path, O_WRONLY | O_CLOEXEC);
	}
	if (*fd < 0)
		return -errno;
	if (write(*fd, what, strlen(what)) < 0)
		return -errno;
	return 0;
}

/*
 * The next @times calls of the driver's @callback ("preserve", "freeze",
 * "retrieve", "can_finish", "flb_preserve", "flb_retrieve") fail with @error, a
 * positive errno, and do nothing else.
 */
static inline int lu_fail(const char *callback, int error, unsigned int times)
{
	char line[128];

	snprintf(line, sizeof(line), "%s %d %u", callback, error, times);
	return lu_write_text(LU_DEBUG "/fail", line, 0);
}

/* The driver as it is after boot. A driver without these files needs no reset. */
static inline void lu_reset_driver(void)
{
	lu_write_text(LU_DEBUG "/fail", "none", 0);
	lu_write_text(LU_DEBUG "/finish_asks", "Y", 0);
	lu_write_text(LU_DEBUG "/other_flb_needed", "0", 0);
}

#endif /* LU_DRIVER_H */
