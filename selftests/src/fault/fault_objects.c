// SPDX-License-Identifier: GPL-2.0-only
/* Faults: misuse of reference counts, lists, timers, work items and kobjects. */

#include <linux/jiffies.h>
#include <linux/kobject.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/printk.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "fault.h"

static void fault_refcount_underflow(void)
{
	refcount_t count = REFCOUNT_INIT(0);

	if (refcount_dec_and_test(&count))
		pr_info("fault: the last reference was dropped\n");
}

static void fault_refcount_leak(void)
{
	refcount_t count = REFCOUNT_INIT(1);

	refcount_dec(&count);
}

static void fault_refcount_saturated(void)
{
	refcount_t count = REFCOUNT_INIT(INT_MAX);

	refcount_inc(&count);
}

static void fault_refcount_from_zero(void)
{
	refcount_t count = REFCOUNT_INIT(0);

	refcount_inc(&count);
}

#ifdef CONFIG_DEBUG_LIST
struct fault_item {
	struct list_head link;
};

/* The prev pointer of the next item is wrong. */
static void fault_list_add(void)
{
	struct fault_item item, other;
	LIST_HEAD(list);

	list_add(&item.link, &list);
	item.link.prev = &other.link;
	list_add(&other.link, &list);
}

static void fault_list_add_twice(void)
{
	struct fault_item item;
	LIST_HEAD(list);

	list_add(&item.link, &list);
	list_add(&item.link, &list);
}

static void fault_list_del(void)
{
	struct fault_item item, other;
	LIST_HEAD(list);

	list_add(&item.link, &list);
	list_add(&other.link, &list);
	item.link.prev = &list;
	list_del(&other.link);
}

static void fault_list_del_twice(void)
{
	struct fault_item item;
	LIST_HEAD(list);

	list_add(&item.link, &list);
	list_del(&item.link);
	list_del(&item.link);
}
#endif

#if defined(CONFIG_DEBUG_OBJECTS_FREE) && defined(CONFIG_DEBUG_OBJECTS_TIMERS)
struct fault_timed {
	struct timer_list timer;
};

static void fault_tick(struct timer_list *timer)
{
}

static void fault_free_active_timer(void)
{
	struct fault_timed *timed = kzalloc(sizeof(*timed), GFP_KERNEL);

	if (!timed)
		return;

	timer_setup(&timed->timer, fault_tick, 0);
	mod_timer(&timed->timer, jiffies + 3600 * HZ);
	kfree(timed);
}

static void fault_init_active_timer(void)
{
	static struct fault_timed timed;

	timer_setup(&timed.timer, fault_tick, 0);
	mod_timer(&timed.timer, jiffies + 3600 * HZ);
	timer_setup(&timed.timer, fault_tick, 0);
}
#endif

#if defined(CONFIG_DEBUG_OBJECTS_FREE) && defined(CONFIG_DEBUG_OBJECTS_WORK)
struct fault_job {
	struct delayed_work work;
};

static void fault_do_job(struct work_struct *work)
{
}

static void fault_free_active_work(void)
{
	struct fault_job *job = kzalloc(sizeof(*job), GFP_KERNEL);

	if (!job)
		return;

	INIT_DELAYED_WORK(&job->work, fault_do_job);
	schedule_delayed_work(&job->work, 3600 * HZ);
	kfree(job);
}
#endif

static void fault_duplicate_name(void)
{
	struct kobject *first = kobject_create_and_add("fault", NULL);
	struct kobject *second = kobject_create_and_add("fault", NULL);

	kobject_put(second);
	kobject_put(first);
}

/* Harmless lines with words from kernel reports: they must not be taken for reports. */
static void fault_prose(void)
{
	pr_info("DEBUG: fault: nothing happened\n");
	pr_info("fault: this is a warning: BUGS are small animals\n");
	pr_warn("fault: no kernel BUG, no Oops, no panic, no general protection fault\n");
	pr_info("fault: use-after-free is not what this line is about\n");
	pr_info("fault: a lockup of the cage, and leaks in its roof\n");
}

const struct fault fault_objects[] = {
	{ "refcount-underflow", fault_refcount_underflow },
	{ "refcount-leak", fault_refcount_leak },
	{ "refcount-saturated", fault_refcount_saturated },
	{ "refcount-from-zero", fault_refcount_from_zero },
#ifdef CONFIG_DEBUG_LIST
	{ "list-add", fault_list_add },
	{ "list-add-twice", fault_list_add_twice },
	{ "list-del", fault_list_del },
	{ "list-del-twice", fault_list_del_twice },
#endif
#if defined(CONFIG_DEBUG_OBJECTS_FREE) && defined(CONFIG_DEBUG_OBJECTS_TIMERS)
	{ "odebug-free-timer", fault_free_active_timer },
	{ "odebug-init-timer", fault_init_active_timer },
#endif
#if defined(CONFIG_DEBUG_OBJECTS_FREE) && defined(CONFIG_DEBUG_OBJECTS_WORK)
	{ "odebug-free-work", fault_free_active_work },
#endif
	{ "duplicate-name", fault_duplicate_name },
	{ "prose", fault_prose },
	{ }
};
