/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The subject of the tests. A folder with another subject has its own version of this file.
 */
#ifndef LU_SUBJECT_H
#define LU_SUBJECT_H

#include "lu_test.h"

/* Returns whether a requirement is not met, and sets the skip reason. */
static inline bool lu_subject_lacks(struct lu_test *lu, const struct lu_needs *needs)
{
	(void)lu;
	(void)needs;
	return false;
}

/* Restores the state after boot, before and after a test. */
static inline void lu_subject_reset(void)
{
}

#endif /* LU_SUBJECT_H */
