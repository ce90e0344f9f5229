/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the tests in this folder have in common: sessions of /dev/liveupdate,
 * the files of PCI devices bound to the driver "liveupdate-test", users of that
 * driver's outgoing FLB, calls of kernel functions counted by kprobe events, and
 * lines of the kernel log.
 *
 * Everything returns 0 (or a descriptor, or a count) or a negative errno, prints
 * at most through kselftest's helpers, and leaves judging to the test.
 */
#ifndef LIVEUPDATE_PCI_H
#define LIVEUPDATE_PCI_H

/* Diagnostics and results in one stream keep their order through a pipe. */
#define TH_LOG_STREAM stdout

/* lib.mk defines it as well, to nothing. */
#define _GNU_SOURCE

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/liveupdate.h>

#include "kselftest_harness.h"

#define LU_DRIVER_DIR	"/sys/bus/pci/drivers/liveupdate-test"
#define LU_USER_FILE	"/sys/kernel/debug/liveupdate-test/outgoing_flb"
#define LU_TRACING	"/sys/kernel/tracing"
#define LU_GROUP	"liveupdate_pci"
#define LU_RCU_EXPEDITED	"/sys/kernel/rcu_expedited"

#define LU_DEVICES_MAX	8
#define LU_PROBES_MAX	16
#define LU_NAME_MAX	64
#define LU_LOG_MAX	(256 * 1024)

/* A keeper that nobody ends by kexec goes away by itself after this long. */
#define LU_KEEPER_SECS	300

/* struct lu_test - what a test has open, beside the objects of its scenario */
struct lu_test {
	int liveupdate;
	int kmsg;
	unsigned int nr_devices;
	char device[LU_DEVICES_MAX][LU_NAME_MAX];
	unsigned int nr_probes;
	const char *const *probe;
	int calls[LU_PROBES_MAX];
	bool removed;
	char *log;
	size_t log_len;
	char reason[256];
};

/* struct lu_needs - what a test cannot do without; it is skipped where it lacks */
struct lu_needs {
	unsigned int devices;
	bool users;
	bool log;
	unsigned int nr_probes;
	const char *const *probe;
};

static inline const char *lu_result(int ret)
{
	static char number[16];

	switch (-ret) {
	case EBUSY:
		return "-EBUSY";
	case EEXIST:
		return "-EEXIST";
	case EINVAL:
		return "-EINVAL";
	case EIO:
		return "-EIO";
	case ENODATA:
		return "-ENODATA";
	case ENODEV:
		return "-ENODEV";
	case ENOENT:
		return "-ENOENT";
	case ENOMEM:
		return "-ENOMEM";
	case ENXIO:
		return "-ENXIO";
	case EOPNOTSUPP:
		return "-EOPNOTSUPP";
	case EPERM:
		return "-EPERM";
	case EUCLEAN:
		return "-EUCLEAN";
	}
	if (ret >= 0)
		return "ok";
	snprintf(number, sizeof(number), "%d", ret);
	return number;
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

static inline void lu_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Calls of kernel functions ------------------------------------------------ */

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
	for (i = 0; i < lu->nr_probes; i++) {
		snprintf(line, sizeof(line), "-:" LU_GROUP "/" LU_GROUP "_%s", lu->probe[i]);
		lu_write_text(LU_TRACING "/kprobe_events", line, O_APPEND);
	}
	lu_slow_down(hurried);
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
	ret = lu_write_text(LU_TRACING "/events/" LU_GROUP "/enable", "1", 0);
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

/* The kernel log ------------------------------------------------------------ */

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

/* Steps --------------------------------------------------------------------- */

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

/* Setup and teardown -------------------------------------------------------- */

static inline int lu_compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
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

static inline void lu_teardown(struct lu_test *lu)
{
	if (lu->removed)
		lu_write_text("/sys/bus/pci/rescan", "1", 0);
	lu_close(&lu->liveupdate);
	if (lu->nr_probes)
		lu_remove_probes(lu);
	lu_close(&lu->kmsg);
	free(lu->log);
	lu->log = NULL;
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
	lu_find_devices(lu);
	if (lu->nr_devices < needs->devices) {
		snprintf(lu->reason, sizeof(lu->reason),
			 "needs %u devices bound to liveupdate-test, found %u",
			 needs->devices, lu->nr_devices);
		return true;
	}
	if (needs->users && access(LU_USER_FILE, W_OK)) {
		snprintf(lu->reason, sizeof(lu->reason), "%s: %s", LU_USER_FILE, strerror(errno));
		return true;
	}
	if (needs->log) {
		lu->log = calloc(1, LU_LOG_MAX);
		lu->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (!lu->log || lu->kmsg < 0 || lseek(lu->kmsg, 0, SEEK_END) < 0) {
			snprintf(lu->reason, sizeof(lu->reason),
				 "the kernel log cannot be read: %s", strerror(errno));
			return true;
		}
	}
	return lu_add_probes(lu);
}

/* Returns why the test must be skipped, or NULL when all it needs is there. */
static inline const char *lu_setup(struct lu_test *lu, const struct lu_needs *needs)
{
	lu->liveupdate = -1;
	lu->kmsg = -1;
	lu->nr_probes = needs->nr_probes;
	lu->probe = needs->probe;
	if (!lu_lacks(lu, needs))
		return NULL;
	/* The harness runs no teardown after a setup that skips. */
	lu_teardown(lu);
	return lu->reason;
}

/* Sessions ------------------------------------------------------------------ */

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
	return len == 1 ? 0 : -ECHILD;
}

/* Devices and files --------------------------------------------------------- */

static inline int lu_open_device(struct lu_test *lu, unsigned int slot)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/dev/liveupdate-test/%s", lu->device[slot]);
	fd = open(path, O_RDWR | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static inline int lu_remove_device(struct lu_test *lu, unsigned int slot)
{
	char path[128];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/remove", lu->device[slot]);
	lu->removed = true;
	return lu_write_text(path, "1", 0);
}

static inline int lu_rescan(void)
{
	return lu_write_text("/sys/bus/pci/rescan", "1", 0);
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

static inline int lu_create_memfd(const char *name, const char *contents)
{
	size_t len = strlen(contents);
	int fd, ret;

	fd = memfd_create(name, MFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	errno = 0;
	if (pwrite(fd, contents, len, 0) == (ssize_t)len)
		return fd;
	ret = errno ? -errno : -EIO;
	close(fd);
	return ret;
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

/* Users of the outgoing FLB ------------------------------------------------- */

/* Lets the user do @what: "get", "use" or "put"; opens it the first time. */
static inline int lu_user(int *fd, const char *what)
{
	if (*fd < 0)
		*fd = open(LU_USER_FILE, O_WRONLY | O_CLOEXEC);
	if (*fd < 0)
		return -errno;
	if (write(*fd, what, strlen(what)) < 0)
		return -errno;
	return 0;
}

#endif /* LIVEUPDATE_PCI_H */
