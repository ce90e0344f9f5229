/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Sync points: a thread stands still at a kernel function for as long as the test
 * wants, by the module sync_point. So the interleaving that was asked for is the
 * one that happens, or the test says that it did not.
 */
#ifndef LU_SYNC_H
#define LU_SYNC_H

#include "lu_thread.h"

#define LU_SYNC_MODULE	"sync_point"

/* Where the module is: LIVEUPDATE_TEST_MODULES, else beside the program. */
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

/* Says whether the sync point is in this state; each read gives it anew. */
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

/* Returns 0 if this kernel can hold a thread at @where. */
static inline int lu_try_hold(const char *where)
{
	char line[256];
	int fd, len, ret = 0;

	fd = open(LU_SYNC_FILE, O_RDWR | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* For a moment, should this very thread come there. */
	len = snprintf(line, sizeof(line), "hold %s %d 1", where, (int)syscall(__NR_gettid));
	errno = 0;
	if (write(fd, line, len) != len)
		ret = errno ? -errno : -EIO;
	close(fd);
	return ret;
}

/*
 * Waits until the thread is held: -ENOTRECOVERABLE if its step ended without being
 * held, -ETIME if it was held no longer, or took too long to get there.
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

/* Lets the thread go if it is held, and waits for its end. */
static inline int lu_end_held(struct lu_test *lu)
{
	int ret = 0;

	/* Closing the file releases the thread, and takes the sync point back. */
	lu_close(&lu->hold);
	if (lu->held.running)
		ret = lu_join(&lu->held);
	lu_unpin(lu);
	return ret;
}

/*
 * Some seconds after boot, x86 goes over to the clock that it has measured by then:
 * with all processors stopped, for which one that is held would be waited for. What
 * has not happened by the deadline is not going to.
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
 * Has a thread on another processor do @step, and holds it at @where, a kernel
 * function, or "FUNCTION%return". Returns 0 once it is held. Otherwise the step
 * has been done, or never began, and nothing is to be released.
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

/* Returns 0 as long as the thread is held, -ETIME once it is not. */
static inline int lu_held(struct lu_test *lu)
{
	return lu->hold >= 0 && lu_hold_is(lu, "held") ? 0 : -ETIME;
}

/*
 * Lets the thread go, and gives what its step returned, or -EDEADLK if it does not
 * come to its end. -ETIME if it was not held up to this moment.
 */
static inline int lu_release(struct lu_test *lu, int *ret)
{
	bool held = !lu_held(lu);
	int ended;

	*ret = -EINPROGRESS;
	if (lu->hold < 0)
		return -ETIME;
	/* It may have expired after it was looked at, and then stays so. */
	if (write(lu->hold, "release", strlen("release")) < 0 || !lu_hold_is(lu, "released"))
		held = false;
	ended = lu_end_held(lu);
	*ret = ended ? ended : lu->held.ret;
	return held ? 0 : -ETIME;
}

/* Reads in which kernel function the thread sleeps, "0" if it does not. */
static inline void lu_read_wchan(const struct lu_thread *thread, char *in, size_t size)
{
	char path[LU_PATH_MAX];

	snprintf(path, sizeof(path), "/proc/self/task/%d/wchan", thread->tid);
	if (lu_read_path(path, in, size))
		snprintf(in, size, "?");
}

/* Says whether @in is @where, a kernel function, or one of "f|g", or a part of it. */
static inline bool lu_is_in(const char *in, const char *where)
{
	size_t len;

	for (; *where; where += len + (where[len] == '|')) {
		len = strcspn(where, "|");
		/* The compiler calls a part that it split off "f.part.0", say. */
		if (!strncmp(in, where, len) && (!in[len] || in[len] == '.'))
			return true;
	}
	return false;
}

/*
 * Has a thread do @step while another is held, and gives 0 once it sleeps in @where,
 * as lu_is_in() has it. The kernel says where that is, so that a thread that is merely
 * slow is not taken for one that waits. -EALREADY if it came to its end instead, -ETIME
 * if it did neither as long as the other was held.
 *
 * It must share the processor of this thread: whoever waits for a lock whose owner is
 * on a processor goes round in circles there, until another task wants the one that it
 * is on itself. This thread does, each time it looks.
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
		/* What was seen counts only if all of it was before the release. */
		if (lu_held(lu))
			break;
		if (lu_is_in(in, where))
			return 0;
		if (ended)
			return -EALREADY;
		lu_pause_msecs(1);
	}
	ksft_print_msg("what was to wait was last seen in \"%s\"\n", in);
	return -ETIME;
}

/* Waits for the end of what waited, and gives what its step returned. */
static inline int lu_end_wait(struct lu_test *lu)
{
	int ret = lu_join(&lu->waiting);

	return ret ? ret : lu->waiting.ret;
}

#endif /* LU_SYNC_H */
