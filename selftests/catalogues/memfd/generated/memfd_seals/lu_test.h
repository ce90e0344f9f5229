/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * State of a test, and basic helpers: reading and writing files, names of results, time.
 */
#ifndef LU_TEST_H
#define LU_TEST_H

/* One stream for diagnostics and results keeps their order in a pipe. */
#define TH_LOG_STREAM stdout

/* Defined empty, as `-D_GNU_SOURCE=` in lib.mk does, to avoid a redefinition warning. */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <linux/kexec.h>
#include <linux/reboot.h>

#include "kselftest_harness.h"

#include "lu_names.h"

#define LU_PCI		"/sys/bus/pci"
#define LU_DRIVER_DIR	LU_PCI "/drivers/" LU_DRIVER
#define LU_TRACING	"/sys/kernel/tracing"
#define LU_INSTANCE	LU_TRACING "/instances/" LU_GROUP
#define LU_RCU_EXPEDITED	"/sys/kernel/rcu_expedited"
#define LU_SYNC_FILE	"/sys/kernel/debug/sync_point"
#define LU_FAILSLAB	"/sys/kernel/debug/failslab"
#define LU_FAIL_NTH	"/proc/thread-self/fail-nth"
#define LU_WCHAN	"/proc/self/wchan"
#define LU_KMEMLEAK	"/sys/kernel/debug/kmemleak"
#define LU_CLOCK	"/sys/devices/system/clocksource/clocksource0/current_clocksource"

#define LU_DEVICES_MAX	8
#define LU_VFS_MAX	8
#define LU_PROBES_MAX	16
#define LU_PROCESSES_MAX	8
#define LU_KEPT_MAX	16
#define LU_MANY_MAX	200
#define LU_NAME_MAX	64
#define LU_PATH_MAX	512
#define LU_LOG_MAX	(256 * 1024)
#define LU_ORDER_MAX	(1024 * 1024)
#define LU_ALLOCATIONS_MAX	1000

/* Lifetime of the background process of lu_keep_until_kexec(). */
#define LU_KEEPER_SECS	300
/* A device appears or disappears. An orderly unplug takes five seconds. */
#define LU_DEVICE_SECS	60
/* The host answers a request. */
#define LU_ANSWER_SECS	60
/* A killed process exits. */
#define LU_PROCESS_SECS	30
/* The kernel switches from the early to the final clocksource. */
#define LU_CLOCK_SECS	20
/* A thread reaches its sync point. */
#define LU_HOLD_SECS	20
/* A released thread, or a thread of a race, ends. */
#define LU_THREAD_SECS	30
/* Time limit for holding a thread at a sync point. */
#define LU_HELD_MSECS	10000

/* A device index, or'ed with LU_VF(n) for virtual function n of that device. */
#define LU_VF_SHIFT	16
#define LU_VF(n)	(((unsigned int)(n) + 1) << LU_VF_SHIFT)
#define LU_DEVICE(dev)	((dev) & ((1U << LU_VF_SHIFT) - 1))

/* struct lu_device - state of a device at the setup of the test */
struct lu_device {
	char path[LU_PATH_MAX];
	unsigned int nr_vfs;
	bool was_present;
	bool was_bound;
	char slot[LU_NAME_MAX];
};

/* struct lu_vf - address of a virtual function, kept after its virtfn link is removed */
struct lu_vf {
	unsigned int dev;
	char bdf[LU_NAME_MAX];
};

/* struct lu_thread - a thread, its step, and the result of the step */
struct lu_thread {
	pthread_t thread;
	pid_t tid;
	int cpu;
	int (*step)(void *data);
	void *data;
	int ret;
	unsigned int *meeting;
	long long delay;
	__u64 start;
	__u64 end;
	sem_t ready;
	sem_t gate;
	bool called_off;
	bool ended;
	bool running;
	bool lost;
};

/* struct lu_races - how often each side of a race ended first, and the typical duration */
struct lu_races {
	unsigned int a_first;
	unsigned int b_first;
	__u64 typical;
};

/* struct lu_test - state of a test, except the objects of its fixture */
struct lu_test {
	int subject_fd;
	int kmsg;
	unsigned int nr_devices;
	char device[LU_DEVICES_MAX][LU_NAME_MAX];
	struct lu_device found[LU_DEVICES_MAX];
	unsigned int nr_vfs;
	struct lu_vf vf[LU_VFS_MAX];
	bool removed;
	bool has_keeper;
	unsigned int nr_probes;
	const char *const *probe;
	int calls[LU_PROBES_MAX];
	bool ordered;
	char *log;
	size_t log_len;
	unsigned int nr_processes;
	pid_t *process[LU_PROCESSES_MAX];
	unsigned int nr_many;
	int many[LU_MANY_MAX];
	int hold;
	bool hold_loaded;
	bool expired;
	struct lu_thread held;
	struct lu_thread waiting;
	struct lu_races races;
	cpu_set_t cpus;
	bool pinned;
	int fail_nth;
	bool failslab;
	char ignore_gfp_wait[8];
	char verbose[8];
	unsigned long long leaks_since;
	char reason[256];
};

/* struct lu_needs - requirements of a test; the test is skipped if one is not met */
struct lu_needs {
	unsigned int devices;
	unsigned int cpus;
	struct lu_subject_needs subject;
	bool log;
	bool order;
	bool machine;
	bool slot_power;
	bool vfs;
	bool hold;
	bool wait;
	bool fail_nth;
	bool kexec;
	unsigned int nr_probes;
	const char *const *probe;
	unsigned int nr_sync_points;
	const char *const *sync_point;
};

static inline const char *lu_result(int ret)
{
	static const struct {
		int number;
		const char *name;
	} names[] = {
		{ EACCES, "-EACCES" },
		{ EAGAIN, "-EAGAIN" },
		{ EBADF, "-EBADF" },
		{ EBADMSG, "-EBADMSG" },
		{ EBUSY, "-EBUSY" },
		{ ECHILD, "-ECHILD" },
		{ EDEADLK, "-EDEADLK" },
		{ EEXIST, "-EEXIST" },
		{ EFAULT, "-EFAULT" },
		{ EFBIG, "-EFBIG" },
		{ EINTR, "-EINTR" },
		{ EINVAL, "-EINVAL" },
		{ EIO, "-EIO" },
		{ EMFILE, "-EMFILE" },
		{ ENODATA, "-ENODATA" },
		{ ENODEV, "-ENODEV" },
		{ ENOENT, "-ENOENT" },
		{ ENOEXEC, "-ENOEXEC" },
		{ ENOMEM, "-ENOMEM" },
		{ ENOSPC, "-ENOSPC" },
		{ ENOTRECOVERABLE, "-ENOTRECOVERABLE" },
		{ ENOTTY, "-ENOTTY" },
		{ ENXIO, "-ENXIO" },
		{ EOPNOTSUPP, "-EOPNOTSUPP" },
		{ EOVERFLOW, "-EOVERFLOW" },
		{ EPERM, "-EPERM" },
		{ EREMOTEIO, "-EREMOTEIO" },
		{ ESRCH, "-ESRCH" },
		{ ESTALE, "-ESTALE" },
		{ ETIME, "-ETIME" },
		{ ETXTBSY, "-ETXTBSY" },
		{ EUCLEAN, "-EUCLEAN" },
	};
	static char number[16];
	unsigned int i;

	if (ret >= 0)
		return "ok";
	for (i = 0; i < ARRAY_SIZE(names); i++) {
		if (names[i].number == -ret)
			return names[i].name;
	}
	snprintf(number, sizeof(number), "%d", ret);
	return number;
}

/* Copies a string, and returns -EFBIG if it had to be truncated. */
static inline int lu_copy(char *to, const char *from, size_t size)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
	return from[len] ? -EFBIG : 0;
}

static inline void lu_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static inline int lu_write_text(const char *path, const char *text, int flags)
{
	size_t len = strlen(text);
	int fd, ret = 0;

	fd = open(path, O_WRONLY | O_CLOEXEC | flags);
	if (fd < 0)
		return -errno;
	errno = 0;
	if (write(fd, text, len) != (ssize_t)len)
		ret = errno ? -errno : -EIO;
	close(fd);
	return ret;
}

/* Reads up to @size - 1 bytes as a string; -EFBIG if the file is longer. */
static inline int lu_read_text(const char *path, char *text, size_t size)
{
	size_t len = 0;
	ssize_t got;
	int fd;

	text[0] = '\0';
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	do {
		got = read(fd, text + len, size - len);
		if (got < 0)
			got = -errno;
		else
			len += got;
	} while (got > 0 && len < size);
	close(fd);
	text[len < size ? len : size - 1] = '\0';
	if (got < 0)
		return (int)got;
	return len < size ? 0 : -EFBIG;
}

static inline __u64 lu_now_nsecs(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Returns the time @secs seconds from now, for comparison with lu_now_nsecs(). */
static inline __u64 lu_deadline(unsigned int secs)
{
	return lu_now_nsecs() + (__u64)secs * 1000000000;
}

static inline void lu_pause_msecs(unsigned int msecs)
{
	const struct timespec pause = {
		.tv_sec = msecs / 1000,
		.tv_nsec = (long)(msecs % 1000) * 1000000,
	};

	nanosleep(&pause, NULL);
}

/* Returns whether @path is not accessible, and sets the skip reason. */
static inline bool lu_lacks_file(struct lu_test *lu, const char *path, int mode)
{
	if (!access(path, mode))
		return false;
	snprintf(lu->reason, sizeof(lu->reason), "%s: %s", path, strerror(errno));
	return true;
}

#endif /* LU_TEST_H */
