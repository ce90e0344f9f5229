/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Threads that run one step each, on a given CPU. A thread first waits at a gate, so that
 * its caller can arm faults or sync points for its TID before the step runs.
 */
#ifndef LU_THREAD_H
#define LU_THREAD_H

#include "lu_test.h"

/* Returns the @n-th CPU in @cpus, or -EOPNOTSUPP. */
static inline int lu_nth_cpu(const cpu_set_t *cpus, unsigned int n)
{
	int cpu;

	for (cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, cpus) && !n--)
			return cpu;
	}
	return -EOPNOTSUPP;
}

static inline int lu_pin_to_cpu(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	return sched_setaffinity(0, sizeof(one), &one) ? -errno : 0;
}

/* Pins this thread to its first CPU, which leaves the second one to a held thread. */
static inline int lu_pin(struct lu_test *lu)
{
	if (lu->pinned)
		return 0;
	if (sched_getaffinity(0, sizeof(lu->cpus), &lu->cpus))
		return -errno;
	if (lu_nth_cpu(&lu->cpus, 1) < 0)
		return -EOPNOTSUPP;
	lu->pinned = true;
	return lu_pin_to_cpu(lu_nth_cpu(&lu->cpus, 0));
}

static inline void lu_unpin(struct lu_test *lu)
{
	if (lu->pinned)
		sched_setaffinity(0, sizeof(lu->cpus), &lu->cpus);
	lu->pinned = false;
}

/*
 * Waits for the other thread of a race, if any, and then for the length of its head
 * start. This spins, since sleeping is not exact enough.
 */
static inline void lu_meet(struct lu_thread *thread)
{
	__u64 deadline = lu_deadline(LU_THREAD_SECS);

	if (thread->meeting) {
		__atomic_add_fetch(thread->meeting, 1, __ATOMIC_ACQ_REL);
		while (__atomic_load_n(thread->meeting, __ATOMIC_ACQUIRE) < 2 &&
		       lu_now_nsecs() < deadline)
			;
	}
	thread->start = lu_now_nsecs();
	if (thread->delay > 0)
		thread->start += thread->delay;
	while (lu_now_nsecs() < thread->start)
		;
}

static inline void *lu_run_thread(void *arg)
{
	struct lu_thread *thread = arg;

	thread->tid = (pid_t)syscall(__NR_gettid);
	if (lu_pin_to_cpu(thread->cpu))
		thread->called_off = true;
	sem_post(&thread->ready);
	while (sem_wait(&thread->gate))
		;
	if (!thread->called_off) {
		lu_meet(thread);
		thread->ret = thread->step(thread->data);
	}
	thread->end = lu_now_nsecs();
	__atomic_store_n(&thread->ended, true, __ATOMIC_RELEASE);
	return NULL;
}

static inline bool lu_has_ended(const struct lu_thread *thread)
{
	return __atomic_load_n(&thread->ended, __ATOMIC_ACQUIRE);
}

/*
 * Waits for the end of the thread. After LU_THREAD_SECS, the thread is detached, and
 * -EDEADLK is returned.
 */
static inline int lu_join(struct lu_thread *thread)
{
	__u64 deadline = lu_deadline(LU_THREAD_SECS);

	if (!thread->running)
		return -EINVAL;
	thread->running = false;
	while (!lu_has_ended(thread)) {
		if (lu_now_nsecs() > deadline) {
			/* The thread still uses *thread, so it must not be reused. */
			thread->lost = true;
			pthread_detach(thread->thread);
			return -EDEADLK;
		}
		lu_pause_msecs(1);
	}
	pthread_join(thread->thread, NULL);
	sem_destroy(&thread->ready);
	sem_destroy(&thread->gate);
	return 0;
}

/* Ends a thread that waits at its gate, without running its step. */
static inline void lu_call_off(struct lu_thread *thread)
{
	thread->called_off = true;
	sem_post(&thread->gate);
	lu_join(thread);
}

/* Starts a thread on @cpu, and waits until it is at its gate. */
static inline int lu_start_thread(struct lu_thread *thread, int cpu, int (*step)(void *data),
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
	ret = -pthread_create(&thread->thread, NULL, lu_run_thread, thread);
	if (ret)
		return ret;
	thread->running = true;
	while (sem_wait(&thread->ready))
		;
	if (!thread->called_off)
		return 0;
	lu_call_off(thread);
	return -EOPNOTSUPP;
}

#endif /* LU_THREAD_H */
