/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The test driver: the files of its devices, and its files in debugfs for users of its FLBs
 * inside the kernel, and for callbacks that fail on request.
 */
#ifndef LU_DRIVER_H
#define LU_DRIVER_H

#include "lu_device.h"

#define LU_DEBUG	"/sys/kernel/debug/" LU_DRIVER

static inline int lu_open_device(struct lu_test *lu, unsigned int dev)
{
	char path[128], bdf[LU_NAME_MAX];
	int fd;

	snprintf(path, sizeof(path), "/dev/" LU_DRIVER "/%s", lu_bdf(lu, dev, bdf));
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/*
 * Makes the user @fd "get", "use" or "put" (@command) the object of @file:
 * "outgoing_flb", "incoming_flb" or "other_flb". Opens the file if @fd is -1.
 */
static inline int lu_user(int *fd, const char *file, const char *command)
{
	char path[LU_PATH_MAX];

	if (*fd < 0) {
		snprintf(path, sizeof(path), LU_DEBUG "/%s", file);
		*fd = open(path, O_WRONLY | O_CLOEXEC);
	}
	if (*fd < 0)
		return -errno;
	if (write(*fd, command, strlen(command)) < 0)
		return -errno;
	return 0;
}

/*
 * Makes the next @times calls of the driver's @callback ("preserve", "freeze",
 * "retrieve", "can_finish", "flb_preserve", "flb_retrieve") fail with @error, a
 * positive errno, without any other effect.
 */
static inline int lu_fail(const char *callback, int error, unsigned int times)
{
	char line[128];

	snprintf(line, sizeof(line), "%s %d %u", callback, error, times);
	return lu_write_text(LU_DEBUG "/fail", line, 0);
}

/* Resets the driver to its state after boot. A driver without these files needs no reset. */
static inline void lu_reset_driver(void)
{
	lu_write_text(LU_DEBUG "/fail", "none", 0);
	lu_write_text(LU_DEBUG "/finish_asks", "Y", 0);
	lu_write_text(LU_DEBUG "/other_flb_needed", "0", 0);
}

#endif /* LU_DRIVER_H */
