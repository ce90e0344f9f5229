/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Boots with a kexec between them, and the background process that keeps the files of the
 * test open until a kexec.
 */
#ifndef LU_KEEPER_H
#define LU_KEEPER_H

#include "lu_test.h"

static inline void lu_close_many(struct lu_test *lu)
{
	while (lu->nr_many)
		lu_close(&lu->many[--lu->nr_many]);
}

/*
 * Returns whether a missing object is a reason to skip: there was no kexec before this
 * boot. LIVEUPDATE_TEST_HANDED_OVER is set if there was one; a missing object is then a
 * failure.
 */
static inline bool lu_nothing_handed_over(int ret)
{
	return ret == -ENOENT && !getenv("LIVEUPDATE_TEST_HANDED_OVER");
}

/*
 * Returns whether there was no kexec before this boot, for boots that do not begin with
 * retrieving a session.
 */
static inline bool lu_is_first_kernel(void)
{
	return !getenv("LIVEUPDATE_TEST_HANDED_OVER");
}

/*
 * The background process. It redirects its standard streams and closes the other inherited
 * descriptors, since the parent of the test may wait for their end, and leaves the process
 * group of the test. Descriptors with FD_CLOEXEC stay open: the sessions and files of the
 * test have this flag. Then it writes a byte to @ready.
 */
static inline void lu_keeper(struct lu_test *lu, int ready)
{
	int null = open("/dev/null", O_RDWR);
	int fd;

	if (null < 0 || setsid() < 0)
		_exit(1);
	signal(SIGALRM, SIG_DFL);
	alarm(LU_KEEPER_SECS);
	lu_close(&lu->subject_fd);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	/* runner.sh of kselftest leaves its pipe and log open in the test. */
	for (fd = 3; fd < 1024; fd++) {
		if (fd != ready && !fcntl(fd, F_GETFD))
			close(fd);
	}
	if (write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
	for (;;)
		pause();
}

/*
 * Forks a background process that keeps the sessions and files of the test open, so that
 * they survive until the kexec. Returns -EINVAL if LIVEUPDATE_TEST_KEXEC does not announce
 * a kexec: the open session would make the next run of this test fail.
 */
static inline int lu_keep_until_kexec(struct lu_test *lu)
{
	int ready[2], ret;
	ssize_t len;
	pid_t pid;
	char byte;

	if (!getenv("LIVEUPDATE_TEST_KEXEC"))
		return -EINVAL;
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
	/* read() returns 0 if the process ends before it is ready. */
	len = read(ready[0], &byte, 1);
	close(ready[0]);
	lu->has_keeper = len == 1;
	return lu->has_keeper ? 0 : -ECHILD;
}

#endif /* LU_KEEPER_H */
