/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Processes that own file descriptors of the test, so that killing them closes the
 * descriptors.
 */
#ifndef LU_PROCESS_H
#define LU_PROCESS_H

#include "lu_test.h"

static inline int lu_compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes all descriptors except the @n descriptors in @keep. Sorts @keep. */
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

/* The new process: keeps the descriptors in @keep open until it is killed. */
static inline void lu_own(int *keep, unsigned int n, int ready)
{
	pid_t parent = getppid();

	/* Dies with the test. */
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

/* Kills the process and waits for it; -ESRCH if there is none. */
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
 * Waits until the new process has closed the other descriptors: it then writes a byte and
 * closes the pipe. If it fails, it closes the pipe without a byte.
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
 * Starts a process that owns the @n descriptors in @fds. In this process they are closed
 * and set to -1. The new process has no other descriptors.
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

#endif /* LU_PROCESS_H */
