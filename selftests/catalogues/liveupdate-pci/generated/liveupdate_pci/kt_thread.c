// SPDX-License-Identifier: GPL-2.0-only
/*
 * Threads that run one step each, on a given CPU. A thread first waits at a gate, so that
 * its caller can arm faults or sync points for its TID before the step runs.
 *
 * Sync points: the module "sync_point" holds a thread at a kernel function until the test
 * releases it. The requested interleaving either happens, or the test reports that it
 * did not.
 *
 * Races without a sync point: two steps run concurrently on two CPUs for many rounds, with
 * a head start that differs from round to round.
 */
#include <sys/syscall.h>

#include "kt_state.h"

#define KT_CLOCK	"/sys/devices/system/clocksource/clocksource0/current_clocksource"

/* The kernel switches from the early to the final clocksource. */
#define KT_CLOCK_SECS	20
/* A thread reaches its sync point. */
#define KT_HOLD_SECS	20
/* A released thread, or a thread of a race, ends. */
#define KT_THREAD_SECS	30
/* Time limit for holding a thread at a sync point. */
#define KT_HELD_MSECS	10000

/* Returns the @n-th CPU in @cpus, or -EOPNOTSUPP. */
static int kt_nth_cpu(const cpu_set_t *cpus, unsigned int n)
{
	int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, cpus) && !n--)
			return cpu;
	}
	return -EOPNOTSUPP;
}

static int kt_pin_to_cpu(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) ? -errno : 0;
}

/* Pins this thread to its first CPU, which leaves the second one to a held thread. */
static int kt_pin(void)
{
	if (kt.pinned)
		return 0;
	if (sched_getaffinity(0, sizeof(kt.cpus), &kt.cpus))
		return -errno;
	if (kt_nth_cpu(&kt.cpus, 1) < 0)
		return -EOPNOTSUPP;
	kt.pinned = true;
	return kt_pin_to_cpu(kt_nth_cpu(&kt.cpus, 0));
}

static void kt_unpin(void)
{
	if (kt.pinned)
		sched_setaffinity(0, sizeof(kt.cpus), &kt.cpus);
	kt.pinned = false;
}

/*
 * Waits for the other thread of a race, if any, and then for the length of its head
 * start. This spins, since sleeping is not exact enough.
 */
static void kt_meet(struct kt_thread *thread)
{
	__u64 deadline = kt_deadline(KT_THREAD_SECS);

	if (thread->meeting) {
		__atomic_add_fetch(thread->meeting, 1, __ATOMIC_ACQ_REL);
		while (__atomic_load_n(thread->meeting, __ATOMIC_ACQUIRE) < 2 &&
		       kt_now_nsecs() < deadline)
			;
	}
	thread->start = kt_now_nsecs();
	if (thread->delay > 0)
		thread->start += thread->delay;
	while (kt_now_nsecs() < thread->start)
		;
}

static void *kt_run_thread(void *arg)
{
	struct kt_thread *thread = arg;

	thread->tid = (pid_t)syscall(__NR_gettid);
	if (kt_pin_to_cpu(thread->cpu))
		thread->called_off = true;
	sem_post(&thread->ready);
	while (sem_wait(&thread->gate))
		;
	if (!thread->called_off) {
		kt_meet(thread);
		thread->ret = thread->step(thread->data);
	}
	thread->end = kt_now_nsecs();
	__atomic_store_n(&thread->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

static bool kt_has_ended(const struct kt_thread *thread)
{
	return __atomic_load_n(&thread->ended, __ATOMIC_ACQUIRE);
}

/*
 * Waits for the end of the thread. After KT_THREAD_SECS, the thread is detached, and
 * -EDEADLK is returned.
 */
static int kt_join(struct kt_thread *thread)
{
	__u64 deadline = kt_deadline(KT_THREAD_SECS);

	if (!thread->running)
		return -EINVAL;
	thread->running = false;
	while (!kt_has_ended(thread)) {
		if (kt_now_nsecs() > deadline) {
			/* The thread still uses *thread, so it must not be reused. */
			thread->lost = true;
			pthread_detach(thread->thread);
			return -EDEADLK;
		}
		kt_pause_msecs(1);
	}
	pthread_join(thread->thread, NULL);
	sem_destroy(&thread->ready);
	sem_destroy(&thread->gate);
	return 0;
}

/* Ends a thread that waits at its gate, without running its step. */
static void kt_call_off(struct kt_thread *thread)
{
	thread->called_off = true;
	sem_post(&thread->gate);
	kt_join(thread);
}

/* Starts a thread on @cpu, and waits until it is at its gate. */
static int kt_start_thread(struct kt_thread *thread, int cpu, int (*step)(void *data),
			   void *data)
{
	int ret;

	if (thread->lost)
		return -EBUSY;
	memset(thread, 0, sizeof(*thread));
	thread->cpu = cpu;
	thread->step = step;
	thread->data = data;
	thread->ret = -EINPROGRESS;
	if (sem_init(&thread->ready, 0, 0) || sem_init(&thread->gate, 0, 0))
		return -errno;
	ret = -pthread_create(&thread->thread, NULL, kt_run_thread, thread);
	if (ret)
		return ret;
	thread->running = true;
	while (sem_wait(&thread->ready))
		;
	if (!thread->called_off)
		return 0;
	kt_call_off(thread);
	return -EOPNOTSUPP;
}

/* The path of the module: in KT_MODULES, or next to the program. */
static int kt_sync_module(char *path, size_t size)
{
	const char *folder = getenv("KT_MODULES");
	char self[KT_PATH_MAX], *last;
	ssize_t len;

	if (folder) {
		snprintf(path, size, "%s/" KT_SYNC_MODULE ".ko", folder);
		return access(path, R_OK) ? -errno : 0;
	}
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len < 0)
		return -errno;
	self[len] = '\0';
	last = strrchr(self, '/');
	if (last)
		*last = '\0';
	snprintf(path, size, "%s/test_modules/" KT_SYNC_MODULE ".ko", self);
	return access(path, R_OK) ? -errno : 0;
}

static int kt_load_sync_module(void)
{
	char path[KT_PATH_MAX + 64];
	int fd, ret;

	if (!access(KT_SYNC_FILE, F_OK))
		return 0;
	ret = kt_sync_module(path, sizeof(path));
	if (ret)
		return ret;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = syscall(__NR_finit_module, fd, "", 0) ? -errno : 0;
	close(fd);
	kt.hold_loaded = !ret;
	return ret;
}

void kt_unload_sync_module(void)
{
	if (kt.hold_loaded)
		syscall(__NR_delete_module, KT_SYNC_MODULE, O_NONBLOCK);
	kt.hold_loaded = false;
}

/* Returns whether the sync point is in @state. Each read() returns the current state. */
static bool kt_hold_is(const char *state)
{
	char text[32];
	ssize_t len;

	len = read(kt.hold, text, sizeof(text) - 1);
	if (len < 1)
		return false;
	text[len] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return !strcmp(text, state);
}

static int kt_arm_hold(const char *where)
{
	char line[256];
	ssize_t len;

	kt.hold = open(KT_SYNC_FILE, O_RDWR | O_CLOEXEC);
	if (kt.hold < 0)
		return -errno;
	len = snprintf(line, sizeof(line), "hold %s %d %d", where, kt.held.tid, KT_HELD_MSECS);
	if (write(kt.hold, line, len) == len)
		return 0;
	return errno ? -errno : -EIO;
}

/* Returns 0 if a thread can be held at @where in this kernel. */
static int kt_try_hold(const char *where)
{
	char line[256];
	int fd, len, ret = 0;

	fd = open(KT_SYNC_FILE, O_RDWR | O_CLOEXEC);
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
static int kt_await_held(void)
{
	__u64 deadline = kt_deadline(KT_HOLD_SECS);
	bool ended;

	while (kt_now_nsecs() < deadline) {
		ended = kt_has_ended(&kt.held);
		if (kt_hold_is("held"))
			return 0;
		if (kt_hold_is("expired"))
			return -ETIME;
		if (ended)
			return -ENOTRECOVERABLE;
		kt_pause_msecs(1);
	}
	return -ETIME;
}

/* Releases the thread if it is held, and joins it. */
static int kt_end_held(void)
{
	int ret = 0;

	/* Closing the file releases the thread and removes the sync point. */
	kt_close(&kt.hold);
	if (kt.held.running)
		ret = kt_join(&kt.held);
	kt_unpin();
	return ret;
}

/*
 * Some seconds after boot, x86 switches from tsc-early to the final clocksource with
 * stop_machine(), which would wait for a held thread. Waits until that has happened; if it
 * has not by the deadline, it is not going to happen.
 */
static void kt_await_clock(void)
{
	__u64 deadline = kt_deadline(KT_CLOCK_SECS);
	char clock[32];

	while (!kt_read_line(KT_CLOCK, clock, sizeof(clock)) && !strcmp(clock, "tsc-early") &&
	       kt_now_nsecs() < deadline)
		kt_pause_msecs(10);
}

/*
 * Runs @step in a thread on another CPU, and holds it at @where: "FUNCTION" or
 * "FUNCTION%return". Returns 0 once the thread is held. After an error, the step has
 * ended or was not started, and kt_release() must not be called.
 */
int kt_hold(const char *where, int (*step)(void *data), void *data)
{
	int ret;

	if (kt.held.running)
		return -EBUSY;
	kt_await_clock();
	ret = kt_load_sync_module();
	if (!ret)
		ret = kt_pin();
	if (!ret)
		ret = kt_start_thread(&kt.held, kt_nth_cpu(&kt.cpus, 1), step, data);
	if (ret) {
		kt_unpin();
		return ret;
	}
	ret = kt_arm_hold(where);
	if (ret) {
		kt_call_off(&kt.held);
		kt_end_held();
		return ret;
	}
	sem_post(&kt.held.gate);
	ret = kt_await_held();
	if (ret)
		kt_end_held();
	return ret;
}

/* Returns 0 while the thread is held, -ETIME afterwards. */
static int kt_held(void)
{
	return kt.hold >= 0 && kt_hold_is("held") ? 0 : -ETIME;
}

/*
 * Releases the thread and returns the result of its step, or -EDEADLK if the thread does not
 * end. kt_expired() tells whether the thread was held until now.
 */
int kt_release(void)
{
	int ret;

	if (kt_held())
		kt.expired = true;
	if (kt.hold < 0)
		return -EINPROGRESS;
	/* The time limit may expire after the check above; the state then is "expired". */
	if (write(kt.hold, "release", strlen("release")) < 0 || !kt_hold_is("released"))
		kt.expired = true;
	ret = kt_end_held();
	return ret ? ret : kt.held.ret;
}

/* Returns -ETIME if the time limit released a held thread before the test did, else 0. */
int kt_expired(void)
{
	return kt.expired ? -ETIME : 0;
}

/* Reads the kernel function in which the thread sleeps; "0" if it is running. */
static void kt_read_wchan(const struct kt_thread *thread, char *in, size_t size)
{
	char path[KT_PATH_MAX];

	snprintf(path, sizeof(path), "/proc/self/task/%d/wchan", thread->tid);
	if (kt_read_line(path, in, size))
		snprintf(in, size, "?");
}

/* Returns whether @in is one of the functions in @where ("f" or "f|g"). */
static bool kt_is_in(const char *in, const char *where)
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
 * function of @where, see kt_is_in(). The function is read from /proc/.../wchan, so a slow
 * thread is not mistaken for a waiting thread. Returns -EALREADY if the step ended
 * instead, and -ETIME if it did neither while the other thread was held.
 *
 * The thread shares the CPU of this thread. A mutex waiter spins instead of sleeping as
 * long as the owner is running, until its own CPU has to reschedule, which this thread
 * causes each time it polls.
 */
int kt_wait(const char *where, int (*step)(void *data), void *data)
{
	__u64 deadline = kt_deadline(KT_HOLD_SECS);
	char in[KT_PATH_MAX] = "?";
	bool ended;
	int ret;

	if (kt.waiting.running)
		return -EBUSY;
	ret = kt_start_thread(&kt.waiting, kt_nth_cpu(&kt.cpus, 0), step, data);
	if (ret)
		return ret;
	sem_post(&kt.waiting.gate);
	while (kt_now_nsecs() < deadline) {
		ended = kt_has_ended(&kt.waiting);
		kt_read_wchan(&kt.waiting, in, sizeof(in));
		/* wchan is valid only if the other thread is still held now. */
		if (kt_held()) {
			/* The caller reports it; kt_end_threads() must not report it again. */
			kt.expired = true;
			break;
		}
		if (kt_is_in(in, where))
			return 0;
		if (ended)
			return -EALREADY;
		kt_pause_msecs(1);
	}
	ksft_print_msg("expected the step to wait in %s, last wchan: \"%s\"\n", where, in);
	return -ETIME;
}

/* Joins the waiting thread, and returns the result of its step. */
int kt_end_wait(void)
{
	int ret = kt_join(&kt.waiting);

	return ret ? ret : kt.waiting.ret;
}

/* Bounds of the range of head starts. */
#define KT_RACE_SKEW_MIN_NSECS	20000
#define KT_RACE_SKEW_MAX_NSECS	500000000

/*
 * Returns the head start in nanoseconds; negative values are for the other side. The
 * reversed bits of the round number cover the range evenly for any number of rounds.
 */
static long long kt_race_skew(const struct kt_races *races)
{
	long long range = (long long)(races->typical + races->typical / 2);
	unsigned int bit, place = 0;

	/* Widen the range until both orders have occurred. */
	if (!races->a_first || !races->b_first)
		range += range * races->rounds / 16;
	if (range < KT_RACE_SKEW_MIN_NSECS)
		range = KT_RACE_SKEW_MIN_NSECS;
	if (range > KT_RACE_SKEW_MAX_NSECS)
		range = KT_RACE_SKEW_MAX_NSECS;
	for (bit = 0; bit < 16; bit++)
		place |= ((races->rounds >> bit) & 1) << (15 - bit);
	return range * (2 * (long long)place - 65536) / 65536;
}

static void kt_count_race(struct kt_races *races, const struct kt_thread *a,
			  const struct kt_thread *b)
{
	__u64 longer = a->end - a->start;

	if (b->end - b->start > longer)
		longer = b->end - b->start;
	/* A moving average, so that a single slow round has little weight. */
	races->typical += longer / 4 - races->typical / 4;
	races->rounds++;
	if (a->end < b->end)
		races->a_first++;
	else
		races->b_first++;
}

/* Opens both gates, with @skew between the steps, and joins both threads. */
static int kt_run_race(struct kt_thread *a, struct kt_thread *b, long long skew)
{
	static unsigned int meeting;
	int ret, other;

	meeting = 0;
	a->meeting = &meeting;
	a->delay = -skew;
	b->meeting = &meeting;
	b->delay = skew;
	sem_post(&a->gate);
	sem_post(&b->gate);
	ret = kt_join(a);
	other = kt_join(b);
	if (ret || other)
		return -EDEADLK;
	kt_count_race(&kt.races, a, b);
	return 0;
}

/*
 * Runs @a and @b concurrently in two threads, and stores their results in @ra and @rb.
 * The number of earlier rounds selects the head start. Returns -EDEADLK if a thread does not
 * end.
 */
int kt_race(int (*a)(void *data), int (*b)(void *data), void *data, int *ra, int *rb)
{
	/* Static, since a thread that does not end uses it after this function returns. */
	static struct kt_thread threads[2];
	int ret;

	*ra = -EINPROGRESS;
	*rb = -EINPROGRESS;
	if (sched_getaffinity(0, sizeof(kt.cpus), &kt.cpus))
		return -errno;
	if (kt_nth_cpu(&kt.cpus, 1) < 0)
		return -EOPNOTSUPP;
	ret = kt_start_thread(&threads[0], kt_nth_cpu(&kt.cpus, 0), a, data);
	if (ret)
		return ret;
	ret = kt_start_thread(&threads[1], kt_nth_cpu(&kt.cpus, 1), b, data);
	if (ret) {
		kt_call_off(&threads[0]);
		return ret;
	}
	ret = kt_run_race(&threads[0], &threads[1], kt_race_skew(&kt.races));
	if (ret)
		return ret;
	*ra = threads[0].ret;
	*rb = threads[1].ret;
	return 0;
}

/*
 * Prints how often each side ended first since the last call, and resets the counts.
 * Returns -EAGAIN if one of the orders did not occur.
 */
int kt_both_orders(void)
{
	struct kt_races races = kt.races;

	memset(&kt.races, 0, sizeof(kt.races));
	ksft_print_msg("race: first step first %u times, second step first %u times\n",
		       races.a_first, races.b_first);
	return races.a_first && races.b_first ? 0 : -EAGAIN;
}

bool kt_lacks_cpus(unsigned int wanted)
{
	cpu_set_t cpus;

	if (!sched_getaffinity(0, sizeof(cpus), &cpus) && CPU_COUNT(&cpus) >= (int)wanted)
		return false;
	snprintf(kt.reason, sizeof(kt.reason), "needs %u CPUs", wanted);
	return true;
}

/* Returns whether a thread cannot be held at a sync point of the test. */
bool kt_lacks_sync_points(void)
{
	const char *const *where = kt.needs.sync_points;
	int ret = kt_load_sync_module();
	bool hurried;

	if (ret) {
		snprintf(kt.reason, sizeof(kt.reason), "no module " KT_SYNC_MODULE ": %s",
			 strerror(-ret));
		return true;
	}
	if (kt_lacks_file(KT_SYNC_FILE, R_OK | W_OK) || kt_lacks_cpus(2))
		return true;
	hurried = kt_hurry();
	for (; *where && !ret; where++) {
		ret = kt_try_hold(*where);
		if (ret)
			kt_cannot_probe(*where, "cannot be a sync point", ret);
	}
	kt_slow_down(hurried);
	return ret;
}

/*
 * Releases and joins all threads. Call this before closing descriptors: a held thread
 * may own a lock that close() needs. Returns -ETIME if the time limit of the sync point
 * released the held thread, unless the test knows it from kt_wait() or kt_expired().
 */
int kt_end_threads(void)
{
	int ret = !kt.expired && kt.hold >= 0 && kt_hold_is("expired") ? -ETIME : 0;

	if (kt_end_held())
		ksft_print_msg("the held thread did not end\n");
	if (!kt.waiting.running)
		return ret;
	if (kt_join(&kt.waiting))
		ksft_print_msg("the waiting thread did not end\n");
	/* The thread may have registered an FLB, which the open files do not account for. */
	kt_subject_reset();
	return ret;
}
