/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The subject of the tests: /dev/liveupdate and the driver "liveupdate-test".
 */
#ifndef LU_SUBJECT_H
#define LU_SUBJECT_H

#include "lu_driver.h"
#include "lu_keeper.h"
#include "lu_session.h"

/*
 * Returns whether this kernel was started by a live update: only then, getting an incoming
 * FLB that is never preserved returns -ENOENT.
 */
static inline bool lu_lacks_ordinary_boot(struct lu_test *lu)
{
	int fd = -1, ret;

	ret = lu_user(&fd, "other_flb", "get");
	lu_close(&fd);
	if (ret == -ENOENT)
		snprintf(lu->reason, sizeof(lu->reason), "needs a boot without a live update");
	return ret == -ENOENT;
}

/* Returns whether a requirement is not met, and sets the skip reason. */
static inline bool lu_subject_lacks(struct lu_test *lu, const struct lu_needs *needs)
{
	lu->subject_fd = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	if (lu->subject_fd < 0) {
		snprintf(lu->reason, sizeof(lu->reason), "cannot open /dev/liveupdate: %s",
			 strerror(errno));
		return true;
	}
	if (needs->subject.users && lu_lacks_file(lu, LU_DEBUG "/outgoing_flb", W_OK))
		return true;
	if (needs->subject.incoming && lu_lacks_file(lu, LU_DEBUG "/incoming_flb", W_OK))
		return true;
	if (needs->subject.fail && lu_lacks_file(lu, LU_DEBUG "/fail", W_OK))
		return true;
	return needs->subject.no_live_update && lu_is_first_kernel() &&
	       lu_lacks_ordinary_boot(lu);
}

/* Restores the state of the driver after boot, before and after a test. */
static inline void lu_subject_reset(void)
{
	lu_reset_driver();
}

#endif /* LU_SUBJECT_H */
