/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Setup and teardown: checks the requirements of a test before it starts, and restores
 * the devices, the driver and the tracing files after it.
 */
#ifndef LU_SETUP_H
#define LU_SETUP_H

#include "lu_device.h"
#include "lu_fault.h"
#include "lu_sync.h"
#include "lu_keeper.h"
#include "lu_process.h"
#include "lu_subject.h"
#include "lu_trace.h"

/*
 * Releases and joins all threads. Call this before closing descriptors: a held thread
 * may own a lock that close() needs. Returns -ETIME if the time limit of the sync point
 * released the held thread, unless lu_wait() has already returned -ETIME for this reason.
 */
static inline int lu_let_go(struct lu_test *lu)
{
	int ret = !lu->expired && lu->hold >= 0 && lu_hold_is(lu, "expired") ? -ETIME : 0;

	if (lu_end_held(lu))
		ksft_print_msg("the held thread did not end\n");
	if (!lu->waiting.running)
		return ret;
	if (lu_join(&lu->waiting))
		ksft_print_msg("the waiting thread did not end\n");
	/* The thread may have registered an FLB, which the open files do not account for. */
	lu_subject_reset();
	return ret;
}

static inline void lu_teardown(struct lu_test *lu)
{
	lu_let_go(lu);
	lu_close_many(lu);
	lu_unload_hold_module(lu);
	lu_disarm_faults(lu);
	lu_kill_processes(lu);
	/* Before a kexec, the devices stay as this boot left them. */
	if (!lu->has_keeper) {
		lu_subject_reset();
		lu_restore_devices(lu);
	}
	lu_close(&lu->subject_fd);
	if (lu->nr_probes)
		lu_remove_probes(lu);
	lu_close(&lu->kmsg);
	free(lu->log);
	lu->log = NULL;
}

static inline bool lu_lacks_variable(struct lu_test *lu, const char *name, const char *meaning)
{
	if (getenv(name))
		return false;
	snprintf(lu->reason, sizeof(lu->reason), "%s (%s) is not set", name, meaning);
	return true;
}

static inline bool lu_lacks_devices(struct lu_test *lu, unsigned int devices)
{
	char path[LU_PATH_MAX];
	unsigned int i;

	lu_find_devices(lu);
	/* Teardown restores the recorded state. */
	lu_note_devices(lu);
	if (lu->nr_devices < devices) {
		snprintf(lu->reason, sizeof(lu->reason),
			 "needs %u device(s) bound to " LU_DRIVER ", found %u", devices,
			 lu->nr_devices);
		return true;
	}
	/* After a kexec, the test itself may expect a missing device. */
	for (i = 0; i < devices && !getenv("LIVEUPDATE_TEST_HANDED_OVER"); i++) {
		snprintf(path, sizeof(path), LU_PCI "/devices/%.*s", LU_NAME_MAX,
			 lu->device[i]);
		if (access(path, F_OK)) {
			snprintf(lu->reason, sizeof(lu->reason), "no device %.*s",
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
	snprintf(lu->reason, sizeof(lu->reason), "cannot read /dev/kmsg: %s",
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
	snprintf(lu->reason, sizeof(lu->reason), "no device is in a slot with power control");
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
	snprintf(lu->reason, sizeof(lu->reason), "no device supports virtual functions");
	return true;
}

static inline bool lu_lacks_cpus(struct lu_test *lu, unsigned int wanted)
{
	cpu_set_t cpus;

	if (!sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) >= (int)wanted)
		return false;
	snprintf(lu->reason, sizeof(lu->reason), "needs %u CPUs", wanted);
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
			lu_cannot_probe(lu, needs->sync_point[i], "cannot be a sync point", ret);
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

/* Checks for files of the kernel, and for modules. */
static inline bool lu_lacks_files(struct lu_test *lu, const struct lu_needs *needs)
{
	if (needs->fail_nth && (lu_lacks_file(lu, LU_FAIL_NTH, W_OK) ||
				lu_lacks_file(lu, LU_FAILSLAB "/ignore-gfp-wait", W_OK)))
		return true;
	if (needs->wait && lu_lacks_file(lu, LU_WCHAN, R_OK))
		return true;
	return needs->hold && lu_lacks_hold(lu, needs);
}

/* Checks for properties of the machine and for environment variables. */
static inline bool lu_lacks_surroundings(struct lu_test *lu, const struct lu_needs *needs)
{
	if (needs->machine && lu_lacks_variable(lu, "LIVEUPDATE_TEST_MACHINE",
						"the directory of the machine's FIFOs"))
		return true;
	if (needs->kexec && lu_lacks_variable(lu, "LIVEUPDATE_TEST_KERNEL",
					      "the kernel to kexec"))
		return true;
	/* Some machines eject a device when its slot is powered off. */
	if (needs->slot_power && (lu_lacks_variable(lu, "LIVEUPDATE_TEST_MACHINE",
						    "the directory of the machine's FIFOs") ||
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
	if (lu_subject_lacks(lu, needs) || lu_lacks_devices(lu, needs->devices) ||
	    lu_lacks_surroundings(lu, needs) || lu_lacks_files(lu, needs))
		return true;
	if (needs->log && lu_lacks_log(lu))
		return true;
	return lu_add_probes(lu);
}

/* Returns the reason to skip the test, or NULL if all requirements are met. */
static inline const char *lu_setup(struct lu_test *lu, const struct lu_needs *needs)
{
	lu->subject_fd = -1;
	lu->kmsg = -1;
	lu->hold = -1;
	lu->fail_nth = -1;
	lu->ordered = needs->order;
	lu->nr_probes = needs->nr_probes;
	lu->probe = needs->probe;
	/* A killed test may have left armed faults in the driver. */
	lu_subject_reset();
	if (!lu_lacks(lu, needs))
		return NULL;
	/* The harness runs no teardown if the setup skips. */
	lu_teardown(lu);
	return lu->reason;
}

#endif /* LU_SETUP_H */
