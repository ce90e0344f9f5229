/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Attributes in sysfs, debugfs and tracefs, and other files by path.
 */
#ifndef LU_PATH_H
#define LU_PATH_H

#include "lu_test.h"

/* Like "echo -n @text > @path". */
static inline int lu_write_path(const char *path, const char *text)
{
	return lu_write_text(path, text, O_TRUNC);
}

/* Reads the whole file and strips a trailing newline. */
static inline int lu_read_path(const char *path, char *text, size_t size)
{
	size_t len;
	int ret;

	ret = lu_read_text(path, text, size);
	if (ret)
		return ret;
	len = strlen(text);
	if (len && text[len - 1] == '\n')
		text[len - 1] = '\0';
	return 0;
}

#endif /* LU_PATH_H */
