/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Allocations that fail: the n-th one of this thread.
 */
#ifndef LU_FAULT_H
#define LU_FAULT_H

#include "lu_path.h"

/*
 * Lets allocations fail that may sleep, which is nearly all of them, and without
 * a stack trace in the log, which would look like a complaint.
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
	/* What looks like ours was left by a test that was killed. */
	if (!strcmp(lu->ignore_gfp_wait, "N") && !strcmp(lu->verbose, "0")) {
		lu_copy(lu->ignore_gfp_wait, "Y", sizeof(lu->ignore_gfp_wait));
		lu_copy(lu->verbose, "2", sizeof(lu->verbose));
	}
	lu->failslab = true;
	ret = lu_write_path(LU_FAILSLAB "/verbose", "0");
	return ret ? ret : lu_write_path(LU_FAILSLAB "/ignore-gfp-wait", "N");
}

/*
 * The @n-th allocation of this thread from now on fails, be it for the step itself
 * or for a system call on the way.
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

/* No allocation fails any more. Returns 1 if one did since lu_fail_nth(), else 0. */
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
 * Does @step again and again, each time with the next of its allocations failing,
 * until none is left that could. Each time it must fail with -ENOMEM, or do without
 * what it did not get, and then @undo undoes it. Returns what the step returned with
 * all its allocations; -EBADMSG if it failed with anything else before.
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
			ksft_print_msg("with allocation %u failing: %s\n", n, lu_result(ret));
			return -EBADMSG;
		}
		ret = ret < 0 ? 0 : undo(data);
		if (ret < 0) {
			ksft_print_msg("undone after allocation %u failed: %s\n", n,
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
