// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults: locks that are taken in the wrong order, place or state. No task ever
 * waits: the validator sees what could happen. It speaks once a boot.
 */

#include <linux/irqflags.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "fault.h"

#ifdef CONFIG_PROVE_LOCKING
static DEFINE_MUTEX(inject_first);
static DEFINE_MUTEX(inject_second);
static DEFINE_MUTEX(inject_kept);
static DEFINE_RAW_SPINLOCK(inject_inner);
static DEFINE_RAW_SPINLOCK(inject_outer);

static void inject_circular(void)
{
	mutex_lock(&inject_first);
	mutex_lock(&inject_second);
	mutex_unlock(&inject_second);
	mutex_unlock(&inject_first);

	mutex_lock(&inject_second);
	mutex_lock(&inject_first);
	mutex_unlock(&inject_first);
	mutex_unlock(&inject_second);
}

struct fault_door {
	struct mutex lock;	/* Keeps nothing. */
};

/* Two locks of one class: nothing says which comes first. */
static void inject_recursive(void)
{
	struct fault_door doors[2];
	int at;

	for (at = 0; at < 2; at++)
		mutex_init(&doors[at].lock);

	mutex_lock(&doors[0].lock);
	mutex_lock(&doors[1].lock);
	mutex_unlock(&doors[1].lock);
	mutex_unlock(&doors[0].lock);
}

static void inject_take_inner(void)
{
	raw_spin_lock(&inject_inner);
	raw_spin_unlock(&inject_inner);
}

static void inject_take_outer(void)
{
	raw_spin_lock(&inject_outer);
	raw_spin_unlock(&inject_outer);
}

/* The inner one with interrupts on, and then in an interrupt. */
static void inject_inconsistent(void)
{
	inject_take_inner();
	inject_in_interrupt(inject_take_inner);
}

static void inject_take_both(void)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&inject_outer, flags);
	inject_take_inner();
	raw_spin_unlock_irqrestore(&inject_outer, flags);
}

/* The outer one is taken in interrupts, and waits for one that is not safe there. */
static void inject_irq_unsafe(void)
{
	inject_in_interrupt(inject_take_outer);
	inject_take_inner();
	inject_take_both();
}

/* The same, with the interrupt coming last. */
static void inject_irq_inversion(void)
{
	inject_take_inner();
	inject_take_both();
	inject_in_interrupt(inject_take_outer);
}

static void inject_unbalanced(void)
{
	mutex_unlock(&inject_first);
}

static void inject_held_freed(void)
{
	struct fault_door *door = kzalloc(sizeof(*door), GFP_KERNEL);

	if (!door)
		return;

	mutex_init(&door->lock);
	mutex_lock(&door->lock);
	kfree(door);
}

/* It is never given back, and whoever comes again must not wait for it. */
static void inject_held_in_user_space(void)
{
	(void)mutex_trylock(&inject_kept);
}

/* A lock that nobody initialised. */
static void inject_non_static(void)
{
	struct lockdep_map *map = kzalloc(sizeof(*map), GFP_KERNEL);

	if (!map)
		return;

	lock_map_acquire(map);
	lock_map_release(map);
}
#endif

#ifdef CONFIG_PROVE_RCU
static int inject_number;
static int __rcu *inject_pointer = RCU_INITIALIZER(&inject_number);

static void inject_rcu_usage(void)
{
	(void)READ_ONCE(*rcu_dereference(inject_pointer));
}
#endif

#ifdef CONFIG_PROVE_RAW_LOCK_NESTING
static DEFINE_SPINLOCK(inject_sleeping_on_rt);

static void inject_wait_context(void)
{
	raw_spin_lock(&inject_outer);
	spin_lock(&inject_sleeping_on_rt);
	spin_unlock(&inject_sleeping_on_rt);
	raw_spin_unlock(&inject_outer);
}
#endif

const struct fault inject_locks[] = {
#ifdef CONFIG_PROVE_LOCKING
	{ "lockdep-circular", inject_circular },
	{ "lockdep-recursive", inject_recursive },
	{ "lockdep-inconsistent", inject_inconsistent },
	{ "lockdep-irq-unsafe", inject_irq_unsafe },
	{ "lockdep-irq-inversion", inject_irq_inversion },
	{ "lockdep-unbalanced", inject_unbalanced },
	{ "lockdep-held-freed", inject_held_freed },
	{ "lockdep-held-in-user-space", inject_held_in_user_space },
	{ "lockdep-non-static", inject_non_static },
#endif
#ifdef CONFIG_PROVE_RCU
	{ "lockdep-rcu-usage", inject_rcu_usage },
#endif
#ifdef CONFIG_PROVE_RAW_LOCK_NESTING
	{ "lockdep-wait-context", inject_wait_context },
#endif
	{ }
};
