// SPDX-License-Identifier: GPL-2.0-only
/*
 * The test driver: the files of its devices, and its files in debugfs for users of its FLBs
 * inside the kernel, and for callbacks that fail on request.
 */
#include "kt_state.h"
#include "liveupdate_pci.h"

int lu_open_device(unsigned int dev)
{
	char path[128], bdf[KT_NAME_MAX];
	int fd;

	snprintf(path, sizeof(path), "/dev/" KT_DRIVER "/%s", kt_bdf(dev, bdf));
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Registers of the edu device are 4 bytes wide below offset 0x80, and 8 bytes above. */
static size_t lu_register_size(off_t at)
{
	return at < 0x80 ? 4 : 8;
}

int lu_write_register(int fd, off_t at, __u64 value)
{
	size_t size = lu_register_size(at);
	ssize_t len;

	len = pwrite(fd, &value, size, at);
	if (len < 0)
		return -errno;
	return len == (ssize_t)size ? 0 : -EIO;
}

/* Returns the value of the register, or a negative errno. */
long long lu_read_register(int fd, off_t at)
{
	size_t size = lu_register_size(at);
	long long value = 0;
	ssize_t len;

	len = pread(fd, &value, size, at);
	if (len < 0)
		return -errno;
	return len == (ssize_t)size ? value : -EIO;
}

/*
 * Makes the user @fd "get", "use" or "put" (@command) the object of @file:
 * "outgoing_flb", "incoming_flb" or "other_flb". Opens the file if @fd is -1.
 */
int lu_user(int *fd, const char *file, const char *command)
{
	char path[KT_PATH_MAX];

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
int lu_fail(const char *callback, int error, unsigned int times)
{
	char line[128];

	snprintf(line, sizeof(line), "%s %d %u", callback, error, times);
	return kt_write_text(LU_DEBUG "/fail", line, 0);
}

/* Resets the driver to its state after boot. A driver without these files needs no reset. */
void lu_reset_driver(void)
{
	kt_write_text(LU_DEBUG "/fail", "none", 0);
	kt_write_text(LU_DEBUG "/finish_asks", "Y", 0);
	kt_write_text(LU_DEBUG "/other_flb_needed", "0", 0);
}
