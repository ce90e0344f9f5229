/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Attributes in sysfs, debugfs and tracefs, or any other file by its path.
 */
#ifndef LU_PATH_H
#define LU_PATH_H

#include "lu_test.h"

/* Writes as "echo -n @text > @path" does. */
static inline int lu_write_path(const char *path, const char *text)
{
	return lu_write_text(path, text, O_TRUNC);
}

/* Reads all of it, without the newline at its end. */
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
