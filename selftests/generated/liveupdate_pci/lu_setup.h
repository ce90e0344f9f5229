/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a test needs, looked for before it begins, and what it leaves behind,
 * which is nothing.
 */
#ifndef LU_SETUP_H
#define LU_SETUP_H

#include "lu_device.h"
#include "lu_driver.h"
#include "lu_fault.h"
#include "lu_sync.h"
#include "lu_process.h"
#include "lu_session.h"
#include "lu_trace.h"

/*
 * To be called before the test's descriptors are closed, where it holds threads:
 * one that is held may own a lock that closing needs.
 */
static inline int lu_let_go(struct lu_test *lu)
{
	int ret = lu->hold >= 0 && lu_hold_is(lu, "expired") ? -ETIME : 0;

	if (lu_end_held(lu))
		ksft_print_msg("a thread that was held does not end\n");
	if (!lu->waiting.running)
		return ret;
	if (lu_join(&lu->waiting))
		ksft_print_msg("a thread that waited does not end\n");
	/* It may have registered an FLB, which the files that are open do not count in. */
	lu_reset_driver();
	return ret;
}

static inline void lu_teardown(struct lu_test *lu)
{
	lu_let_go(lu);
	lu_close_many(lu);
	lu_unload_hold_module(lu);
	lu_disarm_faults(lu);
	lu_kill_processes(lu);
	/* The next kernel is to find what this boot left, not what it found. */
	if (!lu->kept) {
		lu_reset_driver();
		lu_restore_devices(lu);
	}
	lu_close(&lu->liveupdate);
	if (lu->nr_probes)
		lu_remove_probes(lu);
	lu_close(&lu->kmsg);
	free(lu->log);
	lu->log = NULL;
}

/* Says in the reason that a file is missing, if it is. */
static inline bool lu_lacks_file(struct lu_test *lu, const char *path, int mode)
{
	if (!access(path, mode))
		return false;
	snprintf(lu->reason, sizeof(lu->reason), "%s: %s", path, strerror(errno));
	return true;
}

static inline bool lu_lacks_variable(struct lu_test *lu, const char *name, const char *what)
{
	if (getenv(name))
		return false;
	snprintf(lu->reason, sizeof(lu->reason), "%s is not set, which says %s", name, what);
	return true;
}

static inline bool lu_lacks_devices(struct lu_test *lu, unsigned int devices)
{
	char path[LU_PATH_MAX];
	unsigned int i;

	lu_find_devices(lu);
	/* Teardown makes them again what they are noted to be. */
	lu_note_devices(lu);
	if (lu->nr_devices < devices) {
		snprintf(lu->reason, sizeof(lu->reason),
			 "needs %u device(s) bound to liveupdate-test, found %u", devices,
			 lu->nr_devices);
		return true;
	}
	/* After a kexec, that one is missing may be what is tested. */
	for (i = 0; i < devices && !getenv("LIVEUPDATE_TEST_HANDED_OVER"); i++) {
		snprintf(path, sizeof(path), LU_PCI "/devices/%.*s", LU_NAME_MAX,
			 lu->device[i]);
		if (access(path, F_OK)) {
			snprintf(lu->reason, sizeof(lu->reason), "there is no device %.*s",
				 LU_NAME_MAX, lu->device[i]);
			return true;
		}
	}
	return false;
}

static inline bool lu_lacks_log(struct lu_test *lu)
{
	lu->log = calloc(1, LU_LOG_MAX);
	lu->kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (lu->log && lu->kmsg >= 0 && lseek(lu->kmsg, 0, SEEK_END) >= 0)
		return false;
	snprintf(lu->reason, sizeof(lu->reason), "the kernel log cannot be read: %s",
		 strerror(errno));
	return true;
}

static inline bool lu_lacks_slot_power(struct lu_test *lu)
{
	char slot[LU_NAME_MAX];
	unsigned int i;

	for (i = 0; i < lu->nr_devices; i++) {
		if (!lu_find_slot(lu, i, slot))
			return false;
	}
	snprintf(lu->reason, sizeof(lu->reason), "no device is in a slot that can be powered off");
	return true;
}

static inline bool lu_lacks_vfs(struct lu_test *lu)
{
	char text[16];
	unsigned int i;

	for (i = 0; i < lu->nr_devices; i++) {
		if (!lu_read_device_path(lu, i, "sriov_totalvfs", text, sizeof(text)))
			return false;
	}
	snprintf(lu->reason, sizeof(lu->reason), "no device can have virtual functions");
	return true;
}

static inline bool lu_lacks_cpus(struct lu_test *lu, unsigned int wanted)
{
	cpu_set_t cpus;

	if (!sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) >= (int)wanted)
		return false;
	snprintf(lu->reason, sizeof(lu->reason), "needs %u processors", wanted);
	return true;
}

static inline bool lu_lacks_sync_points(struct lu_test *lu, const struct lu_needs *needs)
{
	bool hurried = lu_hurry();
	unsigned int i;
	int ret = 0;

	for (i = 0; i < needs->nr_sync_points && !ret; i++) {
		ret = lu_try_hold(needs->sync_point[i]);
		if (ret)
			lu_cannot_probe(lu, needs->sync_point[i], "nothing can be held there",
					ret);
	}
	lu_slow_down(hurried);
	return ret;
}

static inline bool lu_lacks_hold(struct lu_test *lu, const struct lu_needs *needs)
{
	int ret = lu_load_hold_module(lu);

	if (!ret)
		return lu_lacks_file(lu, LU_SYNC_FILE, R_OK | W_OK) ||
		       lu_lacks_cpus(lu, 2) || lu_lacks_sync_points(lu, needs);
	snprintf(lu->reason, sizeof(lu->reason), "no module " LU_SYNC_MODULE ": %s",
		 strerror(-ret));
	return true;
}

/*
 * A kernel that nothing was handed over to says so to whoever asks. One that came by
 * a live update says of a name that nobody hands over that it is unknown.
 */
static inline bool lu_lacks_ordinary_boot(struct lu_test *lu)
{
	int fd = -1, ret;

	ret = lu_user(&fd, "other_flb", "get");
	lu_close(&fd);
	if (ret == -ENOENT)
		snprintf(lu->reason, sizeof(lu->reason), "this kernel came by a live update");
	return ret == -ENOENT;
}

/* The driver's and the kernel's files and modules that not every kernel has. */
static inline bool lu_lacks_files(struct lu_test *lu, const struct lu_needs *needs)
{
	if (needs->users && lu_lacks_file(lu, LU_DEBUG "/outgoing_flb", W_OK))
		return true;
	if (needs->incoming && lu_lacks_file(lu, LU_DEBUG "/incoming_flb", W_OK))
		return true;
	if (needs->fail && lu_lacks_file(lu, LU_DEBUG "/fail", W_OK))
		return true;
	if (needs->fail_nth && (lu_lacks_file(lu, LU_FAIL_NTH, W_OK) ||
				lu_lacks_file(lu, LU_FAILSLAB "/ignore-gfp-wait", W_OK)))
		return true;
	if (needs->no_live_update && lu_is_first_kernel() && lu_lacks_ordinary_boot(lu))
		return true;
	if (needs->wait && lu_lacks_file(lu, LU_WCHAN, R_OK))
		return true;
	return needs->hold && lu_lacks_hold(lu, needs);
}

/* What the machine, and whoever runs the test on it, must offer. */
static inline bool lu_lacks_surroundings(struct lu_test *lu, const struct lu_needs *needs)
{
	if (needs->machine && lu_lacks_variable(lu, "LIVEUPDATE_TEST_MACHINE",
						"who plugs and unplugs devices"))
		return true;
	if (needs->kexec && lu_lacks_variable(lu, "LIVEUPDATE_TEST_KERNEL",
					      "which kernel a kexec leads to"))
		return true;
	/* Some machines let go of a device whose slot is switched off. */
	if (needs->slot_power && (lu_lacks_variable(lu, "LIVEUPDATE_TEST_MACHINE",
						    "who plugs devices in again") ||
				  lu_lacks_slot_power(lu)))
		return true;
	if (needs->vfs && lu_lacks_vfs(lu))
		return true;
	return needs->cpus && lu_lacks_cpus(lu, needs->cpus);
}

static inline bool lu_lacks(struct lu_test *lu, const struct lu_needs *needs)
{
	if (geteuid() != 0) {
		snprintf(lu->reason, sizeof(lu->reason), "needs root");
		return true;
	}
	lu->liveupdate = open("/dev/liveupdate", O_RDWR | O_CLOEXEC);
	if (lu->liveupdate < 0) {
		snprintf(lu->reason, sizeof(lu->reason), "/dev/liveupdate cannot be opened: %s",
			 strerror(errno));
		return true;
	}
	if (lu_lacks_devices(lu, needs->devices) || lu_lacks_surroundings(lu, needs) ||
	    lu_lacks_files(lu, needs))
		return true;
	if (needs->log && lu_lacks_log(lu))
		return true;
	return lu_add_probes(lu);
}

/* Returns why the test must be skipped, or NULL when all it needs is there. */
static inline const char *lu_setup(struct lu_test *lu, const struct lu_needs *needs)
{
	lu->liveupdate = -1;
	lu->kmsg = -1;
	lu->hold = -1;
	lu->fail_nth = -1;
	lu->ordered = needs->order;
	lu->nr_probes = needs->nr_probes;
	lu->probe = needs->probe;
	/* A test that was killed may have left faults behind, which are not ours. */
	lu_reset_driver();
	if (!lu_lacks(lu, needs))
		return NULL;
	/* The harness runs no teardown after a setup that skips. */
	lu_teardown(lu);
	return lu->reason;
}

#endif /* LU_SETUP_H */
