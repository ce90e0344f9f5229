// SPDX-License-Identifier: GPL-2.0-only
/*
 * The subject of the tests. A folder with another subject has its own version of this file.
 */
#include "kt_state.h"

/* Returns whether a requirement is not met, and sets the skip reason. */
bool kt_subject_lacks(const struct kt_needs *needs)
{
	(void)needs;
	return false;
}

/* Restores the state after boot, before and after a test. */
void kt_subject_reset(void)
{
}
