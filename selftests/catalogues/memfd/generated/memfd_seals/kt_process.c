// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that own file descriptors of the test, so that killing them closes the
 * descriptors; the process that keeps all files open until a kexec; a kexec that is
 * expected to fail.
 */
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <linux/kexec.h>
#include <linux/reboot.h>

#include "kt_state.h"

#define KT_KEPT_MAX	16

/* Lifetime of the process of kt_keep_until_kexec(). */
#define KT_KEEPER_SECS	300
/* A killed process exits. */
#define KT_PROCESS_SECS	30

static int kt_compare_ints(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* Closes all descriptors except the @n descriptors in @keep. Sorts @keep. */
static int kt_close_others(int *keep, unsigned int n)
{
	unsigned int first = 0, i;

	qsort(keep, n, sizeof(*keep), kt_compare_ints);
	for (i = 0; i < n; i++) {
		if ((unsigned int)keep[i] > first &&
		    syscall(__NR_close_range, first, keep[i] - 1, 0))
			return -errno;
		first = keep[i] + 1;
	}
	return syscall(__NR_close_range, first, ~0U, 0) ? -errno : 0;
}

/* The new process: keeps the descriptors in @keep open until it is killed. */
static void kt_own(int *keep, unsigned int n, int ready)
{
	pid_t parent = getppid();

	/* Dies with the test. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL) || getppid() != parent)
		_exit(1);
	keep[n++] = ready;
	if (kt_close_others(keep, n))
		_exit(1);
	if (write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
	for (;;)
		pause();
}

/* Kills a process of kt_start_process() and waits for it; -ESRCH if it was killed before. */
int kt_kill_process(pid_t pid)
{
	__u64 deadline = kt_deadline(KT_PROCESS_SECS);
	unsigned int i;
	pid_t dead;

	for (i = 0; i < kt.nr_processes && kt.process[i] != pid; i++)
		;
	if (pid <= 0 || i == kt.nr_processes)
		return -ESRCH;
	kt.process[i] = kt.process[--kt.nr_processes];
	if (kill(pid, SIGKILL))
		return -errno;
	while (!(dead = waitpid(pid, NULL, WNOHANG))) {
		if (kt_now_nsecs() > deadline)
			return -ETIME;
		kt_pause_msecs(1);
	}
	return dead < 0 ? -errno : 0;
}

/*
 * Waits until the new process has closed the other descriptors: it then writes a byte and
 * closes the pipe. If it fails, it closes the pipe without a byte.
 */
static int kt_await_owner(pid_t pid, int ready)
{
	struct pollfd readable = { .fd = ready, .events = POLLIN };
	ssize_t len = 1, bytes = 0;
	char byte;

	while (len == 1 && poll(&readable, 1, KT_PROCESS_SECS * 1000) == 1) {
		len = read(ready, &byte, 1);
		bytes += len;
	}
	if (bytes == 1 && !len)
		return 0;
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return -ECHILD;
}

static int kt_fork_owner(pid_t *pid, int *keep, unsigned int n)
{
	int ready[2], ret = 0;

	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	fflush(stdout);
	*pid = fork();
	if (!*pid)
		kt_own(keep, n, ready[1]);
	if (*pid < 0)
		ret = -errno;
	close(ready[1]);
	if (!ret)
		ret = kt_await_owner(*pid, ready[0]);
	close(ready[0]);
	return ret;
}

/*
 * Starts a process that owns the @n descriptors in @fds, and returns its PID. In this process
 * they are closed and set to -1. The new process has no other descriptors.
 */
int kt_start_process(int *fds[], unsigned int n)
{
	int keep[KT_KEPT_MAX + 1];
	unsigned int i;
	pid_t pid;
	int ret;

	if (n > KT_KEPT_MAX || kt.nr_processes == KT_PROCESSES_MAX)
		return -EINVAL;
	for (i = 0; i < n; i++) {
		if (*fds[i] < 0)
			return -EBADF;
		keep[i] = *fds[i];
	}
	ret = kt_fork_owner(&pid, keep, n);
	if (ret)
		return ret;
	kt.process[kt.nr_processes++] = pid;
	for (i = 0; i < n; i++)
		kt_close(fds[i]);
	return pid;
}

void kt_kill_processes(void)
{
	while (kt.nr_processes)
		kt_kill_process(kt.process[0]);
}

/*
 * The background process. It redirects its standard streams and closes the other inherited
 * descriptors, since the parent of the test may wait for their end, and leaves the process
 * group of the test. Descriptors with FD_CLOEXEC stay open: the sessions and files of the
 * test have this flag. Then it writes a byte to @ready.
 */
static void kt_keeper(int ready)
{
	int null = open("/dev/null", O_RDWR);
	int fd;

	if (null < 0 || setsid() < 0)
		_exit(1);
	signal(SIGALRM, SIG_DFL);
	alarm(KT_KEEPER_SECS);
	kt_close(&kt.subject_fd);
	dup2(null, STDIN_FILENO);
	dup2(null, STDOUT_FILENO);
	dup2(null, STDERR_FILENO);
	/* runner.sh of kselftest leaves its pipe and log open in the test. */
	for (fd = 3; fd < 1024; fd++) {
		if (fd != ready && !fcntl(fd, F_GETFD))
			close(fd);
	}
	if (write(ready, "", 1) != 1)
		_exit(1);
	close(ready);
	for (;;)
		pause();
}

/*
 * Forks a background process that keeps the sessions and files of the test open, so that
 * they survive until the kexec.
 */
int kt_keep_until_kexec(void)
{
	int ready[2], ret;
	ssize_t len;
	pid_t pid;
	char byte;

	fflush(stdout);
	if (pipe2(ready, O_CLOEXEC))
		return -errno;
	pid = fork();
	if (pid < 0) {
		ret = -errno;
		close(ready[0]);
		close(ready[1]);
		return ret;
	}
	if (!pid) {
		close(ready[0]);
		kt_keeper(ready[1]);
	}
	close(ready[1]);
	/* read() returns 0 if the process ends before it is ready. */
	len = read(ready[0], &byte, 1);
	close(ready[0]);
	kt.has_keeper = len == 1;
	return kt.has_keeper ? 0 : -ECHILD;
}

#ifndef __NR_kexec_file_load

int kt_kexec(void)
{
	return -EOPNOTSUPP;
}

#else

static int kt_load_kernel(const char *kernel, const char *initrd)
{
	unsigned long flags = initrd ? 0 : KEXEC_FILE_NO_INITRAMFS;
	int kernel_fd, initrd_fd = -1, ret;
	char cmdline[4096];

	ret = kt_read_line("/proc/cmdline", cmdline, sizeof(cmdline));
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
	kt_close(&kernel_fd);
	kt_close(&initrd_fd);
	return ret;
}

/*
 * Loads the kernel in KT_KERNEL and calls reboot(LINUX_REBOOT_CMD_KEXEC). Returns the error
 * of reboot() after unloading the kernel, or -ENOEXEC if the kernel cannot be loaded.
 */
int kt_kexec(void)
{
	const char *kernel = getenv("KT_KERNEL");
	const char *initrd = getenv("KT_INITRD");
	int ret;

	if (!kernel)
		return -EOPNOTSUPP;
	ret = kt_load_kernel(kernel, initrd);
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

