/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Live update sessions, through libliveupdate if the Makefile finds it.
 */
#ifndef LU_SESSION_H
#define LU_SESSION_H

#include <linux/liveupdate.h>

#include "lu_test.h"

#ifdef LU_HAVE_LIBLIVEUPDATE

#include <libliveupdate.h>

static inline int lu_create_session(struct lu_test *lu, const char *name)
{
	return luo_create_session(lu->subject_fd, name);
}

static inline int lu_retrieve_session(struct lu_test *lu, const char *name)
{
	return luo_retrieve_session(lu->subject_fd, name);
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
	if (ioctl(lu->subject_fd, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg))
		return -errno;
	return arg.fd;
}

static inline int lu_retrieve_session(struct lu_test *lu, const char *name)
{
	struct liveupdate_ioctl_retrieve_session arg = { .size = sizeof(arg) };

	snprintf((char *)arg.name, sizeof(arg.name), "%s", name);
	if (ioctl(lu->subject_fd, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &arg))
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
	    ioctl(lu->subject_fd, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, arg))
		ret = -errno;
	else
		ret = arg->fd;
	munmap(arg, size);
	return ret;
}

#endif /* LU_SESSION_H */
