// SPDX-License-Identifier: GPL-2.0-only
/*
 * inject MODULE [WORD...]
 *
 * Loads the module "fault" and injects the named faults one after the other, each from
 * a child process, because some faults kill the injecting task. Faults joined by a comma
 * are injected concurrently, each on its own CPU. Without a WORD, the available faults
 * are printed. The thresholds of watchdogs are lowered before a stall is injected.
 * INJECT_PARAMETERS in the environment has the parameters of the module.
 *
 * Exit codes: 0 if all faults were injected, 1 if a fault is not available or could not
 * be injected.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define FAULTS	"/sys/kernel/debug/fault"
#define KMEMLEAK	"/sys/kernel/debug/kmemleak"

/* kmemleak does not report objects younger than five seconds. */
#define LEAK_AGE_MSECS	5500
/* Time for reports from other contexts than the injecting task. */
#define SETTLE_MSECS	300
/* Time for concurrent injectors to start. */
#define MEET_MSECS	100
#define CONCURRENT_MAX	4

struct threshold {
	const char *prefix;	/* Prefix of the words it applies to. */
	const char *path;
	const char *value;
};

static const struct threshold thresholds[] = {
	{ "hung-task", "/proc/sys/kernel/hung_task_timeout_secs", "2" },
	{ "soft-lockup", "/proc/sys/kernel/watchdog_thresh", "1" },
	{ "hard-lockup", "/proc/sys/kernel/watchdog_thresh", "1" },
	{ "rcu-stall", "/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout", "3" },
	/* Also the polling interval of the watchdog; each poll restarts the interval. */
	{ "workqueue-lockup", "/sys/module/workqueue/parameters/watchdog_thresh", "1" },
};

static void pause_msecs(long msecs)
{
	struct timespec left = { msecs / 1000, msecs % 1000 * 1000000 };

	while (nanosleep(&left, &left) && errno == EINTR)
		;
}

static int write_text(const char *path, const char *text)
{
	int fd, ret = 0;

	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (write(fd, text, strlen(text)) < 0)
		ret = -errno;
	close(fd);
	return ret;
}

/* Copies a file to stdout. */
static int print_file(const char *path)
{
	char text[4096];
	ssize_t length;
	int fd;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while ((length = read(fd, text, sizeof(text))) > 0)
		fwrite(text, 1, length, stdout);
	close(fd);
	return length ? -errno : 0;
}

static int load(const char *path)
{
	const char *parameters = getenv("INJECT_PARAMETERS");
	int fd, ret = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, parameters ? parameters : "", 0) && errno != EEXIST)
		ret = -errno;
	close(fd);
	return ret;
}

static int lower_thresholds(const char *word)
{
	size_t at;
	int ret;

	for (at = 0; at < sizeof(thresholds) / sizeof(*thresholds); at++) {
		if (strncmp(word, thresholds[at].prefix, strlen(thresholds[at].prefix)))
			continue;
		ret = write_text(thresholds[at].path, thresholds[at].value);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * The first scan only records the checksums of new objects, so an object is reported
 * by the second scan at the earliest.
 */
static int find_leaks(void)
{
	int scan, ret;

	for (scan = 0; scan < 2; scan++) {
		if (scan)
			pause_msecs(LEAK_AGE_MSECS);
		ret = write_text(KMEMLEAK, "scan");
		if (ret)
			return ret;
	}
	return print_file(KMEMLEAK);
}

static pid_t start_injector(const char *word, int cpu, const struct timespec *at)
{
	cpu_set_t cpus;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid)
		return pid;
	if (at) {
		CPU_ZERO(&cpus);
		CPU_SET(cpu, &cpus);
		sched_setaffinity(0, sizeof(cpus), &cpus);
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, at, NULL) == EINTR)
			;
	}
	_exit(-write_text(FAULTS, word));
}

static int wait_injector(pid_t pid, const char *word)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	if (WIFSIGNALED(status))
		printf("# %s: the injecting process was killed by signal %d\n", word,
		       WTERMSIG(status));
	return WIFEXITED(status) ? -WEXITSTATUS(status) : 0;
}

static int inject_concurrently(char *words)
{
	const char *word[CONCURRENT_MAX];
	pid_t pid[CONCURRENT_MAX];
	struct timespec at;
	int number, count = 0, ret = 0;
	char *next;

	for (next = strtok(words, ","); next && count < CONCURRENT_MAX; next = strtok(NULL, ","))
		word[count++] = next;
	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_nsec += MEET_MSECS * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	for (number = 0; number < count; number++)
		pid[number] = start_injector(word[number], number, &at);
	for (number = 0; number < count; number++)
		ret = wait_injector(pid[number], word[number]) ?: ret;
	pause_msecs(SETTLE_MSECS);
	if (!ret)
		printf("# injected concurrently: %d\n", count);
	return ret;
}

static int inject(const char *word)
{
	int leaks = !strcmp(word, "leak");
	int ret;

	ret = lower_thresholds(word);
	if (!ret && leaks)
		ret = write_text(KMEMLEAK, "clear");
	if (!ret)
		ret = wait_injector(start_injector(word, 0, NULL), word);
	if (!ret && leaks)
		ret = find_leaks();
	pause_msecs(SETTLE_MSECS);
	if (ret)
		printf("# %s: %s\n", word, ret == -EINVAL ? "not available in this kernel" :
		       strerror(-ret));
	else
		printf("# %s: injected\n", word);
	fflush(stdout);
	return ret;
}

int main(int argc, char **argv)
{
	int at, ret, failed = 0;

	if (argc < 2) {
		fprintf(stderr, "usage: inject MODULE [WORD...]\n");
		return 1;
	}
	ret = load(argv[1]);
	if (ret) {
		printf("# load %s: %s\n", argv[1], strerror(-ret));
		return 1;
	}
	if (argc == 2)
		return print_file(FAULTS) ? 1 : 0;
	for (at = 2; at < argc; at++)
		failed |= (strchr(argv[at], ',') ? inject_concurrently(argv[at]) :
			   inject(argv[at])) != 0;
	return failed;
}
