// SPDX-License-Identifier: GPL-2.0-only
/*
 * PCI devices: finding, removing, unplugging and binding them, and restoring their state
 * after the test. Devices are plugged and unplugged by the host of a virtual machine.
 * KT_MACHINE is a directory with two FIFOs, "request" and "answer", that the agent of the
 * host keeps open. A request and its answer are one line each.
 */
#include <dirent.h>
#include <limits.h>
#include <poll.h>

#include "kt_state.h"

#define KT_DRIVER_DIR	KT_PCI "/drivers/" KT_DRIVER
#define KT_DEVICE(dev)	((dev) & ((1U << KT_VF_SHIFT) - 1))

/* A device appears or disappears. An orderly unplug takes five seconds. */
#define KT_DEVICE_SECS	60
/* The host answers a request. */
#define KT_ANSWER_SECS	60

static int kt_open_fifo(const char *name, int flags)
{
	const char *folder = getenv("KT_MACHINE");
	char path[KT_PATH_MAX];
	int fd;

	if (!folder)
		return -EOPNOTSUPP;
	snprintf(path, sizeof(path), "%s/%s", folder, name);
	fd = open(path, flags | O_NONBLOCK | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* Reads a line, without the newline, within KT_ANSWER_SECS. */
static int kt_read_answer(int fd, char *line, size_t size)
{
	__u64 deadline = kt_deadline(KT_ANSWER_SECS);
	struct pollfd readable = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	char byte;

	while (kt_now_nsecs() < deadline) {
		/* A short timeout, so that the deadline is checked often. */
		poll(&readable, 1, 100);
		while (read(fd, &byte, 1) == 1) {
			line[len] = '\0';
			if (byte == '\n')
				return 0;
			if (len + 1 >= size)
				return -EFBIG;
			line[len++] = byte;
		}
	}
	return -ETIME;
}

/* Discards answers to earlier requests that timed out. */
static void kt_drop_answers(int fd)
{
	char dropped[256];

	while (read(fd, dropped, sizeof(dropped)) > 0)
		;
}

/*
 * Requests @verb ("unplug", "surprise" or "plug") for a device. Returns 0 if the host
 * accepted the request, -EREMOTEIO if it refused (the reason is printed), -ETIME without
 * an answer, and -EOPNOTSUPP if KT_MACHINE is not set.
 */
static int kt_ask_machine(const char *verb, const char *bdf)
{
	char line[256];
	int request, answer, ret;

	answer = kt_open_fifo("answer", O_RDONLY);
	if (answer < 0)
		return answer;
	request = kt_open_fifo("request", O_WRONLY);
	if (request < 0) {
		close(answer);
		return request;
	}
	kt_drop_answers(answer);
	snprintf(line, sizeof(line), "%s %s\n", verb, bdf);
	errno = 0;
	if (write(request, line, strlen(line)) == (ssize_t)strlen(line))
		ret = kt_read_answer(answer, line, sizeof(line));
	else
		ret = errno ? -errno : -EIO;
	close(request);
	close(answer);
	if (ret || !strcmp(line, "ok"))
		return ret;
	ksft_print_msg("%s %s: refused by the host: %s\n", verb, bdf, line);
	return -EREMOTEIO;
}

/* Copies the last component of the target of the link @path. */
static int kt_read_link_name(const char *path, char *name, size_t size)
{
	char target[KT_PATH_MAX], *last;
	ssize_t len;

	len = readlink(path, target, sizeof(target) - 1);
	if (len < 0)
		return -errno;
	target[len] = '\0';
	last = strrchr(target, '/');
	return kt_copy(name, last ? last + 1 : target, size);
}

/*
 * Writes the address of the device to @bdf (KT_NAME_MAX bytes), and returns @bdf. The
 * address of a virtual function is cached at the first call; "none" if it does not exist.
 */
const char *kt_bdf(unsigned int dev, char *bdf)
{
	unsigned int nr = dev >> KT_VF_SHIFT, i;
	char path[KT_PATH_MAX];

	kt_copy(bdf, "none", KT_NAME_MAX);
	if (KT_DEVICE(dev) >= kt.nr_devices)
		return bdf;
	if (!nr) {
		kt_copy(bdf, kt.device[dev].bdf, KT_NAME_MAX);
		return bdf;
	}
	for (i = 0; i < kt.nr_vfs; i++) {
		if (kt.vf[i].dev == dev) {
			kt_copy(bdf, kt.vf[i].bdf, KT_NAME_MAX);
			return bdf;
		}
	}
	snprintf(path, sizeof(path), KT_PCI "/devices/%s/virtfn%u",
		 kt.device[KT_DEVICE(dev)].bdf, nr - 1);
	if (!kt_read_link_name(path, bdf, KT_NAME_MAX) && kt.nr_vfs < KT_VFS_MAX) {
		kt.vf[kt.nr_vfs].dev = dev;
		kt_copy(kt.vf[kt.nr_vfs++].bdf, bdf, KT_NAME_MAX);
	}
	return bdf;
}

/* Writes the path of a device attribute to @path (KT_PATH_MAX bytes), and returns @path. */
static const char *kt_device_path(unsigned int dev, const char *attribute, char *path)
{
	char bdf[KT_NAME_MAX];

	snprintf(path, KT_PATH_MAX, KT_PCI "/devices/%s/%s", kt_bdf(dev, bdf), attribute);
	return path;
}

int kt_write_device_path(unsigned int dev, const char *attribute, const char *text)
{
	char path[KT_PATH_MAX];

	return kt_write_path(kt_device_path(dev, attribute, path), text);
}

const char *kt_read_device_path(unsigned int dev, const char *attribute)
{
	char path[KT_PATH_MAX];

	return kt_read_path(kt_device_path(dev, attribute, path));
}

static bool kt_is_present(unsigned int dev)
{
	char path[KT_PATH_MAX];

	return !access(kt_device_path(dev, "vendor", path), F_OK);
}

static bool kt_is_bound(unsigned int dev)
{
	char path[KT_PATH_MAX];

	return !access(kt_device_path(dev, "driver", path), F_OK);
}

/*
 * Returns 0 if the device is in @state: "absent", "present", "bound" (to any driver) or
 * "unbound" (but present). Returns -ESTALE if it is not, -EINVAL for an unknown state.
 */
static int kt_device_is(unsigned int dev, const char *state)
{
	bool present = kt_is_present(dev);
	bool bound = kt_is_bound(dev);
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

/* Waits until the device is in @state; -ETIME after KT_DEVICE_SECS. */
int kt_wait_device(unsigned int dev, const char *state)
{
	__u64 deadline = kt_deadline(KT_DEVICE_SECS);
	int ret;

	for (;;) {
		ret = kt_device_is(dev, state);
		if (ret != -ESTALE)
			return ret;
		if (kt_now_nsecs() > deadline)
			return -ETIME;
		kt_pause_msecs(10);
	}
}

int kt_remove_device(unsigned int dev)
{
	kt.removed = true;
	return kt_write_device_path(dev, "remove", "1");
}

int kt_rescan(void)
{
	return kt_write_text(KT_PCI "/rescan", "1", 0);
}

/* Finds the slot of the device: its address is that of the device without the function. */
static int kt_find_slot(unsigned int dev, char *slot)
{
	char path[KT_PATH_MAX], address[KT_NAME_MAX], bdf[KT_NAME_MAX];
	struct dirent *entry;
	int ret = -ENOENT;
	size_t len;
	DIR *dir;

	len = strcspn(kt_bdf(dev, bdf), ".");
	dir = opendir(KT_PCI "/slots");
	if (!dir)
		return -errno;
	while (ret && (entry = readdir(dir))) {
		snprintf(path, sizeof(path), KT_PCI "/slots/%s/address", entry->d_name);
		if (kt_read_line(path, address, sizeof(address)))
			continue;
		if (strlen(address) == len && !strncmp(address, bdf, len))
			ret = kt_copy(slot, entry->d_name, KT_NAME_MAX);
	}
	closedir(dir);
	return ret;
}

static int kt_write_slot_power(const char *slot, const char *power)
{
	char path[KT_PATH_MAX];

	snprintf(path, sizeof(path), KT_PCI "/slots/%s/power", slot);
	return kt_write_path(path, power);
}

/* Powers off the slot of the device, and waits until the device is absent. */
int kt_power_off_slot(unsigned int dev)
{
	char slot[KT_NAME_MAX];
	int ret;

	ret = kt_find_slot(dev, slot);
	if (ret)
		return ret;
	kt_copy(kt.device[KT_DEVICE(dev)].slot, slot, KT_NAME_MAX);
	ret = kt_write_slot_power(slot, "0");
	return ret ? ret : kt_wait_device(dev, "absent");
}

static int kt_take_device(unsigned int dev, const char *verb)
{
	char bdf[KT_NAME_MAX];
	int ret;

	ret = kt_ask_machine(verb, kt_bdf(dev, bdf));
	return ret ? ret : kt_wait_device(dev, "absent");
}

/* Waits until the slot is off, which is the last action of an unplug in the kernel. */
static int kt_wait_slot_off(const char *slot)
{
	__u64 deadline = kt_deadline(KT_DEVICE_SECS);
	char path[KT_PATH_MAX], power[8] = "";
	int ret;

	snprintf(path, sizeof(path), KT_PCI "/slots/%s/power", slot);
	for (;;) {
		ret = kt_read_line(path, power, sizeof(power));
		if (ret || !strcmp(power, "0"))
			return ret;
		if (kt_now_nsecs() > deadline)
			return -ETIME;
		kt_pause_msecs(5);
	}
}

/*
 * Orderly unplug: the host presses the attention button, and the kernel releases the
 * device. The device is absent before the kernel has finished, so wait for the slot too.
 */
int kt_unplug_device(unsigned int dev)
{
	char slot[KT_NAME_MAX];
	int ret;

	ret = kt_find_slot(dev, slot);
	if (!ret)
		ret = kt_take_device(dev, "unplug");
	return ret ? ret : kt_wait_slot_off(slot);
}

/*
 * Surprise removal: the host removes the device without notice. The rescan finds no
 * device; it only waits for the rescan/remove lock, which the kernel holds until it has
 * finished.
 */
int kt_surprise_device(unsigned int dev)
{
	int ret;

	ret = kt_take_device(dev, "surprise");
	return ret ? ret : kt_rescan();
}

/* Plugs in a device of the same kind; waits for a driver if the old device had one. */
int kt_plug_device(unsigned int dev)
{
	bool was_bound = kt.device[KT_DEVICE(dev)].was_bound;
	char bdf[KT_NAME_MAX];
	int ret;

	ret = kt_ask_machine("plug", kt_bdf(dev, bdf));
	if (!ret)
		ret = kt_wait_device(dev, was_bound ? "bound" : "present");
	/* The driver link appears before probe has finished; the rescan waits for that. */
	return ret ? ret : kt_rescan();
}

/*
 * Removes the bridge @levels above the device; 1 is the port of its slot. Uses the path
 * recorded at setup, so that this works after the device was removed.
 */
int kt_remove_bridge(unsigned int dev, unsigned int levels)
{
	char path[KT_PATH_MAX + 16], *last;
	unsigned int domain, bus, device;

	if (!levels || KT_DEVICE(dev) >= kt.nr_devices)
		return -EINVAL;
	kt_copy(path, kt.device[KT_DEVICE(dev)].path, KT_PATH_MAX);
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
	kt.removed = true;
	kt_copy(path + strlen(path), "/remove", sizeof("/remove"));
	return kt_write_path(path, "1");
}

int kt_unbind(unsigned int dev)
{
	char bdf[KT_NAME_MAX];

	return kt_write_device_path(dev, "driver/unbind", kt_bdf(dev, bdf));
}

static int kt_probe(unsigned int dev)
{
	char bdf[KT_NAME_MAX];

	return kt_write_text(KT_PCI "/drivers_probe", kt_bdf(dev, bdf), 0);
}

/*
 * Binds the device to the driver through driver_override, which is cleared afterwards.
 * Returns -EBUSY if the device is bound, -ENODEV if the driver did not bind to it.
 */
int kt_bind(unsigned int dev, const char *driver)
{
	char path[KT_PATH_MAX], name[KT_NAME_MAX];
	int ret;

	if (kt_is_bound(dev))
		return -EBUSY;
	ret = kt_write_device_path(dev, "driver_override", driver);
	if (ret)
		return ret;
	ret = kt_probe(dev);
	kt_write_device_path(dev, "driver_override", "\n");
	if (ret)
		return ret;
	if (kt_read_link_name(kt_device_path(dev, "driver", path), name, sizeof(name)))
		return -ENODEV;
	return strcmp(name, driver) ? -ENODEV : 0;
}

static int kt_compare_devices(const void *a, const void *b)
{
	const struct kt_device *first = a, *second = b;

	return strcmp(first->bdf, second->bdf);
}

/* Returns the number of enabled virtual functions, 0 without SR-IOV. */
static unsigned int kt_read_nr_vfs(unsigned int dev)
{
	/* The name of an error is no number. */
	return (unsigned int)strtoul(kt_read_device_path(dev, "sriov_numvfs"), NULL, 10);
}

/* Records the state of each device for kt_restore_devices(). */
static void kt_note_devices(void)
{
	char path[KT_PATH_MAX], whole[PATH_MAX];
	struct kt_device *device;
	unsigned int i;

	for (i = 0; i < kt.nr_devices; i++) {
		device = &kt.device[i];
		device->was_present = kt_is_present(i);
		device->was_bound = kt_is_bound(i);
		device->nr_vfs = kt_read_nr_vfs(i);
		if (realpath(kt_device_path(i, ".", path), whole))
			kt_copy(device->path, whole, sizeof(device->path));
	}
}

/*
 * Finds the devices: the list in the environment variable KT_DEVICES (separated
 * by commas), or all devices bound to the driver, sorted by address.
 */
static void kt_find_devices(void)
{
	const char *named = getenv("KT_DEVICES");
	struct dirent *entry;
	size_t len;
	DIR *dir;

	while (named && *named && kt.nr_devices < KT_DEVICES_MAX) {
		len = strcspn(named, ",");
		snprintf(kt.device[kt.nr_devices++].bdf, KT_NAME_MAX, "%.*s", (int)len, named);
		named += len + (named[len] == ',');
	}
	if (kt.nr_devices)
		return;
	dir = opendir(KT_DRIVER_DIR);
	if (!dir)
		return;
	while ((entry = readdir(dir)) && kt.nr_devices < KT_DEVICES_MAX) {
		len = strlen(entry->d_name);
		if (strchr(entry->d_name, ':') && len < KT_NAME_MAX)
			memcpy(kt.device[kt.nr_devices++].bdf, entry->d_name, len + 1);
	}
	closedir(dir);
	qsort(kt.device, kt.nr_devices, sizeof(*kt.device), kt_compare_devices);
}

/* Restores a device that was removed, powered off or unplugged. */
static void kt_bring_back(unsigned int dev)
{
	const char *slot = kt.device[dev].slot;

	/* A rescan does not find a device in a slot without power. */
	if (*slot && !kt_is_present(dev))
		kt_write_slot_power(slot, "1");
	if (!kt_is_present(dev) && getenv("KT_MACHINE"))
		kt_plug_device(dev);
	if (!kt_is_present(dev))
		ksft_print_msg("teardown: cannot restore device %s\n", kt.device[dev].bdf);
}

static void kt_restore_device(unsigned int dev)
{
	const struct kt_device *was = &kt.device[dev];
	char vfs[16];

	if (was->was_present && !kt_is_present(dev))
		kt_bring_back(dev);
	if (was->nr_vfs != kt_read_nr_vfs(dev)) {
		kt_write_device_path(dev, "sriov_numvfs", "0");
		snprintf(vfs, sizeof(vfs), "%u", was->nr_vfs);
		kt_write_device_path(dev, "sriov_numvfs", vfs);
	}
	if (was->was_bound && !kt_is_bound(dev))
		kt_probe(dev);
	if (!was->was_bound && kt_is_bound(dev))
		kt_unbind(dev);
}

void kt_restore_devices(void)
{
	unsigned int i;

	for (i = 0; i < kt.nr_devices; i++)
		kt.removed |= kt.device[i].was_present && !kt_is_present(i);
	if (kt.removed)
		kt_rescan();
	for (i = 0; i < kt.nr_devices; i++)
		kt_restore_device(i);
}

bool kt_lacks_devices(unsigned int devices)
{
	char path[KT_PATH_MAX];
	unsigned int i;

	kt_find_devices();
	/* Teardown restores the recorded state. */
	kt_note_devices();
	if (kt.nr_devices < devices) {
		snprintf(kt.reason, sizeof(kt.reason),
			 "needs %u device(s) bound to " KT_DRIVER ", found %u", devices,
			 kt.nr_devices);
		return true;
	}
	/* After a kexec, the test itself may expect a missing device. */
	for (i = 0; i < devices && kt_is_first_kernel(); i++) {
		snprintf(path, sizeof(path), KT_PCI "/devices/%.*s", KT_NAME_MAX,
			 kt.device[i].bdf);
		if (access(path, F_OK)) {
			snprintf(kt.reason, sizeof(kt.reason), "no device %.*s",
				 KT_NAME_MAX, kt.device[i].bdf);
			return true;
		}
	}
	return false;
}

bool kt_lacks_slot_power(void)
{
	char slot[KT_NAME_MAX];
	unsigned int i;

	for (i = 0; i < kt.nr_devices; i++) {
		if (!kt_find_slot(i, slot))
			return false;
	}
	snprintf(kt.reason, sizeof(kt.reason), "no device is in a slot with power control");
	return true;
}

bool kt_lacks_vfs(void)
{
	char path[KT_PATH_MAX];
	unsigned int i;

	for (i = 0; i < kt.nr_devices; i++) {
		if (!access(kt_device_path(i, "sriov_totalvfs", path), F_OK))
			return false;
	}
	snprintf(kt.reason, sizeof(kt.reason), "no device supports virtual functions");
	return true;
}
