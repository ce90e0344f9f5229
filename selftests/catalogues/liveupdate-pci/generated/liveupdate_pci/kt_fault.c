// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection: fails the n-th allocation of this thread. Memory leaks of the kernel, as
 * reported by kmemleak.
 */
#include <stdio.h>

#include "kt_state.h"

#define KT_ALLOCATIONS_MAX	1000
#define KT_KMEMLEAK	"/sys/kernel/debug/kmemleak"

/*
 * Configures failslab to include allocations that may sleep, and not to print a call
 * trace, which would look like a kernel report.
 */
static int kt_arm_failslab(void)
{
	int ret;

	if (kt.failslab)
		return 0;
	ret = kt_read_line(KT_FAILSLAB "/ignore-gfp-wait", kt.ignore_gfp_wait,
			   sizeof(kt.ignore_gfp_wait));
	if (!ret)
		ret = kt_read_line(KT_FAILSLAB "/verbose", kt.verbose, sizeof(kt.verbose));
	if (ret)
		return ret;
	/* These values were left behind by a killed test: restore the defaults instead. */
	if (!strcmp(kt.ignore_gfp_wait, "N") && !strcmp(kt.verbose, "0")) {
		kt_copy(kt.ignore_gfp_wait, "Y", sizeof(kt.ignore_gfp_wait));
		kt_copy(kt.verbose, "2", sizeof(kt.verbose));
	}
	kt.failslab = true;
	ret = kt_write_path(KT_FAILSLAB "/verbose", "0");
	return ret ? ret : kt_write_path(KT_FAILSLAB "/ignore-gfp-wait", "N");
}

/*
 * Makes the @n-th allocation of this thread fail, counted from now. Allocations of all
 * system calls count, not only those of the step under test.
 */
static int kt_fail_nth(unsigned int n)
{
	char text[16];
	int ret, len;

	ret = kt_arm_failslab();
	if (ret)
		return ret;
	kt_close(&kt.fail_nth);
	kt.fail_nth = open(KT_FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (kt.fail_nth < 0)
		return -errno;
	len = snprintf(text, sizeof(text), "%u", n);
	return write(kt.fail_nth, text, len) == len ? 0 : -EIO;
}

/* Disarms kt_fail_nth(). Returns 1 if an allocation failed since then, else 0. */
static int kt_fail_nth_hit(void)
{
	char left[16] = "";
	ssize_t len;

	if (kt.fail_nth < 0)
		return -EINVAL;
	len = pread(kt.fail_nth, left, sizeof(left) - 1, 0);
	if (pwrite(kt.fail_nth, "0", 1, 0) != 1)
		len = -1;
	kt_close(&kt.fail_nth);
	if (len < 1)
		return -EIO;
	return strtoul(left, NULL, 10) == 0;
}

/*
 * Repeats @step, with its first allocation failing, then its second, and so on, until no
 * allocation is left. Each time, it must fail with -ENOMEM or succeed despite the failed
 * allocation; @undo reverts a successful step. Returns the result of the last run, in
 * which no allocation failed, or -EBADMSG if an earlier run failed with another error, or
 * if @undo failed.
 */
int kt_fail_each(int (*step)(void *data), int (*undo)(void *data), void *data)
{
	unsigned int n;
	int ret, hit;

	for (n = 1; n <= KT_ALLOCATIONS_MAX; n++) {
		ret = kt_fail_nth(n);
		if (ret)
			return ret;
		ret = step(data);
		hit = kt_fail_nth_hit();
		if (hit < 0)
			return hit;
		if (!hit)
			return ret;
		if (ret < 0 && ret != -ENOMEM) {
			ksft_print_msg("allocation %u fails: expected -ENOMEM or ok, got %s\n", n,
				       kt_result(ret));
			return -EBADMSG;
		}
		ret = ret < 0 ? 0 : undo(data);
		if (ret < 0) {
			ksft_print_msg("undo after failed allocation %u: expected ok, got %s\n", n,
				       kt_result(ret));
			return -EBADMSG;
		}
	}
	return -EOVERFLOW;
}

void kt_disarm_faults(void)
{
	if (kt.fail_nth >= 0)
		kt_fail_nth_hit();
	if (!kt.failslab)
		return;
	kt_write_path(KT_FAILSLAB "/ignore-gfp-wait", kt.ignore_gfp_wait);
	kt_write_path(KT_FAILSLAB "/verbose", kt.verbose);
	kt.failslab = false;
}

/* kmemleak does not report objects younger than five seconds. */
#define KT_LEAK_AGE_MSECS	5500
/* Number of reports that are printed in full. */
#define KT_LEAKS_SHOWN_MAX	8

/* Returns jiffies, which kmemleak prints as the allocation time of an object. */
static unsigned long long kt_jiffies(void)
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

static int kt_scan_for_leaks(void)
{
	int ret = kt_write_text(KT_KMEMLEAK, "scan", 0);

	/* kmemleak may be disabled, or may have disabled itself after an error. */
	return ret == -ENOENT || ret == -EPERM ? KT_NO_KMEMLEAK : ret;
}

/* Excludes older leaks from kt_leaks(). */
int kt_begin_leaks(void)
{
	int ret;

	ret = kt_scan_for_leaks();
	if (ret)
		return ret;
	kt.leaks_since = kt_jiffies();
	return kt_write_text(KT_KMEMLEAK, "clear", 0);
}

/*
 * Counts the reports of objects allocated since kt_begin_leaks(), and prints the first
 * of them. The second line of a report has the allocation time of its object.
 */
static int kt_count_leaks(FILE *file)
{
	unsigned long long made;
	char line[256], head[256] = "", *at;
	bool shown = false;
	int count = 0;

	while (fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = '\0';
		at = strstr(line, ", jiffies ");
		if (!strncmp(line, "unreferenced ", strlen("unreferenced "))) {
			kt_copy(head, line, sizeof(head));
			shown = false;
		} else if (*head && at && sscanf(at, ", jiffies %llu", &made) == 1) {
			shown = made >= kt.leaks_since && ++count <= KT_LEAKS_SHOWN_MAX;
			if (shown)
				ksft_print_msg("leak: %s\n", head);
			*head = '\0';
		}
		if (shown)
			ksft_print_msg("leak: %s\n", line);
	}
	return count;
}

static int kt_scan_twice(void)
{
	int ret = kt_scan_for_leaks();

	if (ret)
		return ret;
	kt_pause_msecs(KT_LEAK_AGE_MSECS);
	return kt_scan_for_leaks();
}

/*
 * Returns the number of unreferenced objects that were allocated since the setup; 0 if the
 * kernel cannot count them, which is printed. Two scans are needed: the first one only
 * records the checksums of new objects. The pause between them makes all objects old enough
 * to be reported.
 */
int kt_leaks(void)
{
	int ret = kt_scan_twice();
	FILE *file;

	if (ret == KT_NO_KMEMLEAK) {
		ksft_print_msg("kmemleak is not on\n");
		kt.no_kmemleak = true;
		return 0;
	}
	if (ret)
		return ret;
	file = fopen(KT_KMEMLEAK, "re");
	if (!file)
		return -errno;
	ret = kt_count_leaks(file);
	fclose(file);
	return ret;
}
