/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Races without a sync point: two steps run concurrently on two CPUs for many rounds,
 * with a head start that differs from round to round.
 */
#ifndef LU_RACE_H
#define LU_RACE_H

#include "lu_thread.h"

/* Bounds of the range of head starts. */
#define LU_RACE_SKEW_MIN_NSECS	20000
#define LU_RACE_SKEW_MAX_NSECS	500000000

/*
 * Returns the head start in nanoseconds; negative values are for the other side. The
 * reversed bits of the round number cover the range evenly for any number of rounds.
 */
static inline long long lu_race_skew(const struct lu_races *races, unsigned int round)
{
	long long range = (long long)(races->typical + races->typical / 2);
	unsigned int bit, place = 0;

	/* Widen the range until both orders have occurred. */
	if (!races->a_first || !races->b_first)
		range += range * round / 16;
	if (range < LU_RACE_SKEW_MIN_NSECS)
		range = LU_RACE_SKEW_MIN_NSECS;
	if (range > LU_RACE_SKEW_MAX_NSECS)
		range = LU_RACE_SKEW_MAX_NSECS;
	for (bit = 0; bit < 16; bit++)
		place |= ((round >> bit) & 1) << (15 - bit);
	return range * (2 * (long long)place - 65536) / 65536;
}

static inline void lu_count_race(struct lu_races *races, const struct lu_thread *a,
				 const struct lu_thread *b)
{
	__u64 longer = a->end - a->start;

	if (b->end - b->start > longer)
		longer = b->end - b->start;
	/* A moving average, so that a single slow round has little weight. */
	races->typical += longer / 4 - races->typical / 4;
	if (a->end < b->end)
		races->a_first++;
	else
		races->b_first++;
}

/* Opens both gates, with @skew between the steps, and joins both threads. */
static inline int lu_run_race(struct lu_test *lu, struct lu_thread *a, struct lu_thread *b,
			      long long skew)
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
	ret = lu_join(a);
	other = lu_join(b);
	if (ret || other)
		return -EDEADLK;
	lu_count_race(&lu->races, a, b);
	return 0;
}

/*
 * Runs @a and @b concurrently in two threads, and stores their results in @ra and @rb.
 * @round, counted from 0, selects the head start. Returns -EDEADLK if a thread does not
 * end.
 */
static inline int lu_race(struct lu_test *lu, int (*a)(void *data), int (*b)(void *data),
			  void *data, unsigned int round, int *ra, int *rb)
{
	/* Static, since a thread that does not end uses it after this function returns. */
	static struct lu_thread threads[2];
	int ret;

	*ra = -EINPROGRESS;
	*rb = -EINPROGRESS;
	if (sched_getaffinity(0, sizeof(lu->cpus), &lu->cpus))
		return -errno;
	if (lu_nth_cpu(&lu->cpus, 1) < 0)
		return -EOPNOTSUPP;
	ret = lu_start_thread(&threads[0], lu_nth_cpu(&lu->cpus, 0), a, data);
	if (ret)
		return ret;
	ret = lu_start_thread(&threads[1], lu_nth_cpu(&lu->cpus, 1), b, data);
	if (ret) {
		lu_call_off(&threads[0]);
		return ret;
	}
	ret = lu_run_race(lu, &threads[0], &threads[1], lu_race_skew(&lu->races, round));
	if (ret)
		return ret;
	*ra = threads[0].ret;
	*rb = threads[1].ret;
	return 0;
}

/*
 * Prints how often each side ended first since the last report, and resets the counts.
 * Returns -EAGAIN if one of the orders did not occur.
 */
static inline int lu_race_report(struct lu_test *lu, const char *a, const char *b)
{
	struct lu_races races = lu->races;

	memset(&lu->races, 0, sizeof(lu->races));
	ksft_print_msg("race: %s first %u times, %s first %u times\n", a, races.a_first, b,
		       races.b_first);
	return races.a_first && races.b_first ? 0 : -EAGAIN;
}

#endif /* LU_RACE_H */
