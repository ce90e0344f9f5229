// SPDX-License-Identifier: GPL-2.0-only
/* Canaries: counts, lists, timers and names that are handled wrongly. */

#include <linux/jiffies.h>
#include <linux/kobject.h>
#include <linux/limits.h>
#include <linux/list.h>
#include <linux/printk.h>
#include <linux/refcount.h>
#include <linux/slab.h>
#include <linux/timer.h>
#include <linux/workqueue.h>

#include "canary.h"

static void canary_refcount_underflow(void)
{
	refcount_t count = REFCOUNT_INIT(0);

	if (refcount_dec_and_test(&count))
		pr_info("canary: the last reference went\n");
}

static void canary_refcount_leak(void)
{
	refcount_t count = REFCOUNT_INIT(1);

	refcount_dec(&count);
}

static void canary_refcount_saturated(void)
{
	refcount_t count = REFCOUNT_INIT(INT_MAX);

	refcount_inc(&count);
}

static void canary_refcount_from_zero(void)
{
	refcount_t count = REFCOUNT_INIT(0);

	refcount_inc(&count);
}

#ifdef CONFIG_DEBUG_LIST
struct canary_item {
	struct list_head link;
};

/* The item behind does not know of the one in front. */
static void canary_list_add(void)
{
	struct canary_item item, other;
	LIST_HEAD(list);

	list_add(&item.link, &list);
	item.link.prev = &other.link;
	list_add(&other.link, &list);
}

static void canary_list_add_twice(void)
{
	struct canary_item item;
	LIST_HEAD(list);

	list_add(&item.link, &list);
	list_add(&item.link, &list);
}

static void canary_list_del(void)
{
	struct canary_item item, other;
	LIST_HEAD(list);

	list_add(&item.link, &list);
	list_add(&other.link, &list);
	item.link.prev = &list;
	list_del(&other.link);
}

static void canary_list_del_twice(void)
{
	struct canary_item item;
	LIST_HEAD(list);

	list_add(&item.link, &list);
	list_del(&item.link);
	list_del(&item.link);
}
#endif

#if defined(CONFIG_DEBUG_OBJECTS_FREE) && defined(CONFIG_DEBUG_OBJECTS_TIMERS)
struct canary_clock {
	struct timer_list timer;
};

static void canary_tick(struct timer_list *timer)
{
}

static void canary_free_active_timer(void)
{
	struct canary_clock *clock = kzalloc(sizeof(*clock), GFP_KERNEL);

	if (!clock)
		return;

	timer_setup(&clock->timer, canary_tick, 0);
	mod_timer(&clock->timer, jiffies + 3600 * HZ);
	kfree(clock);
}

static void canary_init_active_timer(void)
{
	static struct canary_clock clock;

	timer_setup(&clock.timer, canary_tick, 0);
	mod_timer(&clock.timer, jiffies + 3600 * HZ);
	timer_setup(&clock.timer, canary_tick, 0);
}
#endif

#if defined(CONFIG_DEBUG_OBJECTS_FREE) && defined(CONFIG_DEBUG_OBJECTS_WORK)
struct canary_job {
	struct delayed_work work;
};

static void canary_do_job(struct work_struct *work)
{
}

static void canary_free_active_work(void)
{
	struct canary_job *job = kzalloc(sizeof(*job), GFP_KERNEL);

	if (!job)
		return;

	INIT_DELAYED_WORK(&job->work, canary_do_job);
	schedule_delayed_work(&job->work, 3600 * HZ);
	kfree(job);
}
#endif

static void canary_duplicate_name(void)
{
	struct kobject *first = kobject_create_and_add("canary", NULL);
	struct kobject *second = kobject_create_and_add("canary", NULL);

	kobject_put(second);
	kobject_put(first);
}

/* Lines that say nothing bad, in words of those that do. */
static void canary_prose(void)
{
	pr_info("DEBUG: canary: nothing happened\n");
	pr_info("canary: this is a warning: BUGS are small animals\n");
	pr_warn("canary: no kernel BUG, no Oops, no panic, no general protection fault\n");
	pr_info("canary: use-after-free is not what this line is about\n");
	pr_info("canary: a lockup of the cage, and leaks in its roof\n");
}

const struct canary canary_objects[] = {
	{ "refcount-underflow", canary_refcount_underflow },
	{ "refcount-leak", canary_refcount_leak },
	{ "refcount-saturated", canary_refcount_saturated },
	{ "refcount-from-zero", canary_refcount_from_zero },
#ifdef CONFIG_DEBUG_LIST
	{ "list-add", canary_list_add },
	{ "list-add-twice", canary_list_add_twice },
	{ "list-del", canary_list_del },
	{ "list-del-twice", canary_list_del_twice },
#endif
#if defined(CONFIG_DEBUG_OBJECTS_FREE) && defined(CONFIG_DEBUG_OBJECTS_TIMERS)
	{ "odebug-free-timer", canary_free_active_timer },
	{ "odebug-init-timer", canary_init_active_timer },
#endif
#if defined(CONFIG_DEBUG_OBJECTS_FREE) && defined(CONFIG_DEBUG_OBJECTS_WORK)
	{ "odebug-free-work", canary_free_active_work },
#endif
	{ "duplicate-name", canary_duplicate_name },
	{ "prose", canary_prose },
	{ }
};
