// SPDX-License-Identifier: GPL-2.0-only
/*
 * inject MODULE [WORD...]
 *
 * Loads the module of the faults and injects those that are named, one after the
 * other, each from a process of its own, for some end who injects them. Those that a
 * comma joins are injected at once, each on a processor of its own. Without a word it
 * tells which there are. Who watches for what takes long is first told to
 * lose patience early. FAULT_PARAMETERS in the environment is for the module.
 *
 * Exit codes: 0 all were injected; 1 one is not there, or could not be injected.
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

/* kmemleak speaks of nothing younger than five seconds. */
#define LEAK_AGE_MSECS	5500
/* For what is said by others than the one who injected. */
#define SETTLE_MSECS	300
/* For those who inject at once to be there. */
#define MEET_MSECS	100
#define TOGETHER_MAX	4

struct patience {
	const char *kind;	/* What the word of a fault begins with. */
	const char *path;
	const char *value;
};

static const struct patience patiences[] = {
	{ "hung-task", "/proc/sys/kernel/hung_task_timeout_secs", "2" },
	{ "soft-lockup", "/proc/sys/kernel/watchdog_thresh", "1" },
	{ "hard-lockup", "/proc/sys/kernel/watchdog_thresh", "1" },
	{ "rcu-stall", "/sys/module/rcupdate/parameters/rcu_cpu_stall_timeout", "3" },
	/* It looks that often, and begins anew whenever it looked. */
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

/* Shows a file of the kernel. */
static int show(const char *path)
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
	const char *parameters = getenv("FAULT_PARAMETERS");
	int fd, ret = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (syscall(SYS_finit_module, fd, parameters ? parameters : "", 0) && errno != EEXIST)
		ret = -errno;
	close(fd);
	return ret;
}

static int lose_patience(const char *word)
{
	size_t at;
	int ret;

	for (at = 0; at < sizeof(patiences) / sizeof(*patiences); at++) {
		if (strncmp(word, patiences[at].kind, strlen(patiences[at].kind)))
			continue;
		ret = write_text(patiences[at].path, patiences[at].value);
		if (ret)
			return ret;
	}
	return 0;
}

/*
 * The first scan only notes what the objects look like; what it finds that was
 * there before is not the fault's.
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
	return show(KMEMLEAK);
}

static pid_t begin(const char *word, int cpu, const struct timespec *at)
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

static int end(pid_t pid, const char *word)
{
	int status;

	if (pid < 0 || waitpid(pid, &status, 0) != pid)
		return -errno;
	if (WIFSIGNALED(status))
		printf("# %s: the one who injected it is gone\n", word);
	return WIFEXITED(status) ? -WEXITSTATUS(status) : 0;
}

/* Injects in a process that may not come back. */
static int pull_apart(const char *word)
{
	return end(begin(word, 0, NULL), word);
}

static int pull_at_once(char *words)
{
	const char *word[TOGETHER_MAX];
	pid_t pid[TOGETHER_MAX];
	struct timespec at;
	int number, count = 0, ret = 0;
	char *next;

	for (next = strtok(words, ","); next && count < TOGETHER_MAX; next = strtok(NULL, ","))
		word[count++] = next;
	clock_gettime(CLOCK_MONOTONIC, &at);
	at.tv_nsec += MEET_MSECS * 1000000;
	if (at.tv_nsec >= 1000000000) {
		at.tv_nsec -= 1000000000;
		at.tv_sec++;
	}
	for (number = 0; number < count; number++)
		pid[number] = begin(word[number], number, &at);
	for (number = 0; number < count; number++)
		ret = end(pid[number], word[number]) ?: ret;
	pause_msecs(SETTLE_MSECS);
	if (!ret)
		printf("# injected at once: %d\n", count);
	return ret;
}

static int inject(const char *word)
{
	int leaks = !strcmp(word, "leak");
	int ret;

	ret = lose_patience(word);
	if (!ret && leaks)
		ret = write_text(KMEMLEAK, "clear");
	if (!ret)
		ret = pull_apart(word);
	if (!ret && leaks)
		ret = find_leaks();
	pause_msecs(SETTLE_MSECS);
	if (ret)
		printf("# %s: %s\n", word, ret == -EINVAL ? "this kernel has no such fault" :
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
		printf("# %s cannot be loaded: %s\n", argv[1], strerror(-ret));
		return 1;
	}
	if (argc == 2)
		return show(FAULTS) ? 1 : 0;
	for (at = 2; at < argc; at++)
		failed |= (strchr(argv[at], ',') ? pull_at_once(argv[at]) : inject(argv[at])) != 0;
	return failed;
}
