/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lines of the kernel log since the setup of the test.
 */
#ifndef LU_LOG_H
#define LU_LOG_H

#include "lu_test.h"

/* Appends new records of the kernel to lu->log. Records from user space are skipped. */
static inline int lu_read_log(struct lu_test *lu)
{
	char record[8192];
	unsigned int prio;
	char *text, *end;
	ssize_t len;

	for (;;) {
		len = read(lu->kmsg, record, sizeof(record) - 1);
		if (len < 0 && errno == EAGAIN)
			return 0;
		if (len < 0)
			return -errno;
		record[len] = '\0';
		text = strchr(record, ';');
		if (!text || sscanf(record, "%u,", &prio) != 1)
			return -EIO;
		if (prio >> 3)
			continue;
		text++;
		end = strchr(text, '\n');
		len = end ? end - text + 1 : (ssize_t)strlen(text);
		if (lu->log_len + len >= LU_LOG_MAX)
			return -ENOSPC;
		memcpy(lu->log + lu->log_len, text, len);
		lu->log_len += len;
		lu->log[lu->log_len] = '\0';
	}
}

/* Returns the number of lines with @text that the kernel logged since the setup. */
static inline int lu_log_lines(struct lu_test *lu, const char *text)
{
	char *line = lu->log, *hit, *end;
	int ret, count = 0;

	ret = lu_read_log(lu);
	if (ret)
		return ret;
	while ((hit = strstr(line, text))) {
		count++;
		end = strchr(hit, '\n');
		if (!end)
			break;
		line = end + 1;
	}
	return count;
}

#endif /* LU_LOG_H */
