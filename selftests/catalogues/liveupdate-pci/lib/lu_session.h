/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update sessions, through libliveupdate if the Makefile finds it, and the
 * background process that keeps them open until a kexec.
 */
#ifndef LU_SESSION_H
#define LU_SESSION_H

#include "lu_test.h"

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

/* Creates the sessions @name_1 to @name_@times. Teardown closes them. */
static inline int lu_create_sessions(struct lu_test *lu, const char *name, unsigned int times)
{
	char numbered[LU_NAME_MAX];
	unsigned int i;
	int fd;

	if (times > LU_MANY_MAX - lu->nr_many)
		return -EMFILE;
	for (i = 1; i <= times; i++) {
		snprintf(numbered, sizeof(numbered), "%s_%u", name, i);
		fd = lu_create_session(lu, numbered);
		if (fd < 0)
			return fd;
		lu->many[lu->nr_many++] = fd;
	}
	return 0;
}

static inline void lu_close_many(struct lu_test *lu)
{
	while (lu->nr_many)
		lu_close(&lu->many[--lu->nr_many]);
}

/*
 * Retrieves the session with its argument in read-only memory, so that the kernel
 * cannot write the new file descriptor to it.
 */
static inline int lu_retrieve_unanswered(struct lu_test *lu, const char *name)
{
	struct liveupdate_ioctl_retrieve_session *arg;
	size_t size = sysconf(_SC_PAGESIZE);
	int ret;

	arg = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (arg == MAP_FAILED)
		return -errno;
	arg->size = sizeof(*arg);
	snprintf((char *)arg->name, sizeof(arg->name), "%s", name);
	if (mprotect(arg, size, PROT_READ) ||
	    ioctl(lu->liveupdate, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, arg))
		ret = -errno;
	else
		ret = arg->fd;
	munmap(arg, size);
	return ret;
}

/*
 * Returns whether a missing session is a reason to skip: there was no kexec before this
 * boot. LIVEUPDATE_TEST_HANDED_OVER is set if there was one; a missing session is then a
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
	lu_close(&lu->liveupdate);
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

#endif /* LU_SESSION_H */
