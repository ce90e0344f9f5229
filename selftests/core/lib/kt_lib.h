/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Helpers of the tests: files, PCI devices, processes and threads, counts of kernel
 * function calls, the kernel log, fault injection, sync points and races.
 *
 * Unless documented otherwise, the helpers return 0, a file descriptor or a count on
 * success, and a negative errno on failure. They make no assertions, and print only
 * through kselftest.h. Their state is global: the harness runs each test in a process of
 * its own.
 */
#ifndef KT_LIB_H
#define KT_LIB_H

/* Defined empty, as `-D_GNU_SOURCE=` in lib.mk does, to avoid a redefinition warning. */
#define _GNU_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/types.h>
#include <unistd.h>

#include <linux/types.h>

#include "kselftest.h"

#include "kt_names.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE	0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC		0x0020
#endif
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL		0x0008U
#endif

#define KT_NEEDED_MAX	16

/* Virtual function @nr of the device with the index @dev. */
#define KT_VF_SHIFT	16
#define KT_VF(dev, nr)	((dev) | ((nr) + 1U) << KT_VF_SHIFT)

/* struct kt_needs - requirements of a test; the test is skipped if one is not met */
struct kt_needs {
	/* Number of the boot, and of all boots, of a test with a kexec between its boots. */
	unsigned int boot;
	unsigned int boots;
	/* Number of devices, and of CPUs for tasks that run concurrently. */
	unsigned int devices;
	unsigned int cpus;
	struct kt_subject_needs subject;
	/* The test makes the kernel print a warning. */
	bool warns;
	/* Lines of the kernel log, and the order of calls, are checked. */
	bool log;
	bool order;
	/* A host that plugs and unplugs devices, slots with power control, SR-IOV. */
	bool machine;
	bool slot_power;
	bool vfs;
	/* Tasks are held at a sync point, and other tasks wait for them. */
	bool hold;
	bool wait;
	bool fail_nth;
	bool kexec;
	bool leaks;
	/* Functions whose calls are counted, and functions with a sync point. */
	const char *calls[KT_NEEDED_MAX];
	const char *sync_points[KT_NEEDED_MAX];
};

const char *kt_setup(const struct kt_needs *needs);
int kt_teardown(void);
bool kt_is_first_kernel(void);
const char *kt_result(int ret);
int kt_one_of(int ret, const int *expected, size_t n);

/* Files. kt_read_...() return the contents, or the name of the error. */
int kt_open_file(const char *path, int flags);
int kt_open_again(int fd, int flags);
int kt_create_memfd(const char *name, unsigned int flags, const char *contents);
int kt_write_file(int fd, off_t at, const char *contents);
const char *kt_read_file(int fd);
int kt_size(int fd);
int kt_check_mapping(int fd, const char *contents);
int kt_truncate(int fd, off_t size);
int kt_seal(int fd, int seals);
int kt_seals(int fd);
int kt_write_path(const char *path, const char *text);
const char *kt_read_path(const char *path);

/* PCI devices, given by their index, or by KT_VF() */
int kt_remove_device(unsigned int dev);
int kt_power_off_slot(unsigned int dev);
int kt_unplug_device(unsigned int dev);
int kt_surprise_device(unsigned int dev);
int kt_plug_device(unsigned int dev);
int kt_remove_bridge(unsigned int dev, unsigned int levels);
int kt_rescan(void);
int kt_bind(unsigned int dev, const char *driver);
int kt_unbind(unsigned int dev);
int kt_wait_device(unsigned int dev, const char *state);
int kt_write_device_path(unsigned int dev, const char *attribute, const char *text);
const char *kt_read_device_path(unsigned int dev, const char *attribute);
const char *kt_bdf(unsigned int dev, char *bdf);

/* Processes and kexec */
int kt_start_process(int *fds[], unsigned int n);
int kt_kill_process(pid_t pid);
int kt_keep_until_kexec(void);
int kt_kexec(void);

/* Threads */
int kt_hold(const char *where, int (*step)(void *data), void *data);
int kt_wait(const char *where, int (*step)(void *data), void *data);
int kt_release(void);
int kt_expired(void);
int kt_end_wait(void);
int kt_race(int (*a)(void *data), int (*b)(void *data), void *data, int *ra, int *rb);
int kt_both_orders(void);
int kt_fail_each(int (*step)(void *data), int (*undo)(void *data), void *data);

/* What the kernel did since the setup */
int kt_cannot_count(void);
int kt_calls(const char *function);
int kt_calls_in_order(const char *const *functions);
int kt_cannot_read_log(void);
int kt_log_lines(const char *text);
int kt_leaks(void);

#endif /* KT_LIB_H */
