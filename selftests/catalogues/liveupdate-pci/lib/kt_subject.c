// SPDX-License-Identifier: GPL-2.0-only
/*
 * The subject of the tests: /dev/liveupdate and the driver "liveupdate-test".
 */
#include "kt_state.h"
#include "liveupdate_pci.h"

/*
 * Returns whether this kernel was started by a live update: only then, getting an incoming
 * FLB that is never preserved returns -ENOENT.
 */
static bool lu_lacks_ordinary_boot(void)
{
	int fd = -1, ret;

	ret = lu_user(&fd, "other_flb", "get");
	kt_close(&fd);
	if (ret == -ENOENT)
		snprintf(kt.reason, sizeof(kt.reason), "needs a boot without a live update");
	return ret == -ENOENT;
}

/* Returns whether a requirement is not met, and sets the skip reason. */
bool kt_subject_lacks(const struct kt_needs *needs)
{
	kt.subject_fd = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	if (kt.subject_fd < 0) {
		snprintf(kt.reason, sizeof(kt.reason), "cannot open /dev/liveupdate: %s",
			 strerror(errno));
		return true;
	}
	if (needs->subject.users && kt_lacks_file(LU_DEBUG "/outgoing_flb", W_OK))
		return true;
	if (needs->subject.incoming && kt_lacks_file(LU_DEBUG "/incoming_flb", W_OK))
		return true;
	if (needs->subject.fail && kt_lacks_file(LU_DEBUG "/fail", W_OK))
		return true;
	return needs->subject.no_live_update && kt_is_first_kernel() &&
	       lu_lacks_ordinary_boot();
}

/* Restores the state of the driver after boot, before and after a test. */
void kt_subject_reset(void)
{
	lu_reset_driver();
}
