// SPDX-License-Identifier: GPL-2.0-only
/*
 * Files, memfds with seals, attributes in sysfs and debugfs, names of results, and time.
 */
#include <limits.h>
#include <sys/stat.h>
#include <time.h>

#include "kt_state.h"

/* The longest text that is read, with its terminator. */
#define KT_TEXT_MAX	1100

/* Returns "ok", or the name of the error, such as "-EBUSY". */
const char *kt_result(int ret)
{
	static char name[32];
	const char *error;

	if (ret >= 0)
		return "ok";
	error = strerrorname_np(-ret);
	if (error)
		snprintf(name, sizeof(name), "-%s", error);
	else
		snprintf(name, sizeof(name), "%d", ret);
	return name;
}

/* Returns 0 if @ret is one of the @n values, and @ret otherwise. */
int kt_one_of(int ret, const int *expected, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		if (ret == expected[i])
			return 0;
	}
	return ret;
}

/* Copies a string, and returns -EFBIG if it had to be truncated. */
int kt_copy(char *to, const char *from, size_t size)
{
	size_t len = strnlen(from, size - 1);

	memcpy(to, from, len);
	to[len] = '\0';
	return from[len] ? -EFBIG : 0;
}

void kt_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

int kt_write_text(const char *path, const char *text, int flags)
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
int kt_read_text(const char *path, char *text, size_t size)
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

__u64 kt_now_nsecs(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (__u64)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Returns the time @secs seconds from now, for comparison with kt_now_nsecs(). */
__u64 kt_deadline(unsigned int secs)
{
	return kt_now_nsecs() + (__u64)secs * 1000000000;
}

void kt_pause_msecs(unsigned int msecs)
{
	const struct timespec pause = {
		.tv_sec = msecs / 1000,
		.tv_nsec = (long)(msecs % 1000) * 1000000,
	};

	nanosleep(&pause, NULL);
}

/* Returns whether @path is not accessible, and sets the skip reason. */
bool kt_lacks_file(const char *path, int mode)
{
	if (!access(path, mode))
		return false;
	snprintf(kt.reason, sizeof(kt.reason), "%s: %s", path, strerror(errno));
	return true;
}

int kt_open_file(const char *path, int flags)
{
	int fd = open(path, flags | O_CLOEXEC, 0600);

	return fd < 0 ? -errno : fd;
}

int kt_write_file(int fd, off_t at, const char *contents)
{
	size_t size = strlen(contents);
	ssize_t len;

	len = pwrite(fd, contents, size, at);
	if (len < 0)
		return -errno;
	return len == (ssize_t)size ? 0 : -EIO;
}

/* Opens the file of @fd again, as a new open file description. */
int kt_open_again(int fd, int flags)
{
	char path[KT_PATH_MAX];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return kt_open_file(path, flags);
}

/* Returns a buffer for a text that a test compares at once. */
static char *kt_text(void)
{
	static char text[KT_TEXT_MAX];

	return text;
}

/* Returns the contents of the file, or the name of the error; -EFBIG if it is too long. */
const char *kt_read_file(int fd)
{
	char *text = kt_text();
	ssize_t len;

	len = pread(fd, text, KT_TEXT_MAX, 0);
	if (len < 0)
		return kt_result(-errno);
	if (len == KT_TEXT_MAX)
		return kt_result(-EFBIG);
	text[len] = '\0';
	return text;
}

/* @flags is MFD_ALLOW_SEALING or MFD_NOEXEC_SEAL. */
int kt_create_memfd(const char *name, unsigned int flags, const char *contents)
{
	int fd, ret;

	fd = memfd_create(name, MFD_CLOEXEC | flags);
	if (fd < 0)
		return -errno;
	ret = kt_write_file(fd, 0, contents);
	if (!ret)
		return fd;
	close(fd);
	return ret;
}

int kt_size(int fd)
{
	struct stat stat;

	if (fstat(fd, &stat))
		return -errno;
	return stat.st_size > INT_MAX ? -EOVERFLOW : (int)stat.st_size;
}

/*
 * Returns 0 if a shared mapping of the file has the contents, followed by zeros up to
 * the end of the file, and -EBADMSG otherwise.
 */
int kt_check_mapping(int fd, const char *contents)
{
	int len = (int)strlen(contents), size = kt_size(fd), ret = 0, i;
	char *map;

	if (size < 0)
		return size;
	/* Access behind the end of the file raises SIGBUS. */
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

int kt_truncate(int fd, off_t size)
{
	return ftruncate(fd, size) ? -errno : 0;
}

/* Adds seals to the memfd. */
int kt_seal(int fd, int seals)
{
	return fcntl(fd, F_ADD_SEALS, seals) ? -errno : 0;
}

/* Returns the seals of the memfd. */
int kt_seals(int fd)
{
	int seals = fcntl(fd, F_GET_SEALS);

	return seals < 0 ? -errno : seals;
}

/* Like "echo -n @text > @path". */
int kt_write_path(const char *path, const char *text)
{
	return kt_write_text(path, text, O_TRUNC);
}

/* Reads the whole file and strips a trailing newline. */
int kt_read_line(const char *path, char *text, size_t size)
{
	size_t len;
	int ret;

	ret = kt_read_text(path, text, size);
	if (ret)
		return ret;
	len = strlen(text);
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	return 0;
}

/* Returns the contents without a trailing newline, or the name of the error. */
const char *kt_read_path(const char *path)
{
	char *text = kt_text();
	int ret = kt_read_line(path, text, KT_TEXT_MAX);

	return ret ? kt_result(ret) : text;
}
