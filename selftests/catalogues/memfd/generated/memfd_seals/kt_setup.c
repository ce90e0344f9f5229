// SPDX-License-Identifier: GPL-2.0-only
/*
 * Setup and teardown: checks the requirements of a test before it starts, and restores
 * the devices, the driver and the tracing files after it.
 */
#include "kt_state.h"

#define KT_WCHAN	"/proc/self/wchan"
#define KT_PANIC_ON_WARN	"/proc/sys/kernel/panic_on_warn"

/* The highest descriptor that a test can have opened. */
#define KT_FD_MAX	1023

struct kt_state kt;

/* Returns the number of the boot; 0 if no kexec was announced. */
static unsigned long kt_boot(void)
{
	const char *boot = getenv("KT_BOOT");

	return boot ? strtoul(boot, NULL, 10) : 0;
}

/* Returns whether there was no kexec before this boot. */
bool kt_is_first_kernel(void)
{
	return kt_boot() < 2;
}

/* A test with several boots has no result without the kexec between them. */
static bool kt_lacks_boot(void)
{
	if (!kt.needs.boots || kt_boot() == kt.needs.boot)
		return false;
	snprintf(kt.reason, sizeof(kt.reason), "needs a kexec: KT_BOOT is not %u of %u",
		 kt.needs.boot, kt.needs.boots);
	return true;
}

static bool kt_lacks_variable(const char *name, const char *meaning)
{
	if (getenv(name))
		return false;
	snprintf(kt.reason, sizeof(kt.reason), "%s (%s) is not set", name, meaning);
	return true;
}

/* A warning of the kernel must not end the machine. */
static bool kt_panics_on_warn(void)
{
	char text[16];

	if (kt_read_line(KT_PANIC_ON_WARN, text, sizeof(text)) || !strcmp(text, "0"))
		return false;
	snprintf(kt.reason, sizeof(kt.reason), "panic_on_warn is set");
	return true;
}

/* Checks for files of the kernel, and for modules. */
static bool kt_lacks_files(const struct kt_needs *needs)
{
	if (needs->fail_nth && (kt_lacks_file(KT_FAIL_NTH, W_OK) ||
				kt_lacks_file(KT_FAILSLAB "/ignore-gfp-wait", W_OK)))
		return true;
	if (needs->wait && kt_lacks_file(KT_WCHAN, R_OK))
		return true;
	return needs->hold && kt_lacks_sync_points();
}

/* Checks for properties of the machine and for environment variables. */
static bool kt_lacks_surroundings(const struct kt_needs *needs)
{
	/* Some machines eject a device when its slot is powered off. */
	if ((needs->machine || needs->slot_power) &&
	    kt_lacks_variable("KT_MACHINE", "the directory of the machine's FIFOs"))
		return true;
	if (needs->slot_power && kt_lacks_slot_power())
		return true;
	if (needs->kexec && kt_lacks_variable("KT_KERNEL", "the kernel to kexec"))
		return true;
	if (needs->vfs && kt_lacks_vfs())
		return true;
	return needs->cpus && kt_lacks_cpus(needs->cpus);
}

static bool kt_lacks(const struct kt_needs *needs)
{
	if (geteuid() != 0) {
		snprintf(kt.reason, sizeof(kt.reason), "needs root");
		return true;
	}
	if (kt_lacks_boot() || (needs->warns && kt_panics_on_warn()))
		return true;
	/* A killed test may have left armed faults in the driver. */
	kt_subject_reset();
	if (kt_subject_lacks(needs) || kt_lacks_devices(needs->devices) ||
	    kt_lacks_surroundings(needs) || kt_lacks_files(needs))
		return true;
	if (needs->log && kt_lacks_log())
		return true;
	return kt_add_probes();
}

/* Returns the reason to skip the test, or NULL if all requirements are met. */
const char *kt_setup(const struct kt_needs *needs)
{
	kt.needs = *needs;
	kt.subject_fd = -1;
	kt.kmsg = -1;
	kt.hold = -1;
	kt.fail_nth = -1;
	if (kt_lacks(needs))
		return kt.reason;
	if (needs->leaks)
		kt_begin_leaks();
	kt.first_fd = dup(STDIN_FILENO);
	close(kt.first_fd);
	return NULL;
}

/* Closes what the test has left open, the newest first. */
static void kt_close_files(void)
{
	int fd;

	for (fd = KT_FD_MAX; kt.first_fd && fd >= kt.first_fd; fd--)
		close(fd);
}

/* Returns -ETIME if a thread was held longer than the time limit, see kt_end_threads(). */
int kt_teardown(void)
{
	int ret = kt_end_threads();

	kt_disarm_faults();
	kt_close_files();
	kt_unload_sync_module();
	kt_kill_processes();
	/* Before a kexec, the devices stay as this boot left them. */
	if (!kt.has_keeper) {
		kt_subject_reset();
		kt_restore_devices();
	}
	kt_close(&kt.subject_fd);
	if (kt.nr_calls)
		kt_remove_probes();
	kt_close(&kt.kmsg);
	free(kt.log);
	kt.log = NULL;
	return ret;
}
