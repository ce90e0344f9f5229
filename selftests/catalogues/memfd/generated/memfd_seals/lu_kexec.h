/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A kexec that is expected to fail.
 */
#ifndef LU_KEXEC_H
#define LU_KEXEC_H

#include "lu_path.h"

#ifndef __NR_kexec_file_load

static inline int lu_kexec(struct lu_test *lu)
{
	(void)lu;
	return -EOPNOTSUPP;
}

#else

static inline int lu_load_kernel(const char *kernel, const char *initrd)
{
	unsigned long flags = initrd ? 0 : KEXEC_FILE_NO_INITRAMFS;
	int kernel_fd, initrd_fd = -1, ret;
	char cmdline[4096];

	ret = lu_read_path("/proc/cmdline", cmdline, sizeof(cmdline));
	if (ret)
		return ret;
	kernel_fd = open(kernel, O_RDONLY | O_CLOEXEC);
	if (kernel_fd >= 0 && initrd)
		initrd_fd = open(initrd, O_RDONLY | O_CLOEXEC);
	if (kernel_fd < 0 || (initrd && initrd_fd < 0))
		ret = -errno;
	else if (syscall(__NR_kexec_file_load, kernel_fd, initrd_fd, strlen(cmdline) + 1,
			 cmdline, flags))
		ret = -errno;
	lu_close(&kernel_fd);
	lu_close(&initrd_fd);
	return ret;
}

/*
 * Loads the kernel in LIVEUPDATE_TEST_KERNEL and calls reboot(LINUX_REBOOT_CMD_KEXEC).
 * Returns the error of reboot() after unloading the kernel, or -ENOEXEC if the kernel
 * cannot be loaded.
 */
static inline int lu_kexec(struct lu_test *lu)
{
	const char *kernel = getenv("LIVEUPDATE_TEST_KERNEL");
	const char *initrd = getenv("LIVEUPDATE_TEST_INITRD");
	int ret;

	(void)lu;
	if (!kernel)
		return -EOPNOTSUPP;
	ret = lu_load_kernel(kernel, initrd);
	if (ret) {
		ksft_print_msg("kexec_file_load %s: %s\n", kernel, strerror(-ret));
		return -ENOEXEC;
	}
	fflush(stdout);
	sync();
	ret = syscall(__NR_reboot, LINUX_REBOOT_MAGIC1, LINUX_REBOOT_MAGIC2,
		      LINUX_REBOOT_CMD_KEXEC, NULL) ? -errno : 0;
	syscall(__NR_kexec_file_load, -1, -1, 0, NULL, KEXEC_FILE_UNLOAD);
	return ret;
}

#endif /* __NR_kexec_file_load */

#endif /* LU_KEXEC_H */
