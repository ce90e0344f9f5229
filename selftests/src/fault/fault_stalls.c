// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults: tasks and CPUs that make no progress for a few seconds. User space lowers
 * the thresholds of the watchdogs first.
 */

#include <linux/delay.h>
#include <linux/err.h>
#include <linux/irqflags.h>
#include <linux/kthread.h>
#include <linux/ktime.h>
#include <linux/mutex.h>
#include <linux/preempt.h>
#include <linux/rcupdate.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/workqueue.h>

#include "fault.h"

/* Above the lowest threshold of each watchdog. */
#define FAULT_STALL_SECS	7
/* The lowest RCU stall timeout is 3 seconds; CONFIG_PROVE_RCU adds 5. */
#define FAULT_RCU_STALL_SECS	(IS_ENABLED(CONFIG_PROVE_RCU) ? 12 : 7)

static void fault_spin(unsigned int secs)
{
	u64 end = ktime_get_mono_fast_ns() + secs * NSEC_PER_SEC;

	while (ktime_get_mono_fast_ns() < end)
		cpu_relax();
}

static void fault_wait(unsigned int secs)
{
	schedule_timeout_uninterruptible(secs * HZ);
}

#ifdef CONFIG_DETECT_HUNG_TASK
static DEFINE_MUTEX(fault_mutex);

static void fault_hung_task(void)
{
	fault_wait(FAULT_STALL_SECS);
}

static int fault_hold_mutex(void *unused)
{
	mutex_lock(&fault_mutex);
	fault_wait(FAULT_STALL_SECS);
	mutex_unlock(&fault_mutex);

	return 0;
}

/* Waits for a mutex that another task holds. */
static void fault_hung_on_mutex(void)
{
	struct task_struct *holder;

	holder = kthread_run(fault_hold_mutex, NULL, "fault-holder");
	if (IS_ERR(holder))
		return;

	while (!mutex_is_locked(&fault_mutex))
		msleep(20);
	mutex_lock(&fault_mutex);
	mutex_unlock(&fault_mutex);
}
#endif

#ifdef CONFIG_SOFTLOCKUP_DETECTOR
static void fault_soft_lockup(void)
{
	preempt_disable();
	fault_spin(FAULT_STALL_SECS);
	preempt_enable();
}
#endif

#ifdef CONFIG_HARDLOCKUP_DETECTOR
static void fault_hard_lockup(void)
{
	unsigned long flags;

	local_irq_save(flags);
	fault_spin(FAULT_STALL_SECS);
	local_irq_restore(flags);
}
#endif

static void fault_grace_period_ends(struct rcu_head *head)
{
	kfree(head);
}

static void fault_begin_grace_period(void)
{
	struct rcu_head *head = kzalloc(sizeof(*head), GFP_KERNEL);

	if (head)
		call_rcu_hurry(head, fault_grace_period_ends);
}

/* Stall on a busy CPU. */
static void fault_rcu_stall(void)
{
	fault_begin_grace_period();
	rcu_read_lock();
	preempt_disable();
	fault_spin(FAULT_RCU_STALL_SECS);
	preempt_enable();
	rcu_read_unlock();
}

#ifdef CONFIG_PREEMPT_RCU
/* Stall by a task that sleeps in its critical section. */
static void fault_rcu_stall_of_task(void)
{
	fault_begin_grace_period();
	rcu_read_lock();
	fault_wait(FAULT_RCU_STALL_SECS);
	rcu_read_unlock();
}
#endif

#ifdef CONFIG_WQ_WATCHDOG
/* With preemption on, the workqueue would run other work on another worker. */
static void fault_spin_work(struct work_struct *work)
{
	preempt_disable();
	fault_spin(FAULT_STALL_SECS);
	preempt_enable();
}

static void fault_empty_work(struct work_struct *work)
{
}

static DECLARE_WORK(fault_long_work, fault_spin_work);
static DECLARE_WORK(fault_short_work, fault_empty_work);

static void fault_workqueue_lockup(void)
{
	schedule_work_on(0, &fault_long_work);
	schedule_work_on(0, &fault_short_work);
	/* The watchdog is a deferrable timer: it does not fire on an idle CPU. */
	while (work_busy(&fault_short_work))
		cond_resched();
	flush_work(&fault_long_work);
}
#endif

const struct fault fault_stalls[] = {
#ifdef CONFIG_DETECT_HUNG_TASK
	{ "hung-task", fault_hung_task },
	{ "hung-task-mutex", fault_hung_on_mutex },
#endif
#ifdef CONFIG_SOFTLOCKUP_DETECTOR
	{ "soft-lockup", fault_soft_lockup },
#endif
#ifdef CONFIG_HARDLOCKUP_DETECTOR
	{ "hard-lockup", fault_hard_lockup },
#endif
	{ "rcu-stall", fault_rcu_stall },
#ifdef CONFIG_PREEMPT_RCU
	{ "rcu-stall-task", fault_rcu_stall_of_task },
#endif
#ifdef CONFIG_WQ_WATCHDOG
	{ "workqueue-lockup", fault_workqueue_lockup },
#endif
	{ }
};
