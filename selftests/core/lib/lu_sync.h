/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sync points: the module "sync_point" holds a thread at a kernel function until the test
 * releases it. The requested interleaving either happens, or the test reports that it
 * did not.
 */
#ifndef LU_SYNC_H
#define LU_SYNC_H

#include "lu_thread.h"

#define LU_SYNC_MODULE	"sync_point"

/* The path of the module: in LIVEUPDATE_TEST_MODULES, or next to the program. */
static inline int lu_hold_module(char *path, size_t size)
{
	const char *folder = getenv("LIVEUPDATE_TEST_MODULES");
	char self[LU_PATH_MAX], *last;
	ssize_t len;

	if (folder) {
		snprintf(path, size, "%s/" LU_SYNC_MODULE ".ko", folder);
		return access(path, R_OK) ? -errno : 0;
	}
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len < 0)
		return -errno;
	self[len] = '\0';
	last = strrchr(self, '/');
	if (last)
		*last = '\0';
	snprintf(path, size, "%s/test_modules/" LU_SYNC_MODULE ".ko", self);
	return access(path, R_OK) ? -errno : 0;
}

static inline int lu_load_hold_module(struct lu_test *lu)
{
	char path[LU_PATH_MAX + 64];
	int fd, ret;

	if (!access(LU_SYNC_FILE, F_OK))
		return 0;
	ret = lu_hold_module(path, sizeof(path));
	if (ret)
		return ret;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = syscall(__NR_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	lu->hold_loaded = !ret;
	return ret;
}

static inline void lu_unload_hold_module(struct lu_test *lu)
{
	if (lu->hold_loaded)
		syscall(__NR_delete_module, LU_SYNC_MODULE, O_NONBLOCK);
	lu->hold_loaded = false;
}

/* Returns whether the sync point is in @state. Each read() returns the current state. */
static inline bool lu_hold_is(struct lu_test *lu, const char *state)
{
	char text[32];
	ssize_t len;

	len = read(lu->hold, text, sizeof(text) - 1);
	if (len < 1)
		return false;
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return !strcmp(text, state);
}

static inline int lu_arm_hold(struct lu_test *lu, const char *where)
{
	char line[256];
	ssize_t len;

	lu->hold = open(LU_SYNC_FILE, O_RDWR | O_CLOEXEC);
	if (lu->hold < 0)
		return -errno;
	len = snprintf(line, sizeof(line), "hold %s %d %d", where, lu->held.tid, LU_HELD_MSECS);
	if (write(lu->hold, line, len) == len)
		return 0;
	return errno ? -errno : -EIO;
}

/* Returns 0 if a thread can be held at @where in this kernel. */
static inline int lu_try_hold(const char *where)
{
	char line[256];
	int fd, len, ret = 0;

	fd = open(LU_SYNC_FILE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* 1 ms at most, in case this thread calls the function. */
	len = snprintf(line, sizeof(line), "hold %s %d 1", where, (int)syscall(__NR_gettid));
	errno = 0;
	if (write(fd, line, len) != len)
		ret = errno ? -errno : -EIO;
	close(fd);
	return ret;
}

/*
 * Waits until the thread is held. Returns -ENOTRECOVERABLE if its step ended without being
 * held, -ETIME if it did not reach the sync point or was released by the time limit.
 */
static inline int lu_await_held(struct lu_test *lu)
{
	__u64 deadline = lu_deadline(LU_HOLD_SECS);
	bool ended;

	while (lu_now_nsecs() < deadline) {
		ended = lu_has_ended(&lu->held);
		if (lu_hold_is(lu, "held"))
			return 0;
		if (lu_hold_is(lu, "expired"))
			return -ETIME;
		if (ended)
			return -ENOTRECOVERABLE;
		lu_pause_msecs(1);
	}
	return -ETIME;
}

/* Releases the thread if it is held, and joins it. */
static inline int lu_end_held(struct lu_test *lu)
{
	int ret = 0;

	/* Closing the file releases the thread and removes the sync point. */
	lu_close(&lu->hold);
	if (lu->held.running)
		ret = lu_join(&lu->held);
	lu_unpin(lu);
	return ret;
}

/*
 * Some seconds after boot, x86 switches from tsc-early to the final clocksource with
 * stop_machine(), which would wait for a held thread. Waits until that has happened; if it
 * has not by the deadline, it is not going to happen.
 */
static inline void lu_await_clock(void)
{
	__u64 deadline = lu_deadline(LU_CLOCK_SECS);
	char clock[32];

	while (!lu_read_path(LU_CLOCK, clock, sizeof(clock)) && !strcmp(clock, "tsc-early") &&
	       lu_now_nsecs() < deadline)
		lu_pause_msecs(10);
}

/*
 * Runs @step in a thread on another CPU, and holds it at @where: "FUNCTION" or
 * "FUNCTION%return". Returns 0 once the thread is held. After an error, the step has
 * ended or was not started, and lu_release() must not be called.
 */
static inline int lu_hold(struct lu_test *lu, const char *where, int (*step)(void *data),
			  void *data)
{
	int ret;

	if (lu->held.running)
		return -EBUSY;
	lu_await_clock();
	ret = lu_load_hold_module(lu);
	if (!ret)
		ret = lu_pin(lu);
	if (!ret)
		ret = lu_start_thread(&lu->held, lu_nth_cpu(&lu->cpus, 1), step, data);
	if (ret) {
		lu_unpin(lu);
		return ret;
	}
	ret = lu_arm_hold(lu, where);
	if (ret) {
		lu_call_off(&lu->held);
		lu_end_held(lu);
		return ret;
	}
	sem_post(&lu->held.gate);
	ret = lu_await_held(lu);
	if (ret)
		lu_end_held(lu);
	return ret;
}

/* Returns 0 while the thread is held, -ETIME afterwards. */
static inline int lu_held(struct lu_test *lu)
{
	return lu->hold >= 0 && lu_hold_is(lu, "held") ? 0 : -ETIME;
}

/*
 * Releases the thread and stores the result of its step in @ret, or -EDEADLK if the thread
 * does not end. Returns -ETIME if the thread was released before by the time limit.
 */
static inline int lu_release(struct lu_test *lu, int *ret)
{
	bool held = !lu_held(lu);
	int ended;

	*ret = -EINPROGRESS;
	if (lu->hold < 0)
		return -ETIME;
	/* The time limit may expire after the check above; the state then is "expired". */
	if (write(lu->hold, "release", strlen("release")) < 0 || !lu_hold_is(lu, "released"))
		held = false;
	ended = lu_end_held(lu);
	*ret = ended ? ended : lu->held.ret;
	return held ? 0 : -ETIME;
}

/* Reads the kernel function in which the thread sleeps; "0" if it is running. */
static inline void lu_read_wchan(const struct lu_thread *thread, char *in, size_t size)
{
	char path[LU_PATH_MAX];

	snprintf(path, sizeof(path), "/proc/self/task/%d/wchan", thread->tid);
	if (lu_read_path(path, in, size))
		snprintf(in, size, "?");
}

/* Returns whether @in is one of the functions in @where ("f" or "f|g"). */
static inline bool lu_is_in(const char *in, const char *where)
{
	size_t len;

	for (; *where; where += len + (where[len] == '|')) {
		len = strcspn(where, "|");
		/* The compiler may split a function, as in "f.part.0". */
		if (!strncmp(in, where, len) && (!in[len] || in[len] == '.'))
			return true;
	}
	return false;
}

/*
 * Runs @step in a thread while another thread is held. Returns 0 once the step sleeps in a
 * function of @where, see lu_is_in(). The function is read from /proc/.../wchan, so a slow
 * thread is not mistaken for a waiting thread. Returns -EALREADY if the step ended
 * instead, and -ETIME if it did neither while the other thread was held.
 *
 * The thread shares the CPU of this thread. A mutex waiter spins instead of sleeping as
 * long as the owner is running, until its own CPU has to reschedule, which this thread
 * causes each time it polls.
 */
static inline int lu_wait(struct lu_test *lu, const char *where, int (*step)(void *data),
			  void *data)
{
	__u64 deadline = lu_deadline(LU_HOLD_SECS);
	char in[LU_PATH_MAX] = "?";
	bool ended;
	int ret;

	if (lu->waiting.running)
		return -EBUSY;
	ret = lu_start_thread(&lu->waiting, lu_nth_cpu(&lu->cpus, 0), step, data);
	if (ret)
		return ret;
	sem_post(&lu->waiting.gate);
	while (lu_now_nsecs() < deadline) {
		ended = lu_has_ended(&lu->waiting);
		lu_read_wchan(&lu->waiting, in, sizeof(in));
		/* wchan is valid only if the other thread is still held now. */
		if (lu_held(lu)) {
			/* The caller reports it; lu_let_go() must not report it again. */
			lu->expired = true;
			break;
		}
		if (lu_is_in(in, where))
			return 0;
		if (ended)
			return -EALREADY;
		lu_pause_msecs(1);
	}
	ksft_print_msg("expected the step to wait in %s, last wchan: \"%s\"\n", where, in);
	return -ETIME;
}

/* Joins the waiting thread, and returns the result of its step. */
static inline int lu_end_wait(struct lu_test *lu)
{
	int ret = lu_join(&lu->waiting);

	return ret ? ret : lu->waiting.ret;
}

#endif /* LU_SYNC_H */
