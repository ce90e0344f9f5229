/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests in this folder have in common: sessions of /dev/liveupdate, PCI
 * devices and their driver "liveupdate-test", files, processes and threads, calls
 * of kernel functions, the kernel log, and faults, holds and races on purpose.
 *
 * Everything returns 0 (or a descriptor, or a count) or a negative errno, prints
 * at most through kselftest's helpers, and leaves judging to the test.
 */
#ifndef LIVEUPDATE_PCI_H
#define LIVEUPDATE_PCI_H

/*
 * What a test has open, and the few things that everything here is made of: texts
 * in files, results by name, and the time.
 */

/* Diagnostics and results in one stream keep their order through a pipe. */
#define TH_LOG_STREAM stdout

/* lib.mk defines it as well, to nothing. */
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
#include <linux/liveupdate.h>
#include <linux/reboot.h>

#include "kselftest_harness.h"

#define LU_PCI		"/sys/bus/pci"
#define LU_DRIVER_DIR	LU_PCI "/drivers/liveupdate-test"
#define LU_DEBUG	"/sys/kernel/debug/liveupdate-test"
#define LU_TRACING	"/sys/kernel/tracing"
#define LU_GROUP	"liveupdate_pci"
#define LU_INSTANCE	LU_TRACING "/instances/" LU_GROUP
#define LU_RCU_EXPEDITED	"/sys/kernel/rcu_expedited"
#define LU_HOLD_FILE	"/sys/kernel/debug/hold_point"
#define LU_FAILSLAB	"/sys/kernel/debug/failslab"
#define LU_FAIL_NTH	"/proc/thread-self/fail-nth"
#define LU_KMEMLEAK	"/sys/kernel/debug/kmemleak"

#define LU_DEVICES_MAX	8
#define LU_VFS_MAX	8
#define LU_PROBES_MAX	16
#define LU_PROCESSES_MAX	8
#define LU_KEPT_MAX	16
#define LU_NAME_MAX	64
#define LU_PATH_MAX	512
#define LU_LOG_MAX	(256 * 1024)
#define LU_ORDER_MAX	(1024 * 1024)
#define LU_ALLOCATIONS_MAX	1000

/* A keeper that nobody ends by kexec goes away by itself after this long. */
#define LU_KEEPER_SECS	300
/* A device comes or goes: an orderly unplug alone takes five seconds. */
#define LU_DEVICE_SECS	60
/* The machine answers a request. */
#define LU_ANSWER_SECS	60
/* A process that was killed is gone. */
#define LU_PROCESS_SECS	30
/* A thread arrives at its hold point. */
#define LU_HOLD_SECS	20
/* A thread that was let go ends, and so do the two of a race. */
#define LU_THREAD_SECS	30
/* The longest that the kernel holds a thread. */
#define LU_HELD_MSECS	10000

/* A device, or with LU_VF(n) the virtual function that its link virtfn<n> names. */
#define LU_VF_SHIFT	16
#define LU_VF(n)	(((unsigned int)(n) + 1) << LU_VF_SHIFT)
#define LU_DEVICE(dev)	((dev) & ((1U << LU_VF_SHIFT) - 1))

/* struct lu_device - a device of the test, and how the test found it */
struct lu_device {
	char path[LU_PATH_MAX];
	unsigned int nr_vfs;
	bool was_present;
	bool was_bound;
	char slot[LU_NAME_MAX];
};

/* struct lu_vf - a virtual function, whose address outlives its device's link */
struct lu_vf {
	unsigned int dev;
	char bdf[LU_NAME_MAX];
};

/* struct lu_thread - a thread, its step, and what that came to */
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
};

/* struct lu_races - which side of a race ended first, how often, and after how long */
struct lu_races {
	unsigned int a_first;
	unsigned int b_first;
	__u64 typical;
};

/* struct lu_test - what a test has open, beside the objects of its scenario */
struct lu_test {
	int liveupdate;
	int kmsg;
	unsigned int nr_devices;
	char device[LU_DEVICES_MAX][LU_NAME_MAX];
	struct lu_device found[LU_DEVICES_MAX];
	unsigned int nr_vfs;
	struct lu_vf vf[LU_VFS_MAX];
	bool removed;
	bool kept;
	unsigned int nr_probes;
	const char *const *probe;
	int calls[LU_PROBES_MAX];
	bool ordered;
	char *log;
	size_t log_len;
	unsigned int nr_processes;
	pid_t *process[LU_PROCESSES_MAX];
	int hold;
	bool hold_loaded;
	struct lu_thread held;
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

/* struct lu_needs - what a test cannot do without; it is skipped where it lacks */
struct lu_needs {
	unsigned int devices;
	unsigned int cpus;
	bool users;
	bool incoming;
	bool fail;
	bool log;
	bool order;
	bool machine;
	bool slot_power;
	bool hold;
	bool fail_nth;
	bool kexec;
	unsigned int nr_probes;
	const char *const *probe;
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

/* Copies a string; -EFBIG, and as much of it as fits, when it is too long. */
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

/* Reads up to @size - 1 bytes as a string; -EFBIG when there is more. */
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

/* The moment at which a wait of so many seconds is over. */
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

/*
 * Calls of kernel functions: counted by kprobe events, and for a test that asks
 * for it, in which order they came.
 */

/*
 * Brings the counts of all probed functions up to date. The events carry our
 * group in their names because kprobe_profile does not show the group.
 */
static inline int lu_read_calls(struct lu_test *lu)
{
	char name[128], wanted[128];
	unsigned int i, found = 0;
	unsigned long hits, missed;
	int ret = 0;
	FILE *file;

	file = fopen(LU_TRACING "/kprobe_profile", "re");
	if (!file)
		return -errno;
	while (fscanf(file, " %127s %lu %lu", name, &hits, &missed) == 3) {
		for (i = 0; i < lu->nr_probes; i++) {
			snprintf(wanted, sizeof(wanted), LU_GROUP "_%s", lu->probe[i]);
			if (strcmp(name, wanted))
				continue;
			lu->calls[i] = (int)hits;
			found++;
			/* A call that was not seen makes every count a guess. */
			if (missed)
				ret = -EIO;
		}
	}
	fclose(file);
	/* A probe that is gone has not counted zero calls, it has not counted. */
	if (!ret && found != lu->nr_probes)
		ret = -ENOENT;
	return ret;
}

/* Returns how often the kernel called @function since the test's setup. */
static inline int lu_calls(struct lu_test *lu, const char *function)
{
	unsigned int i;
	int ret;

	ret = lu_read_calls(lu);
	if (ret)
		return ret;
	for (i = 0; i < lu->nr_probes; i++) {
		if (!strcmp(lu->probe[i], function))
			return lu->calls[i];
	}
	return -ENOENT;
}

/*
 * Returns where in the trace the first call of the function that @name, @len
 * bytes long, names is, or NULL.
 */
static inline const char *lu_first_call(const char *trace, const char *name, size_t len)
{
	char event[LU_NAME_MAX * 2 + 16];

	snprintf(event, sizeof(event), ": " LU_GROUP "_%.*s: ", (int)len, name);
	return strstr(trace, event);
}

static inline int lu_calls_follow(const char *trace, const char *functions)
{
	const char *last = trace, *call;
	int ret = 0;
	size_t len;

	while (*functions) {
		len = strcspn(functions, ",");
		call = lu_first_call(trace, functions, len);
		if (!call)
			return -ENOENT;
		if (call < last)
			ret = -EBADMSG;
		last = call;
		functions += len + (functions[len] == ',');
	}
	return ret;
}

/* Says whether the head of a trace counts as many entries as were ever written. */
static inline bool lu_trace_is_whole(const char *trace)
{
	const char *head = strstr(trace, "# entries-in-buffer/entries-written: ");
	unsigned long kept, written;

	return head && sscanf(head, "# entries-in-buffer/entries-written: %lu/%lu", &kept,
			      &written) == 2 && kept == written;
}

/*
 * Returns 0 if the first call of each of the probed functions, which commas
 * separate in @functions, came in this order, -EBADMSG if in another one, -ENOENT
 * if one of them was not called since the test's setup, and -EOVERFLOW when
 * the trace has lost calls.
 */
static inline int lu_calls_in_order(struct lu_test *lu, const char *functions)
{
	char *trace;
	int ret;

	if (!lu->ordered)
		return -EINVAL;
	trace = malloc(LU_ORDER_MAX);
	if (!trace)
		return -ENOMEM;
	ret = lu_read_text(LU_INSTANCE "/trace", trace, LU_ORDER_MAX);
	if (!ret)
		ret = lu_trace_is_whole(trace) ? lu_calls_follow(trace, functions) : -EOVERFLOW;
	free(trace);
	return ret;
}

/*
 * Each event that comes or goes waits for several grace periods. Where the whole
 * machine is the test's (LIVEUPDATE_TEST_HURRY says so), they are hurried for that
 * time alone, so that what is under test keeps its own pace. Returns whether they
 * were hurried here, and so are to be slowed down again.
 */
static inline bool lu_hurry(void)
{
	char was = 0;
	int fd;

	if (!getenv("LIVEUPDATE_TEST_HURRY"))
		return false;
	fd = open(LU_RCU_EXPEDITED, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	if (read(fd, &was, 1) != 1)
		was = 0;
	close(fd);
	return was == '0' && !lu_write_text(LU_RCU_EXPEDITED, "1", 0);
}

static inline void lu_slow_down(bool hurried)
{
	if (hurried)
		lu_write_text(LU_RCU_EXPEDITED, "0", 0);
}

static inline void lu_remove_probes(struct lu_test *lu)
{
	bool hurried = lu_hurry();
	char line[256];
	unsigned int i;

	lu_write_text(LU_TRACING "/events/" LU_GROUP "/enable", "0", 0);
	lu_write_text(LU_INSTANCE "/events/" LU_GROUP "/enable", "0", 0);
	rmdir(LU_INSTANCE);
	for (i = 0; i < lu->nr_probes; i++) {
		snprintf(line, sizeof(line), "-:" LU_GROUP "/" LU_GROUP "_%s", lu->probe[i]);
		lu_write_text(LU_TRACING "/kprobe_events", line, O_APPEND);
	}
	lu_slow_down(hurried);
}

/*
 * Where the order is asked for, the events go to a trace of our own, which nobody
 * else writes to, with a clock that puts the calls on all processors in one order.
 */
static inline int lu_enable_events(struct lu_test *lu)
{
	if (!lu->ordered)
		return lu_write_text(LU_TRACING "/events/" LU_GROUP "/enable", "1", 0);
	if (mkdir(LU_INSTANCE, 0700) && errno != EEXIST)
		return -errno;
	lu_write_text(LU_INSTANCE "/buffer_size_kb", "64", 0);
	if (lu_write_text(LU_INSTANCE "/trace_clock", "counter", 0))
		return -EIO;
	return lu_write_text(LU_INSTANCE "/events/" LU_GROUP "/enable", "1", 0);
}

static inline int lu_enable_probes(struct lu_test *lu)
{
	char line[256];
	unsigned int i;
	int ret;

	for (i = 0; i < lu->nr_probes; i++) {
		snprintf(line, sizeof(line), "p:" LU_GROUP "/" LU_GROUP "_%s %s",
			 lu->probe[i], lu->probe[i]);
		ret = lu_write_text(LU_TRACING "/kprobe_events", line, O_APPEND);
		if (ret) {
			snprintf(lu->reason, sizeof(lu->reason),
				 "calls of %s cannot be counted: %s", lu->probe[i],
				 strerror(-ret));
			return ret;
		}
	}
	ret = lu_enable_events(lu);
	if (ret)
		snprintf(lu->reason, sizeof(lu->reason), "kprobe events cannot be enabled: %s",
			 strerror(-ret));
	return ret;
}

static inline int lu_add_probes(struct lu_test *lu)
{
	bool hurried;
	int ret;

	if (!lu->nr_probes)
		return 0;
	/* A test that was killed may have left its events behind. */
	lu_remove_probes(lu);
	hurried = lu_hurry();
	ret = lu_enable_probes(lu);
	lu_slow_down(hurried);
	return ret;
}

/*
 * Lines of the kernel log since the test's setup.
 */

/* Takes over what the kernel (not userspace) logged since the last time. */
static inline int lu_read_log(struct lu_test *lu)
{
	char record[8192];
	unsigned int prio;
	char *text, *end;
	ssize_t len;

	for (;;) {
		len = read(lu->kmsg, record, sizeof(record) - 1);
		if (len < 0 && errno == EAGAIN)
			return 0;
		if (len < 0)
			return -errno;
		record[len] = '\0';
		text = strchr(record, ';');
		if (!text || sscanf(record, "%u,", &prio) != 1)
			return -EIO;
		if (prio >> 3)
			continue;
		text++;
		end = strchr(text, '\n');
		len = end ? end - text + 1 : (ssize_t)strlen(text);
		if (lu->log_len + len >= LU_LOG_MAX)
			return -ENOSPC;
		memcpy(lu->log + lu->log_len, text, len);
		lu->log_len += len;
		lu->log[lu->log_len] = '\0';
	}
}

/* Returns how many lines with @text the kernel logged since the test's setup. */
static inline int lu_log_lines(struct lu_test *lu, const char *text)
{
	char *line = lu->log, *hit, *end;
	int ret, count = 0;

	ret = lu_read_log(lu);
	if (ret)
		return ret;
	while ((hit = strstr(line, text))) {
		count++;
		end = strchr(hit, '\n');
		if (!end)
			break;
		line = end + 1;
	}
	return count;
}

/*
 * The line that a step leaves in the output.
 */

/* Reports one step, what it came to, and which probed functions it called. */
static inline void lu_step(struct lu_test *lu, const char *what, int ret)
{
	int before[LU_PROBES_MAX];
	char calls[512] = "";
	size_t len = 0;
	unsigned int i;

	memcpy(before, lu->calls, sizeof(before));
	if (lu->nr_probes)
		lu_read_calls(lu);
	for (i = 0; i < lu->nr_probes && len < sizeof(calls); i++) {
		if (lu->calls[i] == before[i])
			continue;
		len += snprintf(calls + len, sizeof(calls) - len, "%s%s +%d", len ? ", " : " [",
				lu->probe[i], lu->calls[i] - before[i]);
	}
	ksft_print_msg("step %s -> %s%s%s\n", what, lu_result(ret), calls, len ? "]" : "");
}

/*
 * Requests to the machine that the test runs on, to do to a device what only a
 * hand at the slot can. LIVEUPDATE_TEST_MACHINE names a folder with two FIFOs,
 * "request" and "answer", that somebody keeps open: one line each way.
 */

static inline int lu_open_fifo(const char *name, int flags)
{
	const char *folder = getenv("LIVEUPDATE_TEST_MACHINE");
	char path[LU_PATH_MAX];
	int fd;

	if (!folder)
		return -EOPNOTSUPP;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Reads a line, without its end, up to a deadline. */
static inline int lu_read_answer(int fd, char *line, size_t size)
{
	__u64 deadline = lu_deadline(LU_ANSWER_SECS);
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	char byte;

	while (lu_now_nsecs() < deadline) {
		/* Short, so that the deadline holds whatever poll() says. */
		poll(&readable, 1, 100);
		while (read(fd, &byte, 1) == 1) {
			line[len] = '\0';
			if (byte == '\n')
				return 0;
			if (len + 1 >= size)
				return -EFBIG;
			line[len++] = byte;
		}
	}
	return -ETIME;
}

/* Lets go by what was answered to somebody who did not wait for it. */
static inline void lu_drop_answers(int fd)
{
	char dropped[256];

	while (read(fd, dropped, sizeof(dropped)) > 0)
		;
}

/*
 * Asks the machine for @verb ("unplug", "surprise" or "plug") on a device. Returns
 * 0 when it accepted, -EREMOTEIO when it did not (and why goes to the output),
 * -ETIME without an answer, -EOPNOTSUPP where there is nobody to ask.
 */
static inline int lu_ask_machine(const char *verb, const char *bdf)
{
	char line[256];
	int request, answer, ret;

	answer = lu_open_fifo("answer", O_RDONLY);
	if (answer < 0)
		return answer;
	request = lu_open_fifo("request", O_WRONLY);
	if (request < 0) {
		close(answer);
		return request;
	}
	lu_drop_answers(answer);
	snprintf(line, sizeof(line), "%s %s\n", verb, bdf);
	errno = 0;
	if (write(request, line, strlen(line)) == (ssize_t)strlen(line))
		ret = lu_read_answer(answer, line, sizeof(line));
	else
		ret = errno ? -errno : -EIO;
	close(request);
	close(answer);
	if (ret || !strcmp(line, "ok"))
		return ret;
	ksft_print_msg("%s %s: the machine says: %s\n", verb, bdf, line);
	return -EREMOTEIO;
}

/*
 * Attributes in sysfs, debugfs and tracefs, or any other file by its path.
 */

/* Writes as "echo -n @text > @path" does. */
static inline int lu_write_path(const char *path, const char *text)
{
	return lu_write_text(path, text, O_TRUNC);
}

/* Reads all of it, without the newline at its end. */
static inline int lu_read_path(const char *path, char *text, size_t size)
{
	size_t len;
	int ret;

	ret = lu_read_text(path, text, size);
	if (ret)
		return ret;
	len = strlen(text);
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	return 0;
}

/*
 * PCI devices: found, opened, removed, unplugged, bound, and at the end brought
 * back to how the test found them. A device is its index in struct lu_test, with
 * LU_VF(n) added for a virtual function of it.
 */

/* Copies the last part of what the link at @path says. */
static inline int lu_read_link_name(const char *path, char *name, size_t size)
{
	char target[LU_PATH_MAX], *last;
	ssize_t len;

	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	last = strrchr(target, '/');
	return lu_copy(name, last ? last + 1 : target, size);
}

/*
 * Writes the device's address to @bdf, which has LU_NAME_MAX bytes, and returns
 * it. A virtual function's is the one it had when it was first asked for; one
 * that was never there is "none", which no device is called.
 */
static inline const char *lu_bdf(struct lu_test *lu, unsigned int dev, char *bdf)
{
	unsigned int nr = dev >> LU_VF_SHIFT, i;
	char path[LU_PATH_MAX];

	lu_copy(bdf, "none", LU_NAME_MAX);
	if (LU_DEVICE(dev) >= lu->nr_devices)
		return bdf;
	if (!nr) {
		lu_copy(bdf, lu->device[dev], LU_NAME_MAX);
		return bdf;
	}
	for (i = 0; i < lu->nr_vfs; i++) {
		if (lu->vf[i].dev == dev) {
			lu_copy(bdf, lu->vf[i].bdf, LU_NAME_MAX);
			return bdf;
		}
	}
	snprintf(path, sizeof(path), LU_PCI "/devices/%s/virtfn%u",
		 lu->device[LU_DEVICE(dev)], nr - 1);
	if (!lu_read_link_name(path, bdf, LU_NAME_MAX) && lu->nr_vfs < LU_VFS_MAX) {
		lu->vf[lu->nr_vfs].dev = dev;
		lu_copy(lu->vf[lu->nr_vfs++].bdf, bdf, LU_NAME_MAX);
	}
	return bdf;
}

/* Writes the path of a device's attribute, LU_PATH_MAX bytes, and returns it. */
static inline const char *lu_device_path(struct lu_test *lu, unsigned int dev,
					 const char *attribute, char *path)
{
	char bdf[LU_NAME_MAX];

	snprintf(path, LU_PATH_MAX, LU_PCI "/devices/%s/%s", lu_bdf(lu, dev, bdf), attribute);
	return path;
}

static inline int lu_write_device_path(struct lu_test *lu, unsigned int dev,
				       const char *attribute, const char *text)
{
	char path[LU_PATH_MAX];

	return lu_write_path(lu_device_path(lu, dev, attribute, path), text);
}

static inline int lu_read_device_path(struct lu_test *lu, unsigned int dev,
				      const char *attribute, char *text, size_t size)
{
	char path[LU_PATH_MAX];

	return lu_read_path(lu_device_path(lu, dev, attribute, path), text, size);
}

/* States --------------------------------------------------------------------- */

static inline bool lu_is_present(struct lu_test *lu, unsigned int dev)
{
	char path[LU_PATH_MAX];

	return !access(lu_device_path(lu, dev, "vendor", path), F_OK);
}

static inline bool lu_is_bound(struct lu_test *lu, unsigned int dev)
{
	char path[LU_PATH_MAX];

	return !access(lu_device_path(lu, dev, "driver", path), F_OK);
}

/*
 * Returns 0 if the device is "absent", "present", "bound" (to any driver) or
 * "unbound" (but present), -ESTALE if it is not, -EINVAL for another word.
 */
static inline int lu_device_is(struct lu_test *lu, unsigned int dev, const char *state)
{
	bool present = lu_is_present(lu, dev);
	bool bound = lu_is_bound(lu, dev);
	bool is;

	if (!strcmp(state, "absent"))
		is = !present;
	else if (!strcmp(state, "present"))
		is = present;
	else if (!strcmp(state, "bound"))
		is = bound;
	else if (!strcmp(state, "unbound"))
		is = present && !bound;
	else
		return -EINVAL;
	return is ? 0 : -ESTALE;
}

/* Waits until the device is so; -ETIME if it takes longer than LU_DEVICE_SECS. */
static inline int lu_wait_device(struct lu_test *lu, unsigned int dev, const char *state)
{
	__u64 deadline = lu_deadline(LU_DEVICE_SECS);
	int ret;

	for (;;) {
		ret = lu_device_is(lu, dev, state);
		if (ret != -ESTALE)
			return ret;
		if (lu_now_nsecs() > deadline)
			return -ETIME;
		lu_pause_msecs(10);
	}
}

/* Coming and going ------------------------------------------------------------ */

static inline int lu_open_device(struct lu_test *lu, unsigned int dev)
{
	char path[128], bdf[LU_NAME_MAX];
	int fd;

	snprintf(path, sizeof(path), "/dev/liveupdate-test/%s", lu_bdf(lu, dev, bdf));
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static inline int lu_remove_device(struct lu_test *lu, unsigned int dev)
{
	lu->removed = true;
	return lu_write_device_path(lu, dev, "remove", "1");
}

static inline int lu_rescan(void)
{
	return lu_write_text(LU_PCI "/rescan", "1", 0);
}

/* Finds the slot of the device: it has the device's address, but no function. */
static inline int lu_find_slot(struct lu_test *lu, unsigned int dev, char *slot)
{
	char path[LU_PATH_MAX], address[LU_NAME_MAX], bdf[LU_NAME_MAX];
	struct dirent *entry;
	int ret = -ENOENT;
	size_t len;
	DIR *dir;

	len = strcspn(lu_bdf(lu, dev, bdf), ".");
	dir = opendir(LU_PCI "/slots");
	if (!dir)
		return -errno;
	while (ret && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), LU_PCI "/slots/%s/address", entry->d_name);
		if (lu_read_path(path, address, sizeof(address)))
			continue;
		if (strlen(address) == len && !strncmp(address, bdf, len))
			ret = lu_copy(slot, entry->d_name, LU_NAME_MAX);
	}
	closedir(dir);
	return ret;
}

static inline int lu_write_slot_power(const char *slot, const char *power)
{
	char path[LU_PATH_MAX];

	snprintf(path, sizeof(path), LU_PCI "/slots/%s/power", slot);
	return lu_write_path(path, power);
}

/* Switches the device's slot off, and waits until the device is gone. */
static inline int lu_power_off_slot(struct lu_test *lu, unsigned int dev)
{
	char slot[LU_NAME_MAX];
	int ret;

	ret = lu_find_slot(lu, dev, slot);
	if (ret)
		return ret;
	lu_copy(lu->found[LU_DEVICE(dev)].slot, slot, LU_NAME_MAX);
	ret = lu_write_slot_power(slot, "0");
	return ret ? ret : lu_wait_device(lu, dev, "absent");
}

static inline int lu_take_device(struct lu_test *lu, unsigned int dev, const char *verb)
{
	char bdf[LU_NAME_MAX];
	int ret;

	ret = lu_ask_machine(verb, lu_bdf(lu, dev, bdf));
	return ret ? ret : lu_wait_device(lu, dev, "absent");
}

/* The machine asks for the device, as by the button; the kernel lets it go. */
static inline int lu_unplug_device(struct lu_test *lu, unsigned int dev)
{
	return lu_take_device(lu, dev, "unplug");
}

/* The machine takes the device, and the kernel finds it gone. */
static inline int lu_surprise_device(struct lu_test *lu, unsigned int dev)
{
	return lu_take_device(lu, dev, "surprise");
}

/* The slot gets a device of its kind again; waits until a driver has it, if one had. */
static inline int lu_plug_device(struct lu_test *lu, unsigned int dev)
{
	bool was_bound = lu->found[LU_DEVICE(dev)].was_bound;
	char bdf[LU_NAME_MAX];
	int ret;

	ret = lu_ask_machine("plug", lu_bdf(lu, dev, bdf));
	return ret ? ret : lu_wait_device(lu, dev, was_bound ? "bound" : "present");
}

/*
 * Removes the bridge so many @levels above the device, 1 being the port that it
 * is plugged into. The way there is the one at the test's setup, so that it is
 * found when the device itself is gone.
 */
static inline int lu_remove_bridge(struct lu_test *lu, unsigned int dev, unsigned int levels)
{
	char path[LU_PATH_MAX + 16], *last;
	unsigned int domain, bus, device;

	if (!levels || LU_DEVICE(dev) >= lu->nr_devices)
		return -EINVAL;
	lu_copy(path, lu->found[LU_DEVICE(dev)].path, LU_PATH_MAX);
	while (levels--) {
		last = strrchr(path, '/');
		if (!last)
			return -EINVAL;
		*last = '\0';
	}
	last = strrchr(path, '/');
	/* Above the root port there is the host bridge, which has no address. */
	if (!last || sscanf(last, "/%x:%x:%x.", &domain, &bus, &device) != 3)
		return -EINVAL;
	lu->removed = true;
	lu_copy(path + strlen(path), "/remove", sizeof("/remove"));
	return lu_write_path(path, "1");
}

/* Drivers ---------------------------------------------------------------------- */

static inline int lu_unbind(struct lu_test *lu, unsigned int dev)
{
	char bdf[LU_NAME_MAX];

	return lu_write_device_path(lu, dev, "driver/unbind", lu_bdf(lu, dev, bdf));
}

static inline int lu_probe(struct lu_test *lu, unsigned int dev)
{
	char bdf[LU_NAME_MAX];

	return lu_write_text(LU_PCI "/drivers_probe", lu_bdf(lu, dev, bdf), 0);
}

/*
 * Binds the device to the driver, whether the driver knows it or not, and leaves
 * no override behind. -EBUSY if it is bound, -ENODEV if the driver did not take it.
 */
static inline int lu_bind(struct lu_test *lu, unsigned int dev, const char *driver)
{
	char path[LU_PATH_MAX], name[LU_NAME_MAX];
	int ret;

	if (lu_is_bound(lu, dev))
		return -EBUSY;
	ret = lu_write_device_path(lu, dev, "driver_override", driver);
	if (ret)
		return ret;
	ret = lu_probe(lu, dev);
	lu_write_device_path(lu, dev, "driver_override", "\n");
	if (ret)
		return ret;
	if (lu_read_link_name(lu_device_path(lu, dev, "driver", path), name, sizeof(name)))
		return -ENODEV;
	return strcmp(name, driver) ? -ENODEV : 0;
}

/* Finding and bringing back ----------------------------------------------------- */

static inline int lu_compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Returns how many virtual functions the device has, 0 for one that cannot. */
static inline unsigned int lu_read_nr_vfs(struct lu_test *lu, unsigned int dev)
{
	char text[16];

	if (lu_read_device_path(lu, dev, "sriov_numvfs", text, sizeof(text)))
		return 0;
	return (unsigned int)strtoul(text, NULL, 10);
}

/* Notes how each device was found, so that it can be left like that. */
static inline void lu_note_devices(struct lu_test *lu)
{
	char path[LU_PATH_MAX], whole[PATH_MAX];
	struct lu_device *device;
	unsigned int i;

	for (i = 0; i < lu->nr_devices; i++) {
		device = &lu->found[i];
		device->was_present = lu_is_present(lu, i);
		device->was_bound = lu_is_bound(lu, i);
		device->nr_vfs = lu_read_nr_vfs(lu, i);
		if (realpath(lu_device_path(lu, i, ".", path), whole))
			lu_copy(device->path, whole, sizeof(device->path));
	}
}

/*
 * Finds the devices: those named in the environment variable
 * LIVEUPDATE_TEST_BDF (separated by commas), else all that are bound to the
 * driver, in the order of their addresses.
 */
static inline void lu_find_devices(struct lu_test *lu)
{
	const char *named = getenv("LIVEUPDATE_TEST_BDF");
	struct dirent *entry;
	size_t len;
	DIR *dir;

	while (named && *named && lu->nr_devices < LU_DEVICES_MAX) {
		len = strcspn(named, ",");
		snprintf(lu->device[lu->nr_devices++], LU_NAME_MAX, "%.*s", (int)len, named);
		named += len + (named[len] == ',');
	}
	if (lu->nr_devices)
		return;
	dir = opendir(LU_DRIVER_DIR);
	if (!dir)
		return;
	while ((entry = readdir(dir)) && lu->nr_devices < LU_DEVICES_MAX) {
		len = strlen(entry->d_name);
		if (strchr(entry->d_name, ':') && len < LU_NAME_MAX)
			memcpy(lu->device[lu->nr_devices++], entry->d_name, len + 1);
	}
	closedir(dir);
	qsort(lu->device, lu->nr_devices, LU_NAME_MAX, lu_compare_names);
}

/* Brings one device back that somebody removed, powered off or took away. */
static inline void lu_bring_back(struct lu_test *lu, unsigned int dev)
{
	const char *slot = lu->found[dev].slot;

	/* A slot without power has nothing for a rescan to find. */
	if (*slot && !lu_is_present(lu, dev))
		lu_write_slot_power(slot, "1");
	if (!lu_is_present(lu, dev) && getenv("LIVEUPDATE_TEST_MACHINE"))
		lu_plug_device(lu, dev);
	if (!lu_is_present(lu, dev))
		ksft_print_msg("%s did not come back\n", lu->device[dev]);
}

static inline void lu_restore_device(struct lu_test *lu, unsigned int dev)
{
	const struct lu_device *was = &lu->found[dev];
	char vfs[16];

	if (was->was_present && !lu_is_present(lu, dev))
		lu_bring_back(lu, dev);
	if (was->nr_vfs != lu_read_nr_vfs(lu, dev)) {
		lu_write_device_path(lu, dev, "sriov_numvfs", "0");
		snprintf(vfs, sizeof(vfs), "%u", was->nr_vfs);
		lu_write_device_path(lu, dev, "sriov_numvfs", vfs);
	}
	if (was->was_bound && !lu_is_bound(lu, dev))
		lu_probe(lu, dev);
	if (!was->was_bound && lu_is_bound(lu, dev))
		lu_unbind(lu, dev);
}

static inline void lu_restore_devices(struct lu_test *lu)
{
	unsigned int i;

	for (i = 0; i < lu->nr_devices; i++)
		lu->removed |= lu->found[i].was_present && !lu_is_present(lu, i);
	if (lu->removed)
		lu_rescan();
	for (i = 0; i < lu->nr_devices; i++)
		lu_restore_device(lu, i);
}

/*
 * Files by their descriptor: any file, memfds with contents and seals, and the
 * registers of a device's file.
 */

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE	0x0010
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC		0x0020
#endif

static inline int lu_open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

/* Registers below 0x80 have 4 bytes, those from 0x80 on have 8. */
static inline size_t lu_register_size(off_t at)
{
	return at < 0x80 ? 4 : 8;
}

static inline int lu_write_register(int fd, off_t at, __u64 value)
{
	size_t size = lu_register_size(at);
	ssize_t len;

	len = pwrite(fd, &value, size, at);
	if (len < 0)
		return -errno;
	return len == (ssize_t)size ? 0 : -EIO;
}

static inline int lu_read_register(int fd, off_t at, __u64 *value)
{
	size_t size = lu_register_size(at);
	ssize_t len;

	*value = 0;
	len = pread(fd, value, size, at);
	if (len < 0)
		return -errno;
	return len == (ssize_t)size ? 0 : -EIO;
}

static inline int lu_write_file(int fd, off_t at, const char *contents)
{
	size_t size = strlen(contents);
	ssize_t len;

	len = pwrite(fd, contents, size, at);
	if (len < 0)
		return -errno;
	return len == (ssize_t)size ? 0 : -EIO;
}

/* Reads the whole file as a string; one that does not fit is an error. */
static inline int lu_read_file(int fd, char *contents, size_t size)
{
	ssize_t len;

	contents[0] = '\0';
	len = pread(fd, contents, size, 0);
	if (len < 0)
		return -errno;
	if ((size_t)len == size) {
		contents[size - 1] = '\0';
		return -EFBIG;
	}
	contents[len] = '\0';
	return 0;
}

static inline int lu_create_memfd(const char *name, const char *contents)
{
	int fd, ret;

	fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0)
		return -errno;
	ret = lu_write_file(fd, 0, contents);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

static inline int lu_size(int fd)
{
	struct stat stat;

	if (fstat(fd, &stat))
		return -errno;
	return stat.st_size > INT_MAX ? -EOVERFLOW : (int)stat.st_size;
}

/*
 * Returns 0 if a shared mapping of the file shows the contents, and nothing but
 * zeros up to the file's end, -EBADMSG otherwise.
 */
static inline int lu_check_mapping(int fd, const char *contents)
{
	int len = (int)strlen(contents), size = lu_size(fd), ret = 0, i;
	char *map;

	if (size < 0)
		return size;
	/* Nothing is mapped behind the file's end. */
	if (size < len)
		return -EBADMSG;
	if (!size)
		return 0;
	map = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (map == MAP_FAILED)
		return -errno;
	if (memcmp(map, contents, len))
		ret = -EBADMSG;
	for (i = len; i < size && !ret; i++) {
		if (map[i])
			ret = -EBADMSG;
	}
	munmap(map, size);
	return ret;
}

static inline int lu_truncate(int fd, off_t size)
{
	return ftruncate(fd, size) ? -errno : 0;
}

/* Adds the seals to those that the memfd has. */
static inline int lu_seal(int fd, int seals)
{
	return fcntl(fd, F_ADD_SEALS, seals) ? -errno : 0;
}

/* Returns the seals of the memfd. */
static inline int lu_seals(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals < 0 ? -errno : seals;
}

/*
 * Sessions of /dev/liveupdate, by libliveupdate where the Makefile says that it
 * is there, and the process that keeps them until a kexec.
 */

#ifdef LU_HAVE_LIBLIVEUPDATE

#include <libliveupdate.h>

static inline int lu_create_session(struct lu_test *lu, const char *name)
{
	return luo_create_session(lu->liveupdate, name);
}

static inline int lu_retrieve_session(struct lu_test *lu, const char *name)
{
	return luo_retrieve_session(lu->liveupdate, name);
}

static inline int lu_session_name(int session, char *name, size_t size)
{
	name[0] = '\0';
	return luo_get_session_name(session, name, size);
}

static inline int lu_preserve(int session, int fd, __u64 token)
{
	return luo_session_preserve_fd(session, fd, token);
}

static inline int lu_retrieve(int session, __u64 token)
{
	return luo_session_retrieve_fd(session, token);
}

static inline int lu_finish(int session)
{
	return luo_session_finish(session);
}

#else /* !LU_HAVE_LIBLIVEUPDATE */

static inline int lu_create_session(struct lu_test *lu, const char *name)
{
	struct liveupdate_ioctl_create_session arg = { .size = sizeof(arg) };

	snprintf((char *)arg.name, sizeof(arg.name), "%s", name);
	if (ioctl(lu->liveupdate, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg))
		return -errno;
	return arg.fd;
}

static inline int lu_retrieve_session(struct lu_test *lu, const char *name)
{
	struct liveupdate_ioctl_retrieve_session arg = { .size = sizeof(arg) };

	snprintf((char *)arg.name, sizeof(arg.name), "%s", name);
	if (ioctl(lu->liveupdate, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &arg))
		return -errno;
	return arg.fd;
}

static inline int lu_session_name(int session, char *name, size_t size)
{
	struct liveupdate_session_get_name arg = { .size = sizeof(arg) };

	name[0] = '\0';
	if (ioctl(session, LIVEUPDATE_SESSION_GET_NAME, &arg))
		return -errno;
	snprintf(name, size, "%.*s", (int)sizeof(arg.name), (const char *)arg.name);
	return 0;
}

static inline int lu_preserve(int session, int fd, __u64 token)
{
	struct liveupdate_session_preserve_fd arg = {
		.size = sizeof(arg),
		.fd = fd,
		.token = token,
	};

	if (ioctl(session, LIVEUPDATE_SESSION_PRESERVE_FD, &arg))
		return -errno;
	return 0;
}

static inline int lu_retrieve(int session, __u64 token)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg),
		.token = token,
	};

	if (ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg))
		return -errno;
	return arg.fd;
}

static inline int lu_finish(int session)
{
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };

	if (ioctl(session, LIVEUPDATE_SESSION_FINISH, &arg))
		return -errno;
	return 0;
}

#endif /* LU_HAVE_LIBLIVEUPDATE */

/*
 * Returns true when a session that was not found means that no kernel before
 * this one ran the stage before. Whoever arranges the kexec sets
 * LIVEUPDATE_TEST_HANDED_OVER, and then a session that is lost is a failure.
 */
static inline bool lu_nothing_handed_over(int ret)
{
	return ret == -ENOENT && !getenv("LIVEUPDATE_TEST_HANDED_OVER");
}

/*
 * The process that stays behind: it holds no standard stream, which somebody may
 * wait on to end, and it leaves the test's process group. Says by a byte to
 * @ready when it has done so.
 */
static inline void lu_keeper(struct lu_test *lu, int ready)
{
	int null = open("/dev/null", O_RDWR);

	if (null < 0 || setsid() < 0)
		_exit(1);
	signal(SIGALRM, SIG_DFL);
	alarm(LU_KEEPER_SECS);
	lu_close(&lu->liveupdate);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	if (write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
	for (;;)
		pause();
}

/*
 * Leaves a process behind that holds all that this one has open, so that
 * sessions and files live until the kexec. Only where LIVEUPDATE_TEST_KEXEC says
 * that a kexec follows: anywhere else the session would be in the way of the
 * next run of this test.
 */
static inline int lu_keep_until_kexec(struct lu_test *lu)
{
	int ready[2], ret;
	ssize_t len;
	pid_t pid;
	char byte;

	if (!getenv("LIVEUPDATE_TEST_KEXEC")) {
		ksft_print_msg("LIVEUPDATE_TEST_KEXEC is not set: the session ends here\n");
		return 0;
	}
	fflush(stdout);
	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0) {
		ret = -errno;
		close(ready[0]);
		close(ready[1]);
		return ret;
	}
	if (!pid) {
		close(ready[0]);
		lu_keeper(lu, ready[1]);
	}
	close(ready[1]);
	/* One that ends before it is ready closes the pipe, and this gives 0. */
	len = read(ready[0], &byte, 1);
	close(ready[0]);
	lu->kept = len == 1;
	return lu->kept ? 0 : -ECHILD;
}

/*
 * The test driver's files in debugfs: users of its FLBs inside the kernel, and
 * callbacks that fail on request.
 */

/*
 * Lets the user do what the last of the words says, "get", "use" or "put", on the
 * object behind the file that the first says. Opens it the first time.
 */
static inline int lu_let_user(int *fd, const char *const words[2])
{
	const char *file = words[1] ? words[0] : "outgoing_flb";
	const char *what = words[1] ? words[1] : words[0];
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
 * lu_user(fd, file, what), @file being "outgoing_flb", "incoming_flb" or "other_flb";
 * without one, as lu_user(fd, what), it is the first of these.
 */
#define lu_user(fd, ...) lu_let_user(fd, (const char *const [2]) { __VA_ARGS__ })

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
}

/*
 * Processes that own what would otherwise be this one's, so that it can be lost by
 * kill -9.
 */

static inline int lu_compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes all descriptors but the @n ones in @keep, which gets sorted. */
static inline int lu_close_others(int *keep, unsigned int n)
{
	unsigned int first = 0, i;

	qsort(keep, n, sizeof(*keep), lu_compare_ints);
	for (i = 0; i < n; i++) {
		if ((unsigned int)keep[i] > first &&
		    syscall(__NR_close_range, first, keep[i] - 1, 0))
			return -errno;
		first = keep[i] + 1;
	}
	return syscall(__NR_close_range, first, ~0U, 0) ? -errno : 0;
}

/* What the new process does: holds the descriptors in @keep, and nothing more. */
static inline void lu_own(int *keep, unsigned int n, int ready)
{
	pid_t parent = getppid();

	/* It must not outlive the test, whatever becomes of that. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	keep[n++] = ready;
	if (lu_close_others(keep, n))
		_exit(1);
	if (write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
	for (;;)
		pause();
}

/* Kills the process and waits until all it owned is gone; -ESRCH without one. */
static inline int lu_kill_process(pid_t *pid)
{
	__u64 deadline = lu_deadline(LU_PROCESS_SECS);
	pid_t dead, killed = *pid;

	*pid = -1;
	if (killed <= 0)
		return -ESRCH;
	if (kill(killed, SIGKILL))
		return -errno;
	while (!(dead = waitpid(killed, NULL, WNOHANG))) {
		if (lu_now_nsecs() > deadline)
			return -ETIME;
		lu_pause_msecs(1);
	}
	return dead < 0 ? -errno : 0;
}

/*
 * Waits until the new process has let go of what it is not to hold: it writes a
 * byte, and closes the pipe. One that fails closes it without a byte.
 */
static inline int lu_await_owner(pid_t *pid, int ready)
{
	struct pollfd readable = { .fd = ready, .events = POLLIN };
	ssize_t len = 1, bytes = 0;
	char byte;

	while (len == 1 && poll(&readable, 1, LU_PROCESS_SECS * 1000) == 1) {
		len = read(ready, &byte, 1);
		bytes += len;
	}
	if (bytes == 1 && !len)
		return 0;
	lu_kill_process(pid);
	return -ECHILD;
}

static inline int lu_fork_owner(pid_t *pid, int *keep, unsigned int n)
{
	int ready[2], ret = 0;

	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	fflush(stdout);
	*pid = fork();
	if (!*pid)
		lu_own(keep, n, ready[1]);
	if (*pid < 0)
		ret = -errno;
	close(ready[1]);
	if (!ret)
		ret = lu_await_owner(pid, ready[0]);
	close(ready[0]);
	return ret;
}

/*
 * Starts a process that owns the @n descriptors in @fds from now on: here they
 * are closed and set to -1. It holds nothing else of ours, and does nothing.
 */
static inline int lu_start_process(struct lu_test *lu, pid_t *pid, int *fds[], unsigned int n)
{
	int keep[LU_KEPT_MAX + 1];
	unsigned int i;
	int ret;

	*pid = -1;
	if (n > LU_KEPT_MAX || lu->nr_processes == LU_PROCESSES_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		if (*fds[i] < 0)
			return -EBADF;
		keep[i] = *fds[i];
	}
	ret = lu_fork_owner(pid, keep, n);
	if (ret)
		return ret;
	lu->process[lu->nr_processes++] = pid;
	for (i = 0; i < n; i++)
		lu_close(fds[i]);
	return 0;
}

static inline void lu_kill_processes(struct lu_test *lu)
{
	while (lu->nr_processes)
		lu_kill_process(lu->process[--lu->nr_processes]);
}

/*
 * Allocations that fail: the n-th one of this thread.
 */

/*
 * Lets allocations fail that may sleep, which is nearly all of them, and without
 * a stack trace in the log, which would look like a complaint.
 */
static inline int lu_arm_failslab(struct lu_test *lu)
{
	int ret;

	if (lu->failslab)
		return 0;
	ret = lu_read_path(LU_FAILSLAB "/ignore-gfp-wait", lu->ignore_gfp_wait,
			   sizeof(lu->ignore_gfp_wait));
	if (!ret)
		ret = lu_read_path(LU_FAILSLAB "/verbose", lu->verbose, sizeof(lu->verbose));
	if (ret)
		return ret;
	lu->failslab = true;
	ret = lu_write_path(LU_FAILSLAB "/verbose", "0");
	return ret ? ret : lu_write_path(LU_FAILSLAB "/ignore-gfp-wait", "N");
}

/*
 * The @n-th allocation of this thread from now on fails, be it for the step itself
 * or for a system call on the way.
 */
static inline int lu_fail_nth(struct lu_test *lu, unsigned int n)
{
	char text[16];
	int ret, len;

	ret = lu_arm_failslab(lu);
	if (ret)
		return ret;
	lu_close(&lu->fail_nth);
	lu->fail_nth = open(LU_FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (lu->fail_nth < 0)
		return -errno;
	len = snprintf(text, sizeof(text), "%u", n);
	return write(lu->fail_nth, text, len) == len ? 0 : -EIO;
}

/* No allocation fails any more. Returns 1 if one did since lu_fail_nth(), else 0. */
static inline int lu_fail_nth_hit(struct lu_test *lu)
{
	char left[16] = "";
	ssize_t len;

	if (lu->fail_nth < 0)
		return -EINVAL;
	len = pread(lu->fail_nth, left, sizeof(left) - 1, 0);
	if (pwrite(lu->fail_nth, "0", 1, 0) != 1)
		len = -1;
	lu_close(&lu->fail_nth);
	if (len < 1)
		return -EIO;
	return strtoul(left, NULL, 10) == 0;
}

/*
 * Does @step again and again, each time with the next of its allocations failing,
 * until none is left that could. Returns what it returned then. -EBADMSG if it
 * returned anything but -ENOMEM before, -EOVERFLOW if that takes no end.
 */
static inline int lu_fail_each(struct lu_test *lu, int (*step)(void *data), void *data)
{
	unsigned int n;
	int ret, hit;

	for (n = 1; n <= LU_ALLOCATIONS_MAX; n++) {
		ret = lu_fail_nth(lu, n);
		if (ret)
			return ret;
		ret = step(data);
		hit = lu_fail_nth_hit(lu);
		if (hit < 0)
			return hit;
		if (!hit)
			return ret;
		if (ret != -ENOMEM) {
			ksft_print_msg("with allocation %u failing: %s\n", n, lu_result(ret));
			return -EBADMSG;
		}
	}
	return -EOVERFLOW;
}

static inline void lu_disarm_faults(struct lu_test *lu)
{
	if (lu->fail_nth >= 0)
		lu_fail_nth_hit(lu);
	if (!lu->failslab)
		return;
	lu_write_path(LU_FAILSLAB "/ignore-gfp-wait", lu->ignore_gfp_wait);
	lu_write_path(LU_FAILSLAB "/verbose", lu->verbose);
	lu->failslab = false;
}

/*
 * Threads, each with one step to do on a processor of its own. It starts at a gate,
 * so that whatever its step needs can be made ready for its task.
 */

/* Returns the @n-th of the processors that the test may run on, or -EOPNOTSUPP. */
static inline int lu_nth_cpu(const cpu_set_t *cpus, unsigned int n)
{
	int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, cpus) && !n--)
			return cpu;
	}
	return -EOPNOTSUPP;
}

static inline int lu_pin_to_cpu(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) ? -errno : 0;
}

/* Keeps this thread on its first processor, so that the others have theirs alone. */
static inline int lu_pin(struct lu_test *lu)
{
	if (lu->pinned)
		return 0;
	if (sched_getaffinity(0, sizeof(lu->cpus), &lu->cpus))
		return -errno;
	if (lu_nth_cpu(&lu->cpus, 1) < 0)
		return -EOPNOTSUPP;
	lu->pinned = true;
	return lu_pin_to_cpu(lu_nth_cpu(&lu->cpus, 0));
}

static inline void lu_unpin(struct lu_test *lu)
{
	if (lu->pinned)
		sched_setaffinity(0, sizeof(lu->cpus), &lu->cpus);
	lu->pinned = false;
}

/*
 * Waits for the other thread, if there is one to meet, and then for as long as it
 * has a head start. Nothing that sleeps is as exact as going round in circles.
 */
static inline void lu_meet(struct lu_thread *thread)
{
	__u64 deadline = lu_deadline(LU_THREAD_SECS);

	if (thread->meeting) {
		__atomic_add_fetch(thread->meeting, 1, __ATOMIC_ACQ_REL);
		while (__atomic_load_n(thread->meeting, __ATOMIC_ACQUIRE) < 2 &&
		       lu_now_nsecs() < deadline)
			;
	}
	thread->start = lu_now_nsecs();
	if (thread->delay > 0)
		thread->start += thread->delay;
	while (lu_now_nsecs() < thread->start)
		;
}

static inline void *lu_run_thread(void *arg)
{
	struct lu_thread *thread = arg;

	thread->tid = (pid_t)syscall(__NR_gettid);
	if (lu_pin_to_cpu(thread->cpu))
		thread->called_off = true;
	sem_post(&thread->ready);
	while (sem_wait(&thread->gate))
		;
	if (!thread->called_off) {
		lu_meet(thread);
		thread->ret = thread->step(thread->data);
	}
	thread->end = lu_now_nsecs();
	__atomic_store_n(&thread->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

static inline bool lu_has_ended(const struct lu_thread *thread)
{
	return __atomic_load_n(&thread->ended, __ATOMIC_ACQUIRE);
}

/*
 * Waits until the thread has ended. One that does not within LU_THREAD_SECS is left
 * to itself, with -EDEADLK.
 */
static inline int lu_join(struct lu_thread *thread)
{
	__u64 deadline = lu_deadline(LU_THREAD_SECS);

	if (!thread->running)
		return -EINVAL;
	thread->running = false;
	while (!lu_has_ended(thread)) {
		if (lu_now_nsecs() > deadline) {
			pthread_detach(thread->thread);
			return -EDEADLK;
		}
		lu_pause_msecs(1);
	}
	pthread_join(thread->thread, NULL);
	sem_destroy(&thread->ready);
	sem_destroy(&thread->gate);
	return 0;
}

/* Ends a thread that still stands at its gate, without its step. */
static inline void lu_call_off(struct lu_thread *thread)
{
	thread->called_off = true;
	sem_post(&thread->gate);
	lu_join(thread);
}

/* Starts a thread on @cpu, and waits until it stands at its gate. */
static inline int lu_start_thread(struct lu_thread *thread, int cpu, int (*step)(void *data),
				  void *data)
{
	int ret;

	memset(thread, 0, sizeof(*thread));
	thread->cpu = cpu;
	thread->step = step;
	thread->data = data;
	thread->ret = -EINPROGRESS;
	if (sem_init(&thread->ready, 0, 0) || sem_init(&thread->gate, 0, 0))
		return -errno;
	ret = -pthread_create(&thread->thread, NULL, lu_run_thread, thread);
	if (ret)
		return ret;
	thread->running = true;
	while (sem_wait(&thread->ready))
		;
	if (!thread->called_off)
		return 0;
	lu_call_off(thread);
	return -EOPNOTSUPP;
}

/*
 * Hold points: a thread stands still at a kernel function for as long as the test
 * wants, by the module hold_point. So the interleaving that was asked for is the
 * one that happens, or the test says that it did not.
 */

#define LU_HOLD_MODULE	"hold_point"

/* Where the module is: LIVEUPDATE_TEST_MODULES, else beside the program. */
static inline int lu_hold_module(char *path, size_t size)
{
	const char *folder = getenv("LIVEUPDATE_TEST_MODULES");
	char self[LU_PATH_MAX], *last;
	ssize_t len;

	if (folder) {
		snprintf(path, size, "%s/" LU_HOLD_MODULE ".ko", folder);
		return access(path, R_OK) ? -errno : 0;
	}
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len < 0)
		return -errno;
	self[len] = '\0';
	last = strrchr(self, '/');
	if (last)
		*last = '\0';
	snprintf(path, size, "%s/test_modules/" LU_HOLD_MODULE ".ko", self);
	return access(path, R_OK) ? -errno : 0;
}

static inline int lu_load_hold_module(struct lu_test *lu)
{
	char path[LU_PATH_MAX + 64];
	int fd, ret;

	if (!access(LU_HOLD_FILE, F_OK))
		return 0;
	ret = lu_hold_module(path, sizeof(path));
	if (ret)
		return ret;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = syscall(__NR_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	lu->hold_loaded = !ret;
	return ret;
}

static inline void lu_unload_hold_module(struct lu_test *lu)
{
	if (lu->hold_loaded)
		syscall(__NR_delete_module, LU_HOLD_MODULE, O_NONBLOCK);
	lu->hold_loaded = false;
}

/* Says whether the hold point is in this state; each read gives it anew. */
static inline bool lu_hold_is(struct lu_test *lu, const char *state)
{
	char text[32];
	ssize_t len;

	len = read(lu->hold, text, sizeof(text) - 1);
	if (len < 1)
		return false;
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return !strcmp(text, state);
}

static inline int lu_arm_hold(struct lu_test *lu, const char *where)
{
	char line[256];
	ssize_t len;

	lu->hold = open(LU_HOLD_FILE, O_RDWR | O_CLOEXEC);
	if (lu->hold < 0)
		return -errno;
	len = snprintf(line, sizeof(line), "hold %s %d %d", where, lu->held.tid, LU_HELD_MSECS);
	if (write(lu->hold, line, len) == len)
		return 0;
	return errno ? -errno : -EIO;
}

/*
 * Waits until the thread is held: -ENOTRECOVERABLE if its step ended without being
 * held, -ETIME if it was held no longer, or took too long to get there.
 */
static inline int lu_await_held(struct lu_test *lu)
{
	__u64 deadline = lu_deadline(LU_HOLD_SECS);
	bool ended;

	while (lu_now_nsecs() < deadline) {
		ended = lu_has_ended(&lu->held);
		if (lu_hold_is(lu, "held"))
			return 0;
		if (lu_hold_is(lu, "expired"))
			return -ETIME;
		if (ended)
			return -ENOTRECOVERABLE;
		lu_pause_msecs(1);
	}
	return -ETIME;
}

/* Lets the thread go if it is held, and waits for its end. */
static inline int lu_end_held(struct lu_test *lu)
{
	int ret = 0;

	/* Closing the file releases the thread, and takes the hold point back. */
	lu_close(&lu->hold);
	if (lu->held.running)
		ret = lu_join(&lu->held);
	lu_unpin(lu);
	return ret;
}

/*
 * Has a thread on another processor do @step, and holds it at @where, a kernel
 * function, or "FUNCTION%return". Returns 0 once it is held. Otherwise the step
 * has been done, or never began, and nothing is to be released.
 */
static inline int lu_hold(struct lu_test *lu, const char *where, int (*step)(void *data),
			  void *data)
{
	int ret;

	if (lu->held.running)
		return -EBUSY;
	ret = lu_load_hold_module(lu);
	if (!ret)
		ret = lu_pin(lu);
	if (!ret)
		ret = lu_start_thread(&lu->held, lu_nth_cpu(&lu->cpus, 1), step, data);
	if (ret) {
		lu_unpin(lu);
		return ret;
	}
	ret = lu_arm_hold(lu, where);
	if (ret) {
		lu_call_off(&lu->held);
		lu_end_held(lu);
		return ret;
	}
	sem_post(&lu->held.gate);
	ret = lu_await_held(lu);
	if (ret)
		lu_end_held(lu);
	return ret;
}

/* Returns 0 as long as the thread is held, -ETIME once it is not. */
static inline int lu_held(struct lu_test *lu)
{
	return lu->hold >= 0 && lu_hold_is(lu, "held") ? 0 : -ETIME;
}

/*
 * Lets the thread go, and gives what its step returned. -ETIME if it was not held
 * up to this moment, -EDEADLK if it does not come to its end.
 */
static inline int lu_release(struct lu_test *lu, int *ret)
{
	bool held = !lu_held(lu);
	int ended;

	*ret = -EINPROGRESS;
	if (lu->hold < 0)
		return -ETIME;
	/* It may have expired after it was looked at, and then stays so. */
	if (write(lu->hold, "release", strlen("release")) < 0 || !lu_hold_is(lu, "released"))
		held = false;
	ended = lu_end_held(lu);
	if (ended)
		return ended;
	*ret = lu->held.ret;
	return held ? 0 : -ETIME;
}

/*
 * Races that nobody decides: two steps at the same time on two processors, again
 * and again, with a head start for one of them that differs from round to round.
 */

/* The head start at first, and the most that it ever grows to. */
#define LU_RACE_SKEW_MIN_NSECS	20000
#define LU_RACE_SKEW_MAX_NSECS	500000000

/*
 * Returns a head start in nanoseconds, below zero for the other side. The bits of
 * the round's number, backwards, fill the range evenly however many rounds come.
 */
static inline long long lu_race_skew(const struct lu_races *races, unsigned int round)
{
	long long range = (long long)(races->typical + races->typical / 2);
	unsigned int bit, place = 0;

	/* As long as one order never came, it may need more than what was tried. */
	if (!races->a_first || !races->b_first)
		range += range * round / 16;
	if (range < LU_RACE_SKEW_MIN_NSECS)
		range = LU_RACE_SKEW_MIN_NSECS;
	if (range > LU_RACE_SKEW_MAX_NSECS)
		range = LU_RACE_SKEW_MAX_NSECS;
	for (bit = 0; bit < 16; bit++)
		place |= ((round >> bit) & 1) << (15 - bit);
	return range * (2 * (long long)place - 65536) / 65536;
}

static inline void lu_count_race(struct lu_races *races, const struct lu_thread *a,
				 const struct lu_thread *b)
{
	__u64 longer = a->end - a->start;

	if (b->end - b->start > longer)
		longer = b->end - b->start;
	/* One that was slow for once must not pull the two apart for good. */
	races->typical += longer / 4 - races->typical / 4;
	if (a->end < b->end)
		races->a_first++;
	else
		races->b_first++;
}

/* Lets both go at once but for the skew, and waits for both. */
static inline int lu_run_race(struct lu_test *lu, struct lu_thread *a, struct lu_thread *b,
			      long long skew)
{
	static unsigned int meeting;
	int ret, other;

	meeting = 0;
	a->meeting = &meeting;
	a->delay = -skew;
	b->meeting = &meeting;
	b->delay = skew;
	sem_post(&a->gate);
	sem_post(&b->gate);
	ret = lu_join(a);
	other = lu_join(b);
	if (ret || other)
		return -EDEADLK;
	lu_count_race(&lu->races, a, b);
	return 0;
}

/*
 * Has two threads do @a and @b at the same time, and gives what they returned.
 * @round, counted from 0, decides who has a head start. -EDEADLK if one of them does
 * not come to its end.
 */
static inline int lu_race(struct lu_test *lu, int (*a)(void *data), int (*b)(void *data),
			  void *data, unsigned int round, int *ra, int *rb)
{
	/* One that does not end goes on using its place when this returns. */
	static struct lu_thread threads[2];
	int ret;

	*ra = -EINPROGRESS;
	*rb = -EINPROGRESS;
	if (sched_getaffinity(0, sizeof(lu->cpus), &lu->cpus))
		return -errno;
	if (lu_nth_cpu(&lu->cpus, 1) < 0)
		return -EOPNOTSUPP;
	ret = lu_start_thread(&threads[0], lu_nth_cpu(&lu->cpus, 0), a, data);
	if (ret)
		return ret;
	ret = lu_start_thread(&threads[1], lu_nth_cpu(&lu->cpus, 1), b, data);
	if (ret) {
		lu_call_off(&threads[0]);
		return ret;
	}
	ret = lu_run_race(lu, &threads[0], &threads[1], lu_race_skew(&lu->races, round));
	if (ret)
		return ret;
	*ra = threads[0].ret;
	*rb = threads[1].ret;
	return 0;
}

/*
 * Says which side ended first how often since the last report, and begins anew.
 * -EAGAIN if one order never came.
 */
static inline int lu_race_report(struct lu_test *lu, const char *a, const char *b)
{
	struct lu_races races = lu->races;

	memset(&lu->races, 0, sizeof(lu->races));
	ksft_print_msg("race: %s first %u times, %s first %u times\n", a, races.a_first, b,
		       races.b_first);
	return races.a_first && races.b_first ? 0 : -EAGAIN;
}

/*
 * A kexec that the test itself asks for, where it is to be refused.
 */

#ifndef __NR_kexec_file_load

static inline int lu_kexec(struct lu_test *lu)
{
	(void)lu;
	return -EOPNOTSUPP;
}

#else

static inline int lu_load_kernel(const char *kernel, const char *initrd)
{
	unsigned long flags = initrd ? 0 : KEXEC_FILE_NO_INITRAMFS;
	int kernel_fd, initrd_fd = -1, ret;
	char cmdline[4096];

	ret = lu_read_path("/proc/cmdline", cmdline, sizeof(cmdline));
	if (ret)
		return ret;
	kernel_fd = open(kernel, O_RDONLY | O_CLOEXEC);
	if (kernel_fd >= 0 && initrd)
		initrd_fd = open(initrd, O_RDONLY | O_CLOEXEC);
	if (kernel_fd < 0 || (initrd && initrd_fd < 0))
		ret = -errno;
	else if (syscall(__NR_kexec_file_load, kernel_fd, initrd_fd, strlen(cmdline) + 1,
			 cmdline, flags))
		ret = -errno;
	lu_close(&kernel_fd);
	lu_close(&initrd_fd);
	return ret;
}

/*
 * Loads the kernel of LIVEUPDATE_TEST_KERNEL and goes into it. Returns only when
 * that is refused, with the reason, and the kernel unloaded again; -ENOEXEC when
 * the kernel could not be loaded in the first place.
 */
static inline int lu_kexec(struct lu_test *lu)
{
	const char *kernel = getenv("LIVEUPDATE_TEST_KERNEL");
	const char *initrd = getenv("LIVEUPDATE_TEST_INITRD");
	int ret;

	(void)lu;
	if (!kernel)
		return -EOPNOTSUPP;
	ret = lu_load_kernel(kernel, initrd);
	if (ret) {
		ksft_print_msg("%s cannot be loaded: %s\n", kernel, strerror(-ret));
		return -ENOEXEC;
	}
	fflush(stdout);
	sync();
	ret = syscall(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		      LINUX_REBOOT_CMD_KEXEC, NULL) ? -errno : 0;
	syscall(__NR_kexec_file_load, -1, -1, 0, NULL, KEXEC_FILE_UNLOAD);
	return ret;
}

#endif /* __NR_kexec_file_load */

/*
 * Memory that the kernel lost, by kmemleak.
 */

/* kmemleak speaks of nothing younger than five seconds. */
#define LU_LEAK_AGE_MSECS	5500
/* Reports that are shown in full. */
#define LU_LEAKS_SHOWN_MAX	8

/* Returns the kernel's count of time, by which kmemleak dates what it reports. */
static inline unsigned long long lu_jiffies(void)
{
	unsigned long long jiffies = 0;
	char line[256];
	FILE *file;

	file = fopen("/proc/timer_list", "re");
	if (!file)
		return 0;
	while (!jiffies && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "jiffies: %llu", &jiffies) != 1)
			jiffies = 0;
	}
	fclose(file);
	return jiffies;
}

static inline int lu_scan_for_leaks(void)
{
	int ret = lu_write_text(LU_KMEMLEAK, "scan", 0);

	/* It may be switched off, or have switched itself off. */
	return ret == -ENOENT || ret == -EPERM || ret == -EBUSY ? -EOPNOTSUPP : ret;
}

/* What was lost before this moment is not counted; -EOPNOTSUPP without kmemleak. */
static inline int lu_leaks_begin(struct lu_test *lu)
{
	int ret;

	ret = lu_scan_for_leaks();
	if (ret)
		return ret;
	lu->leaks_since = lu_jiffies();
	return lu_write_text(LU_KMEMLEAK, "clear", 0);
}

/*
 * Counts the reports of objects that are new, and shows the first of them. A report
 * begins with its object, and its second line says when that was made.
 */
static inline int lu_count_leaks(struct lu_test *lu, FILE *file)
{
	unsigned long long made;
	char line[256], head[256] = "", *at;
	bool shown = false;
	int count = 0;

	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		at = strstr(line, ", jiffies ");
		if (!strncmp(line, "unreferenced ", strlen("unreferenced "))) {
			lu_copy(head, line, sizeof(head));
			shown = false;
		} else if (*head && at && sscanf(at, ", jiffies %llu", &made) == 1) {
			shown = made >= lu->leaks_since && ++count <= LU_LEAKS_SHOWN_MAX;
			if (shown)
				ksft_print_msg("leak: %s\n", head);
			*head = '\0';
		}
		if (shown)
			ksft_print_msg("leak: %s\n", line);
	}
	return count;
}

/*
 * Returns how many objects that were made since lu_leaks_begin() nobody knows of
 * any more, each with its report in the output. Takes longer than kmemleak's
 * shortest age. The first scan only notes what the objects look like.
 */
static inline int lu_leaks(struct lu_test *lu)
{
	FILE *file;
	int ret;

	ret = lu_scan_for_leaks();
	if (ret)
		return ret;
	lu_pause_msecs(LU_LEAK_AGE_MSECS);
	ret = lu_scan_for_leaks();
	if (ret)
		return ret;
	file = fopen(LU_KMEMLEAK, "re");
	if (!file)
		return -errno;
	ret = lu_count_leaks(lu, file);
	fclose(file);
	return ret;
}

/*
 * What a test needs, looked for before it begins, and what it leaves behind,
 * which is nothing.
 */

/*
 * To be called before the test's descriptors are closed, where it holds threads:
 * one that is held may own a lock that closing needs.
 */
static inline void lu_let_go(struct lu_test *lu)
{
	if (lu_end_held(lu))
		ksft_print_msg("a thread that was held does not end\n");
}

static inline void lu_teardown(struct lu_test *lu)
{
	lu_let_go(lu);
	lu_unload_hold_module(lu);
	lu_disarm_faults(lu);
	lu_kill_processes(lu);
	/* The next kernel is to find what this stage left, not what it found. */
	if (!lu->kept) {
		lu_reset_driver();
		lu_restore_devices(lu);
	}
	lu_close(&lu->liveupdate);
	if (lu->nr_probes)
		lu_remove_probes(lu);
	lu_close(&lu->kmsg);
	free(lu->log);
	lu->log = NULL;
}

/* Says in the reason that a file is missing, if it is. */
static inline bool lu_lacks_file(struct lu_test *lu, const char *path, int mode)
{
	if (!access(path, mode))
		return false;
	snprintf(lu->reason, sizeof(lu->reason), "%s: %s", path, strerror(errno));
	return true;
}

static inline bool lu_lacks_variable(struct lu_test *lu, const char *name, const char *what)
{
	if (getenv(name))
		return false;
	snprintf(lu->reason, sizeof(lu->reason), "%s is not set, which says %s", name, what);
	return true;
}

static inline bool lu_lacks_devices(struct lu_test *lu, unsigned int devices)
{
	lu_find_devices(lu);
	if (lu->nr_devices < devices) {
		snprintf(lu->reason, sizeof(lu->reason),
			 "needs %u devices bound to liveupdate-test, found %u", devices,
			 lu->nr_devices);
		return true;
	}
	lu_note_devices(lu);
	return false;
}

static inline bool lu_lacks_log(struct lu_test *lu)
{
	lu->log = calloc(1, LU_LOG_MAX);
	lu->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (lu->log && lu->kmsg >= 0 && lseek(lu->kmsg, 0, SEEK_END) >= 0)
		return false;
	snprintf(lu->reason, sizeof(lu->reason), "the kernel log cannot be read: %s",
		 strerror(errno));
	return true;
}

static inline bool lu_lacks_slot_power(struct lu_test *lu)
{
	char slot[LU_NAME_MAX];
	unsigned int i;

	for (i = 0; i < lu->nr_devices; i++) {
		if (!lu_find_slot(lu, i, slot))
			return false;
	}
	snprintf(lu->reason, sizeof(lu->reason), "no device is in a slot that can be powered off");
	return true;
}

static inline bool lu_lacks_cpus(struct lu_test *lu, unsigned int wanted)
{
	cpu_set_t cpus;

	if (!sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) >= (int)wanted)
		return false;
	snprintf(lu->reason, sizeof(lu->reason), "needs %u processors", wanted);
	return true;
}

static inline bool lu_lacks_hold(struct lu_test *lu)
{
	int ret = lu_load_hold_module(lu);

	if (!ret)
		return lu_lacks_file(lu, LU_HOLD_FILE, R_OK | W_OK) || lu_lacks_cpus(lu, 2);
	snprintf(lu->reason, sizeof(lu->reason), "no module " LU_HOLD_MODULE ": %s",
		 strerror(-ret));
	return true;
}

/* The driver's and the kernel's files and modules that not every kernel has. */
static inline bool lu_lacks_files(struct lu_test *lu, const struct lu_needs *needs)
{
	if (needs->users && lu_lacks_file(lu, LU_DEBUG "/outgoing_flb", W_OK))
		return true;
	if (needs->incoming && lu_lacks_file(lu, LU_DEBUG "/incoming_flb", W_OK))
		return true;
	if (needs->fail && lu_lacks_file(lu, LU_DEBUG "/fail", W_OK))
		return true;
	if (needs->fail_nth && (lu_lacks_file(lu, LU_FAIL_NTH, W_OK) ||
				lu_lacks_file(lu, LU_FAILSLAB "/ignore-gfp-wait", W_OK)))
		return true;
	return needs->hold && lu_lacks_hold(lu);
}

/* What the machine, and whoever runs the test on it, must offer. */
static inline bool lu_lacks_surroundings(struct lu_test *lu, const struct lu_needs *needs)
{
	if (needs->machine && lu_lacks_variable(lu, "LIVEUPDATE_TEST_MACHINE",
						"who plugs and unplugs devices"))
		return true;
	if (needs->kexec && lu_lacks_variable(lu, "LIVEUPDATE_TEST_KERNEL",
					      "which kernel a kexec leads to"))
		return true;
	if (needs->slot_power && lu_lacks_slot_power(lu))
		return true;
	return needs->cpus && lu_lacks_cpus(lu, needs->cpus);
}

static inline bool lu_lacks(struct lu_test *lu, const struct lu_needs *needs)
{
	if (geteuid() != 0) {
		snprintf(lu->reason, sizeof(lu->reason), "needs root");
		return true;
	}
	lu->liveupdate = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	if (lu->liveupdate < 0) {
		snprintf(lu->reason, sizeof(lu->reason), "/dev/liveupdate cannot be opened: %s",
			 strerror(errno));
		return true;
	}
	if (lu_lacks_devices(lu, needs->devices) || lu_lacks_surroundings(lu, needs) ||
	    lu_lacks_files(lu, needs))
		return true;
	if (needs->log && lu_lacks_log(lu))
		return true;
	return lu_add_probes(lu);
}

/* Returns why the test must be skipped, or NULL when all it needs is there. */
static inline const char *lu_setup(struct lu_test *lu, const struct lu_needs *needs)
{
	lu->liveupdate = -1;
	lu->kmsg = -1;
	lu->hold = -1;
	lu->fail_nth = -1;
	lu->ordered = needs->order;
	lu->nr_probes = needs->nr_probes;
	lu->probe = needs->probe;
	if (!lu_lacks(lu, needs))
		return NULL;
	/* The harness runs no teardown after a setup that skips. */
	lu_teardown(lu);
	return lu->reason;
}

/*
 * The options of a test program, on top of the harness's own.
 */

#define LU_ARGS_MAX	64

/* struct lu_options - what was asked for on the command line */
struct lu_options {
	unsigned int stage;
	const char *variant;
	bool help;
	bool wrong;
	int argc;
	char *argv[LU_ARGS_MAX + 3];
};

/*
 * Returns the value of the option @name ("--name VALUE" or "--name=VALUE") if
 * argument @at is it, and moves @at behind it; NULL if it is another one.
 */
static inline char *lu_option(char **argv, int *at, const char *name, struct lu_options *options)
{
	size_t len = strlen(name);

	if (strncmp(argv[*at], name, len))
		return NULL;
	if (argv[*at][len] == '=')
		return argv[(*at)++] + len + 1;
	if (argv[*at][len])
		return NULL;
	if (!argv[*at + 1]) {
		options->wrong = true;
		return argv[(*at)++];
	}
	*at += 2;
	return argv[*at - 1];
}

/* Takes our options out, and leaves the rest for the harness. */
static inline void lu_read_options(int argc, char **argv, struct lu_options *options)
{
	char *value;
	int at = 1;

	memset(options, 0, sizeof(*options));
	options->argv[options->argc++] = argv[0];
	while (at < argc && options->argc < LU_ARGS_MAX) {
		value = lu_option(argv, &at, "--stage", options);
		if (value) {
			options->stage = (unsigned int)strtoul(value, NULL, 10);
			options->wrong |= !options->stage;
			continue;
		}
		value = lu_option(argv, &at, "--variant", options);
		if (value) {
			options->variant = value;
			continue;
		}
		value = lu_option(argv, &at, "--bdf", options);
		if (value)
			setenv("LIVEUPDATE_TEST_BDF", value, 1);
		else if (!strcmp(argv[at], "--help") || !strcmp(argv[at], "-h"))
			options->help = argv[at++];
		else
			options->argv[options->argc++] = argv[at++];
	}
	options->wrong |= at < argc;
}

static inline void lu_print_usage(const char *program, unsigned int stages)
{
	fprintf(stderr,
		"Usage: %s [--stage N] [--variant NAME] [--bdf LIST] [option of the harness...]\n"
		"\t--stage N       run stage N alone, of %u. Before the next stage there is a\n"
		"\t                kexec: a process is left behind that holds the session for\n"
		"\t                up to %d seconds. From stage 2 on, a session that\n"
		"\t                was not handed over is a failure, not a skip\n"
		"\t--variant NAME  only this variant of it\n"
		"\t--bdf LIST      addresses of the devices, with commas between\n"
		"\t--help          print this, and the options of the harness\n\n",
		program, stages, LU_KEEPER_SECS);
}

/* Chooses one stage, and says to it what lies before and behind it. */
static inline void lu_choose_stage(struct lu_options *options, const char *fixture,
				   unsigned int stages)
{
	static char name[256];

	if (options->stage < stages)
		setenv("LIVEUPDATE_TEST_KEXEC", "1", 1);
	if (options->stage > 1)
		setenv("LIVEUPDATE_TEST_HANDED_OVER", "1", 1);
	if (options->variant) {
		snprintf(name, sizeof(name), "%s.%s.stage_%u", fixture, options->variant,
			 options->stage);
		options->argv[options->argc++] = (char *)"-r";
	} else {
		snprintf(name, sizeof(name), "stage_%u", options->stage);
		options->argv[options->argc++] = (char *)"-t";
	}
	options->argv[options->argc++] = name;
}

/* What main() does in a program with one @fixture of so many @stages. */
static inline int lu_main(int argc, char **argv, const char *fixture, unsigned int stages)
{
	struct lu_options options;

	lu_read_options(argc, argv, &options);
	if (options.wrong || options.stage > stages || options.help) {
		lu_print_usage(argv[0], stages);
		options.argv[1] = (char *)"-h";
		argc = test_harness_run(2, options.argv);
		return options.help ? argc : KSFT_FAIL;
	}
	if (options.stage) {
		lu_choose_stage(&options, fixture, stages);
	} else if (options.variant) {
		options.argv[options.argc++] = (char *)"-v";
		options.argv[options.argc++] = (char *)options.variant;
	}
	options.argv[options.argc] = NULL;
	return test_harness_run(options.argc, options.argv);
}

#endif /* LIVEUPDATE_PCI_H */
