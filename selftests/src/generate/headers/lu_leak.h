/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Memory that the kernel lost, by kmemleak.
 */
#ifndef LU_LEAK_H
#define LU_LEAK_H

#include "lu_step.h"

/* What lu_leaks() returns where nothing was looked for. */
#define LU_NO_KMEMLEAK	(-EOPNOTSUPP)
/* kmemleak speaks of nothing younger than five seconds. */
#define LU_LEAK_AGE_MSECS	5500
/* Reports that are shown in full. */
#define LU_LEAKS_SHOWN_MAX	8

/* Returns the kernel's count of time, by which kmemleak dates what it reports. */
static inline unsigned long long lu_jiffies(void)
{
	unsigned long long jiffies = 0;
	char line[256];
	FILE *file;

	file = fopen("/proc/timer_list", "re");
	if (!file)
		return 0;
	while (!jiffies && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "jiffies: %llu", &jiffies) != 1)
			jiffies = 0;
	}
	fclose(file);
	return jiffies;
}

static inline int lu_scan_for_leaks(void)
{
	int ret = lu_write_text(LU_KMEMLEAK, "scan", 0);

	/* It may be switched off, or have switched itself off. */
	return ret == -ENOENT || ret == -EPERM ? LU_NO_KMEMLEAK : ret;
}

/* What was lost before this moment is not counted; LU_NO_KMEMLEAK without it. */
static inline int lu_leaks_begin(struct lu_test *lu)
{
	int ret;

	ret = lu_scan_for_leaks();
	if (ret)
		return ret;
	lu->leaks_since = lu_jiffies();
	return lu_write_text(LU_KMEMLEAK, "clear", 0);
}

/*
 * Counts the reports of objects that are new, and shows the first of them. A report
 * begins with its object, and its second line says when that was made.
 */
static inline int lu_count_leaks(struct lu_test *lu, FILE *file)
{
	unsigned long long made;
	char line[256], head[256] = "", *at;
	bool shown = false;
	int count = 0;

	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		at = strstr(line, ", jiffies ");
		if (!strncmp(line, "unreferenced ", strlen("unreferenced "))) {
			lu_copy(head, line, sizeof(head));
			shown = false;
		} else if (*head && at && sscanf(at, ", jiffies %llu", &made) == 1) {
			shown = made >= lu->leaks_since && ++count <= LU_LEAKS_SHOWN_MAX;
			if (shown)
				ksft_print_msg("leak: %s\n", head);
			*head = '\0';
		}
		if (shown)
			ksft_print_msg("leak: %s\n", line);
	}
	return count;
}

/*
 * Returns how many objects that were made since lu_leaks_begin() nobody knows of
 * any more, each with its report in the output. Takes longer than kmemleak's
 * shortest age. The first scan only notes what the objects look like.
 */
static inline int lu_leaks(struct lu_test *lu)
{
	FILE *file;
	int ret;

	ret = lu_scan_for_leaks();
	if (ret)
		return ret;
	lu_pause_msecs(LU_LEAK_AGE_MSECS);
	ret = lu_scan_for_leaks();
	if (ret)
		return ret;
	file = fopen(LU_KMEMLEAK, "re");
	if (!file)
		return -errno;
	ret = lu_count_leaks(lu, file);
	fclose(file);
	return ret;
}

/* Reports the step that looked for leaks; if nobody could, that it was left out. */
static inline void lu_step_leaks(struct lu_test *lu, const char *what, int ret)
{
	if (ret == LU_NO_KMEMLEAK)
		lu_report_step(lu, what, "skipped: kmemleak is not on");
	else
		lu_report_step(lu, what, ret > 0 ? "some was lost" : lu_result(ret));
}

#endif /* LU_LEAK_H */
