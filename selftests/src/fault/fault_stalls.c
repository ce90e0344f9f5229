// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults: tasks and processors that make no progress, for a few seconds. Who injects
 * them first lowers the thresholds of those who watch.
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

/* Well more than the least that those who watch can be told to wait. */
#define FAULT_STALL_SECS	7
/* RCU's least is 3 seconds, and 8 while its use is being proven. */
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
static DEFINE_MUTEX(fault_cage);

static void fault_hung_task(void)
{
	fault_wait(FAULT_STALL_SECS);
}

static int fault_keep_cage(void *unused)
{
	mutex_lock(&fault_cage);
	fault_wait(FAULT_STALL_SECS);
	mutex_unlock(&fault_cage);

	return 0;
}

/* Waits for what another task keeps. */
static void fault_hung_on_mutex(void)
{
	struct task_struct *keeper;

	keeper = kthread_run(fault_keep_cage, NULL, "fault-keeper");
	if (IS_ERR(keeper))
		return;

	while (!mutex_is_locked(&fault_cage))
		msleep(20);
	mutex_lock(&fault_cage);
	mutex_unlock(&fault_cage);
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

/* On a processor that is busy. */
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
/* By a task that gave its processor away. */
static void fault_rcu_stall_of_task(void)
{
	fault_begin_grace_period();
	rcu_read_lock();
	fault_wait(FAULT_RCU_STALL_SECS);
	rcu_read_unlock();
}
#endif

#ifdef CONFIG_WQ_WATCHDOG
/* Work that only uses its processor up is no stall: another worker is woken. */
static void fault_spin_at_work(struct work_struct *work)
{
	preempt_disable();
	fault_spin(FAULT_STALL_SECS);
	preempt_enable();
}

static void fault_do_nothing(struct work_struct *work)
{
}

static DECLARE_WORK(fault_long_work, fault_spin_at_work);
static DECLARE_WORK(fault_short_work, fault_do_nothing);

static void fault_workqueue_lockup(void)
{
	schedule_work_on(0, &fault_long_work);
	schedule_work_on(0, &fault_short_work);
	/* Who watches is a timer that wakes no processor. */
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
