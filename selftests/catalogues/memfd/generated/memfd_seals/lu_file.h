/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Operations on file descriptors: plain files, memfds with seals, and the registers of
 * device files.
 */
#ifndef LU_FILE_H
#define LU_FILE_H

#include "lu_test.h"

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

/* Registers of the edu device are 4 bytes wide below offset 0x80, and 8 bytes above. */
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

/* Opens the file of @fd again, as a new open file description. */
static inline int lu_open_again(int fd, int flags)
{
	char path[LU_PATH_MAX];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return lu_open_file(path, flags);
}

/* Reads the whole file as a string; -EFBIG if it does not fit. */
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

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif

/* @flags is MFD_ALLOW_SEALING or MFD_NOEXEC_SEAL. */
static inline int lu_create_memfd(const char *name, unsigned int flags, const char *contents)
{
	int fd, ret;

	fd = memfd_create(name, MFD_CLOEXEC | flags);
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
 * Returns 0 if a shared mapping of the file has the contents, followed by zeros up to
 * the end of the file, and -EBADMSG otherwise.
 */
static inline int lu_check_mapping(int fd, const char *contents)
{
	int len = (int)strlen(contents), size = lu_size(fd), ret = 0, i;
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

static inline int lu_truncate(int fd, off_t size)
{
	return ftruncate(fd, size) ? -errno : 0;
}

/* Adds seals to the memfd. */
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

#endif /* LU_FILE_H */
