/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Memory leaks of the kernel, as reported by kmemleak.
 */
#ifndef LU_LEAK_H
#define LU_LEAK_H

#include "lu_step.h"

/* Returned by lu_leaks() if kmemleak is not available. */
#define LU_NO_KMEMLEAK	(-EOPNOTSUPP)
/* kmemleak does not report objects younger than five seconds. */
#define LU_LEAK_AGE_MSECS	5500
/* Number of reports that are printed in full. */
#define LU_LEAKS_SHOWN_MAX	8

/* Returns jiffies, which kmemleak prints as the allocation time of an object. */
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

	/* kmemleak may be disabled, or may have disabled itself after an error. */
	return ret == -ENOENT || ret == -EPERM ? LU_NO_KMEMLEAK : ret;
}

/* Excludes older leaks from lu_leaks(). Returns LU_NO_KMEMLEAK without kmemleak. */
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
 * Counts the reports of objects allocated since lu_leaks_begin(), and prints the first
 * of them. The second line of a report has the allocation time of its object.
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
 * Returns the number of unreferenced objects that were allocated since lu_leaks_begin().
 * Two scans are needed: the first one only records the checksums of new objects. The
 * pause between them makes all objects old enough to be reported.
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

/* Prints the step that checked for leaks; without kmemleak, that it was skipped. */
static inline void lu_step_leaks(struct lu_test *lu, const char *step, int ret)
{
	if (ret == LU_NO_KMEMLEAK)
		lu_report_step(lu, step, "skipped: kmemleak is not on");
	else
		lu_report_step(lu, step, ret > 0 ? "leaks found" : lu_result(ret));
}

#endif /* LU_LEAK_H */
