// SPDX-License-Identifier: GPL-2.0-only
/*
 * Live update sessions.
 */
#include <sys/ioctl.h>

#include <linux/liveupdate.h>

#include "kt_state.h"
#include "liveupdate_pci.h"

int lu_create_session(const char *name)
{
	struct liveupdate_ioctl_create_session arg = { .size = sizeof(arg) };

	snprintf((char *)arg.name, sizeof(arg.name), "%s", name);
	if (ioctl(kt.subject_fd, LIVEUPDATE_IOCTL_CREATE_SESSION, &arg))
		return -errno;
	return arg.fd;
}

int lu_retrieve_session(const char *name)
{
	struct liveupdate_ioctl_retrieve_session arg = { .size = sizeof(arg) };

	snprintf((char *)arg.name, sizeof(arg.name), "%s", name);
	if (ioctl(kt.subject_fd, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, &arg))
		return -errno;
	return arg.fd;
}

/* Returns the name of the session, or the name of the error. */
const char *lu_session_name(int session)
{
	static struct liveupdate_session_get_name arg;

	arg.size = sizeof(arg);
	if (ioctl(session, LIVEUPDATE_SESSION_GET_NAME, &arg))
		return kt_result(-errno);
	arg.name[sizeof(arg.name) - 1] = '\0';
	return (const char *)arg.name;
}

int lu_preserve(int session, int fd, __u64 token)
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

int lu_retrieve(int session, __u64 token)
{
	struct liveupdate_session_retrieve_fd arg = {
		.size = sizeof(arg),
		.token = token,
	};

	if (ioctl(session, LIVEUPDATE_SESSION_RETRIEVE_FD, &arg))
		return -errno;
	return arg.fd;
}

int lu_finish(int session)
{
	struct liveupdate_session_finish arg = { .size = sizeof(arg) };

	if (ioctl(session, LIVEUPDATE_SESSION_FINISH, &arg))
		return -errno;
	return 0;
}

/* Creates the sessions @name_1 to @name_@times. Teardown closes them. */
int lu_create_sessions(const char *name, unsigned int times)
{
	char numbered[KT_NAME_MAX];
	unsigned int i;
	int fd;

	for (i = 1; i <= times; i++) {
		snprintf(numbered, sizeof(numbered), "%s_%u", name, i);
		fd = lu_create_session(numbered);
		if (fd < 0)
			return fd;
	}
	return 0;
}

/*
 * Retrieves the session with its argument in read-only memory, so that the kernel
 * cannot write the new file descriptor to it.
 */
int lu_retrieve_unanswered(const char *name)
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
	    ioctl(kt.subject_fd, LIVEUPDATE_IOCTL_RETRIEVE_SESSION, arg))
		ret = -errno;
	else
		ret = arg->fd;
	munmap(arg, size);
	return ret;
}
