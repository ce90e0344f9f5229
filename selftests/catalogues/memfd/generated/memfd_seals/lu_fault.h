/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Fault injection: fails the n-th allocation of this thread.
 */
#ifndef LU_FAULT_H
#define LU_FAULT_H

#include "lu_path.h"

/*
 * Configures failslab to include allocations that may sleep, and not to print a call
 * trace, which would look like a kernel report.
 */
static inline int lu_arm_failslab(struct lu_test *lu)
{
	int ret;

	if (lu->failslab)
		return 0;
	ret = lu_read_path(LU_FAILSLAB "/ignore-gfp-wait", lu->ignore_gfp_wait,
			   sizeof(lu->ignore_gfp_wait));
	if (!ret)
		ret = lu_read_path(LU_FAILSLAB "/verbose", lu->verbose, sizeof(lu->verbose));
	if (ret)
		return ret;
	/* These values were left behind by a killed test: restore the defaults instead. */
	if (!strcmp(lu->ignore_gfp_wait, "N") && !strcmp(lu->verbose, "0")) {
		lu_copy(lu->ignore_gfp_wait, "Y", sizeof(lu->ignore_gfp_wait));
		lu_copy(lu->verbose, "2", sizeof(lu->verbose));
	}
	lu->failslab = true;
	ret = lu_write_path(LU_FAILSLAB "/verbose", "0");
	return ret ? ret : lu_write_path(LU_FAILSLAB "/ignore-gfp-wait", "N");
}

/*
 * Makes the @n-th allocation of this thread fail, counted from now. Allocations of all
 * system calls count, not only those of the step under test.
 */
static inline int lu_fail_nth(struct lu_test *lu, unsigned int n)
{
	char text[16];
	int ret, len;

	ret = lu_arm_failslab(lu);
	if (ret)
		return ret;
	lu_close(&lu->fail_nth);
	lu->fail_nth = open(LU_FAIL_NTH, O_RDWR | O_CLOEXEC);
	if (lu->fail_nth < 0)
		return -errno;
	len = snprintf(text, sizeof(text), "%u", n);
	return write(lu->fail_nth, text, len) == len ? 0 : -EIO;
}

/* Disarms lu_fail_nth(). Returns 1 if an allocation failed since then, else 0. */
static inline int lu_fail_nth_hit(struct lu_test *lu)
{
	char left[16] = "";
	ssize_t len;

	if (lu->fail_nth < 0)
		return -EINVAL;
	len = pread(lu->fail_nth, left, sizeof(left) - 1, 0);
	if (pwrite(lu->fail_nth, "0", 1, 0) != 1)
		len = -1;
	lu_close(&lu->fail_nth);
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
static inline int lu_fail_each(struct lu_test *lu, int (*step)(void *data),
			       int (*undo)(void *data), void *data)
{
	unsigned int n;
	int ret, hit;

	for (n = 1; n <= LU_ALLOCATIONS_MAX; n++) {
		ret = lu_fail_nth(lu, n);
		if (ret)
			return ret;
		ret = step(data);
		hit = lu_fail_nth_hit(lu);
		if (hit < 0)
			return hit;
		if (!hit)
			return ret;
		if (ret < 0 && ret != -ENOMEM) {
			ksft_print_msg("allocation %u fails: expected -ENOMEM or ok, got %s\n", n,
				       lu_result(ret));
			return -EBADMSG;
		}
		ret = ret < 0 ? 0 : undo(data);
		if (ret < 0) {
			ksft_print_msg("undo after failed allocation %u: expected ok, got %s\n", n,
				       lu_result(ret));
			return -EBADMSG;
		}
	}
	return -EOVERFLOW;
}

static inline void lu_disarm_faults(struct lu_test *lu)
{
	if (lu->fail_nth >= 0)
		lu_fail_nth_hit(lu);
	if (!lu->failslab)
		return;
	lu_write_path(LU_FAILSLAB "/ignore-gfp-wait", lu->ignore_gfp_wait);
	lu_write_path(LU_FAILSLAB "/verbose", lu->verbose);
	lu->failslab = false;
}

#endif /* LU_FAULT_H */
