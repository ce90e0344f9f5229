/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * PCI devices: finding, removing, unplugging and binding them, and restoring
 * their state after the test. A device is given by its index in struct lu_test, or'ed
 * with LU_VF(n) for a virtual function.
 */
#ifndef LU_DEVICE_H
#define LU_DEVICE_H

#include "lu_machine.h"
#include "lu_path.h"

/* Copies the last component of the target of the link @path. */
static inline int lu_read_link_name(const char *path, char *name, size_t size)
{
	char target[LU_PATH_MAX], *last;
	ssize_t len;

	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	last = strrchr(target, '/');
	return lu_copy(name, last ? last + 1 : target, size);
}

/*
 * Writes the address of the device to @bdf (LU_NAME_MAX bytes), and returns @bdf. The
 * address of a virtual function is cached at the first call; "none" if it does not exist.
 */
static inline const char *lu_bdf(struct lu_test *lu, unsigned int dev, char *bdf)
{
	unsigned int nr = dev >> LU_VF_SHIFT, i;
	char path[LU_PATH_MAX];

	lu_copy(bdf, "none", LU_NAME_MAX);
	if (LU_DEVICE(dev) >= lu->nr_devices)
		return bdf;
	if (!nr) {
		lu_copy(bdf, lu->device[dev], LU_NAME_MAX);
		return bdf;
	}
	for (i = 0; i < lu->nr_vfs; i++) {
		if (lu->vf[i].dev == dev) {
			lu_copy(bdf, lu->vf[i].bdf, LU_NAME_MAX);
			return bdf;
		}
	}
	snprintf(path, sizeof(path), LU_PCI "/devices/%s/virtfn%u",
		 lu->device[LU_DEVICE(dev)], nr - 1);
	if (!lu_read_link_name(path, bdf, LU_NAME_MAX) && lu->nr_vfs < LU_VFS_MAX) {
		lu->vf[lu->nr_vfs].dev = dev;
		lu_copy(lu->vf[lu->nr_vfs++].bdf, bdf, LU_NAME_MAX);
	}
	return bdf;
}

/* Writes the path of a device attribute to @path (LU_PATH_MAX bytes), and returns @path. */
static inline const char *lu_device_path(struct lu_test *lu, unsigned int dev,
					 const char *attribute, char *path)
{
	char bdf[LU_NAME_MAX];

	snprintf(path, LU_PATH_MAX, LU_PCI "/devices/%s/%s", lu_bdf(lu, dev, bdf), attribute);
	return path;
}

static inline int lu_write_device_path(struct lu_test *lu, unsigned int dev,
				       const char *attribute, const char *text)
{
	char path[LU_PATH_MAX];

	return lu_write_path(lu_device_path(lu, dev, attribute, path), text);
}

static inline int lu_read_device_path(struct lu_test *lu, unsigned int dev,
				      const char *attribute, char *text, size_t size)
{
	char path[LU_PATH_MAX];

	return lu_read_path(lu_device_path(lu, dev, attribute, path), text, size);
}

/* States --------------------------------------------------------------------- */

static inline bool lu_is_present(struct lu_test *lu, unsigned int dev)
{
	char path[LU_PATH_MAX];

	return !access(lu_device_path(lu, dev, "vendor", path), F_OK);
}

static inline bool lu_is_bound(struct lu_test *lu, unsigned int dev)
{
	char path[LU_PATH_MAX];

	return !access(lu_device_path(lu, dev, "driver", path), F_OK);
}

/*
 * Returns 0 if the device is in @state: "absent", "present", "bound" (to any driver) or
 * "unbound" (but present). Returns -ESTALE if it is not, -EINVAL for an unknown state.
 */
static inline int lu_device_is(struct lu_test *lu, unsigned int dev, const char *state)
{
	bool present = lu_is_present(lu, dev);
	bool bound = lu_is_bound(lu, dev);
	bool is;

	if (!strcmp(state, "absent"))
		is = !present;
	else if (!strcmp(state, "present"))
		is = present;
	else if (!strcmp(state, "bound"))
		is = bound;
	else if (!strcmp(state, "unbound"))
		is = present && !bound;
	else
		return -EINVAL;
	return is ? 0 : -ESTALE;
}

/* Waits until the device is in @state; -ETIME after LU_DEVICE_SECS. */
static inline int lu_wait_device(struct lu_test *lu, unsigned int dev, const char *state)
{
	__u64 deadline = lu_deadline(LU_DEVICE_SECS);
	int ret;

	for (;;) {
		ret = lu_device_is(lu, dev, state);
		if (ret != -ESTALE)
			return ret;
		if (lu_now_nsecs() > deadline)
			return -ETIME;
		lu_pause_msecs(10);
	}
}

/* Adding and removing ---------------------------------------------------------- */

static inline int lu_remove_device(struct lu_test *lu, unsigned int dev)
{
	lu->removed = true;
	return lu_write_device_path(lu, dev, "remove", "1");
}

static inline int lu_rescan(void)
{
	return lu_write_text(LU_PCI "/rescan", "1", 0);
}

/* Finds the slot of the device: its address is that of the device without the function. */
static inline int lu_find_slot(struct lu_test *lu, unsigned int dev, char *slot)
{
	char path[LU_PATH_MAX], address[LU_NAME_MAX], bdf[LU_NAME_MAX];
	struct dirent *entry;
	int ret = -ENOENT;
	size_t len;
	DIR *dir;

	len = strcspn(lu_bdf(lu, dev, bdf), ".");
	dir = opendir(LU_PCI "/slots");
	if (!dir)
		return -errno;
	while (ret && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), LU_PCI "/slots/%s/address", entry->d_name);
		if (lu_read_path(path, address, sizeof(address)))
			continue;
		if (strlen(address) == len && !strncmp(address, bdf, len))
			ret = lu_copy(slot, entry->d_name, LU_NAME_MAX);
	}
	closedir(dir);
	return ret;
}

static inline int lu_write_slot_power(const char *slot, const char *power)
{
	char path[LU_PATH_MAX];

	snprintf(path, sizeof(path), LU_PCI "/slots/%s/power", slot);
	return lu_write_path(path, power);
}

/* Powers off the slot of the device, and waits until the device is absent. */
static inline int lu_power_off_slot(struct lu_test *lu, unsigned int dev)
{
	char slot[LU_NAME_MAX];
	int ret;

	ret = lu_find_slot(lu, dev, slot);
	if (ret)
		return ret;
	lu_copy(lu->found[LU_DEVICE(dev)].slot, slot, LU_NAME_MAX);
	ret = lu_write_slot_power(slot, "0");
	return ret ? ret : lu_wait_device(lu, dev, "absent");
}

static inline int lu_take_device(struct lu_test *lu, unsigned int dev, const char *verb)
{
	char bdf[LU_NAME_MAX];
	int ret;

	ret = lu_ask_machine(verb, lu_bdf(lu, dev, bdf));
	return ret ? ret : lu_wait_device(lu, dev, "absent");
}

/* Waits until the slot is off, which is the last action of an unplug in the kernel. */
static inline int lu_wait_slot_off(const char *slot)
{
	__u64 deadline = lu_deadline(LU_DEVICE_SECS);
	char path[LU_PATH_MAX], power[8] = "";
	int ret;

	snprintf(path, sizeof(path), LU_PCI "/slots/%s/power", slot);
	for (;;) {
		ret = lu_read_path(path, power, sizeof(power));
		if (ret || !strcmp(power, "0"))
			return ret;
		if (lu_now_nsecs() > deadline)
			return -ETIME;
		lu_pause_msecs(5);
	}
}

/*
 * Orderly unplug: the host presses the attention button, and the kernel releases the
 * device. The device is absent before the kernel has finished, so wait for the slot too.
 */
static inline int lu_unplug_device(struct lu_test *lu, unsigned int dev)
{
	char slot[LU_NAME_MAX];
	int ret;

	ret = lu_find_slot(lu, dev, slot);
	if (!ret)
		ret = lu_take_device(lu, dev, "unplug");
	return ret ? ret : lu_wait_slot_off(slot);
}

/*
 * Surprise removal: the host removes the device without notice. The rescan finds no
 * device; it only waits for the rescan/remove lock, which the kernel holds until it has
 * finished.
 */
static inline int lu_surprise_device(struct lu_test *lu, unsigned int dev)
{
	int ret;

	ret = lu_take_device(lu, dev, "surprise");
	return ret ? ret : lu_rescan();
}

/* Plugs in a device of the same kind; waits for a driver if the old device had one. */
static inline int lu_plug_device(struct lu_test *lu, unsigned int dev)
{
	bool was_bound = lu->found[LU_DEVICE(dev)].was_bound;
	char bdf[LU_NAME_MAX];
	int ret;

	ret = lu_ask_machine("plug", lu_bdf(lu, dev, bdf));
	if (!ret)
		ret = lu_wait_device(lu, dev, was_bound ? "bound" : "present");
	/* The driver link appears before probe has finished; the rescan waits for that. */
	return ret ? ret : lu_rescan();
}

/*
 * Removes the bridge @levels above the device; 1 is the port of its slot. Uses the path
 * recorded at setup, so that this works after the device was removed.
 */
static inline int lu_remove_bridge(struct lu_test *lu, unsigned int dev, unsigned int levels)
{
	char path[LU_PATH_MAX + 16], *last;
	unsigned int domain, bus, device;

	if (!levels || LU_DEVICE(dev) >= lu->nr_devices)
		return -EINVAL;
	lu_copy(path, lu->found[LU_DEVICE(dev)].path, LU_PATH_MAX);
	while (levels--) {
		last = strrchr(path, '/');
		if (!last)
			return -EINVAL;
		*last = '\0';
	}
	last = strrchr(path, '/');
	/* The host bridge above the root port has no PCI address. */
	if (!last || sscanf(last, "/%x:%x:%x.", &domain, &bus, &device) != 3)
		return -EINVAL;
	lu->removed = true;
	lu_copy(path + strlen(path), "/remove", sizeof("/remove"));
	return lu_write_path(path, "1");
}

/* Drivers ---------------------------------------------------------------------- */

static inline int lu_unbind(struct lu_test *lu, unsigned int dev)
{
	char bdf[LU_NAME_MAX];

	return lu_write_device_path(lu, dev, "driver/unbind", lu_bdf(lu, dev, bdf));
}

static inline int lu_probe(struct lu_test *lu, unsigned int dev)
{
	char bdf[LU_NAME_MAX];

	return lu_write_text(LU_PCI "/drivers_probe", lu_bdf(lu, dev, bdf), 0);
}

/*
 * Binds the device to the driver through driver_override, which is cleared afterwards.
 * Returns -EBUSY if the device is bound, -ENODEV if the driver did not bind to it.
 */
static inline int lu_bind(struct lu_test *lu, unsigned int dev, const char *driver)
{
	char path[LU_PATH_MAX], name[LU_NAME_MAX];
	int ret;

	if (lu_is_bound(lu, dev))
		return -EBUSY;
	ret = lu_write_device_path(lu, dev, "driver_override", driver);
	if (ret)
		return ret;
	ret = lu_probe(lu, dev);
	lu_write_device_path(lu, dev, "driver_override", "\n");
	if (ret)
		return ret;
	if (lu_read_link_name(lu_device_path(lu, dev, "driver", path), name, sizeof(name)))
		return -ENODEV;
	return strcmp(name, driver) ? -ENODEV : 0;
}

/* Finding and restoring --------------------------------------------------------- */

static inline int lu_compare_names(const void *a, const void *b)
{
	return strcmp(a, b);
}

/* Returns the number of enabled virtual functions, 0 without SR-IOV. */
static inline unsigned int lu_read_nr_vfs(struct lu_test *lu, unsigned int dev)
{
	char text[16];

	if (lu_read_device_path(lu, dev, "sriov_numvfs", text, sizeof(text)))
		return 0;
	return (unsigned int)strtoul(text, NULL, 10);
}

/* Records the state of each device for lu_restore_devices(). */
static inline void lu_note_devices(struct lu_test *lu)
{
	char path[LU_PATH_MAX], whole[PATH_MAX];
	struct lu_device *device;
	unsigned int i;

	for (i = 0; i < lu->nr_devices; i++) {
		device = &lu->found[i];
		device->was_present = lu_is_present(lu, i);
		device->was_bound = lu_is_bound(lu, i);
		device->nr_vfs = lu_read_nr_vfs(lu, i);
		if (realpath(lu_device_path(lu, i, ".", path), whole))
			lu_copy(device->path, whole, sizeof(device->path));
	}
}

/*
 * Finds the devices: the list in the environment variable LIVEUPDATE_TEST_BDF (separated
 * by commas), or all devices bound to the driver, sorted by address.
 */
static inline void lu_find_devices(struct lu_test *lu)
{
	const char *named = getenv("LIVEUPDATE_TEST_BDF");
	struct dirent *entry;
	size_t len;
	DIR *dir;

	while (named && *named && lu->nr_devices < LU_DEVICES_MAX) {
		len = strcspn(named, ",");
		snprintf(lu->device[lu->nr_devices++], LU_NAME_MAX, "%.*s", (int)len, named);
		named += len + (named[len] == ',');
	}
	if (lu->nr_devices)
		return;
	dir = opendir(LU_DRIVER_DIR);
	if (!dir)
		return;
	while ((entry = readdir(dir)) && lu->nr_devices < LU_DEVICES_MAX) {
		len = strlen(entry->d_name);
		if (strchr(entry->d_name, ':') && len < LU_NAME_MAX)
			memcpy(lu->device[lu->nr_devices++], entry->d_name, len + 1);
	}
	closedir(dir);
	qsort(lu->device, lu->nr_devices, LU_NAME_MAX, lu_compare_names);
}

/* Restores a device that was removed, powered off or unplugged. */
static inline void lu_bring_back(struct lu_test *lu, unsigned int dev)
{
	const char *slot = lu->found[dev].slot;

	/* A rescan does not find a device in a slot without power. */
	if (*slot && !lu_is_present(lu, dev))
		lu_write_slot_power(slot, "1");
	if (!lu_is_present(lu, dev) && getenv("LIVEUPDATE_TEST_MACHINE"))
		lu_plug_device(lu, dev);
	if (!lu_is_present(lu, dev))
		ksft_print_msg("teardown: cannot restore device %s\n", lu->device[dev]);
}

static inline void lu_restore_device(struct lu_test *lu, unsigned int dev)
{
	const struct lu_device *was = &lu->found[dev];
	char vfs[16];

	if (was->was_present && !lu_is_present(lu, dev))
		lu_bring_back(lu, dev);
	if (was->nr_vfs != lu_read_nr_vfs(lu, dev)) {
		lu_write_device_path(lu, dev, "sriov_numvfs", "0");
		snprintf(vfs, sizeof(vfs), "%u", was->nr_vfs);
		lu_write_device_path(lu, dev, "sriov_numvfs", vfs);
	}
	if (was->was_bound && !lu_is_bound(lu, dev))
		lu_probe(lu, dev);
	if (!was->was_bound && lu_is_bound(lu, dev))
		lu_unbind(lu, dev);
}

static inline void lu_restore_devices(struct lu_test *lu)
{
	unsigned int i;

	for (i = 0; i < lu->nr_devices; i++)
		lu->removed |= lu->found[i].was_present && !lu_is_present(lu, i);
	if (lu->removed)
		lu_rescan();
	for (i = 0; i < lu->nr_devices; i++)
		lu_restore_device(lu, i);
}

#endif /* LU_DEVICE_H */
