// SPDX-License-Identifier: GPL-2.0-only
/*
 * Canaries: locks that are taken in the wrong order, place or state. No task ever
 * waits: the validator sees what could happen. It speaks once a boot.
 */

#include <linux/irqflags.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "canary.h"

#ifdef CONFIG_PROVE_LOCKING
static DEFINE_MUTEX(canary_first);
static DEFINE_MUTEX(canary_second);
static DEFINE_MUTEX(canary_kept);
static DEFINE_RAW_SPINLOCK(canary_inner);
static DEFINE_RAW_SPINLOCK(canary_outer);

static void canary_circular(void)
{
	mutex_lock(&canary_first);
	mutex_lock(&canary_second);
	mutex_unlock(&canary_second);
	mutex_unlock(&canary_first);

	mutex_lock(&canary_second);
	mutex_lock(&canary_first);
	mutex_unlock(&canary_first);
	mutex_unlock(&canary_second);
}

struct canary_door {
	struct mutex lock;	/* Keeps nothing. */
};

/* Two locks of one class: nothing says which comes first. */
static void canary_recursive(void)
{
	struct canary_door doors[2];
	int at;

	for (at = 0; at < 2; at++)
		mutex_init(&doors[at].lock);

	mutex_lock(&doors[0].lock);
	mutex_lock(&doors[1].lock);
	mutex_unlock(&doors[1].lock);
	mutex_unlock(&doors[0].lock);
}

static void canary_take_inner(void)
{
	raw_spin_lock(&canary_inner);
	raw_spin_unlock(&canary_inner);
}

static void canary_take_outer(void)
{
	raw_spin_lock(&canary_outer);
	raw_spin_unlock(&canary_outer);
}

/* The inner one with interrupts on, and then in an interrupt. */
static void canary_inconsistent(void)
{
	canary_take_inner();
	canary_in_interrupt(canary_take_inner);
}

static void canary_take_both(void)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&canary_outer, flags);
	canary_take_inner();
	raw_spin_unlock_irqrestore(&canary_outer, flags);
}

/* The outer one is taken in interrupts, and waits for one that is not safe there. */
static void canary_irq_unsafe(void)
{
	canary_in_interrupt(canary_take_outer);
	canary_take_inner();
	canary_take_both();
}

/* The same, with the interrupt coming last. */
static void canary_irq_inversion(void)
{
	canary_take_inner();
	canary_take_both();
	canary_in_interrupt(canary_take_outer);
}

static void canary_unbalanced(void)
{
	mutex_unlock(&canary_first);
}

static void canary_held_freed(void)
{
	struct canary_door *door = kzalloc(sizeof(*door), GFP_KERNEL);

	if (!door)
		return;

	mutex_init(&door->lock);
	mutex_lock(&door->lock);
	kfree(door);
}

/* It is never given back, and whoever comes again must not wait for it. */
static void canary_held_in_user_space(void)
{
	(void)mutex_trylock(&canary_kept);
}

/* A lock that nobody initialised. */
static void canary_non_static(void)
{
	struct lockdep_map *map = kzalloc(sizeof(*map), GFP_KERNEL);

	if (!map)
		return;

	lock_map_acquire(map);
	lock_map_release(map);
}
#endif

#ifdef CONFIG_PROVE_RCU
static int canary_number;
static int __rcu *canary_pointer = RCU_INITIALIZER(&canary_number);

static void canary_rcu_usage(void)
{
	(void)READ_ONCE(*rcu_dereference(canary_pointer));
}
#endif

#ifdef CONFIG_PROVE_RAW_LOCK_NESTING
static DEFINE_SPINLOCK(canary_sleeping_on_rt);

static void canary_wait_context(void)
{
	raw_spin_lock(&canary_outer);
	spin_lock(&canary_sleeping_on_rt);
	spin_unlock(&canary_sleeping_on_rt);
	raw_spin_unlock(&canary_outer);
}
#endif

const struct canary canary_locks[] = {
#ifdef CONFIG_PROVE_LOCKING
	{ "lockdep-circular", canary_circular },
	{ "lockdep-recursive", canary_recursive },
	{ "lockdep-inconsistent", canary_inconsistent },
	{ "lockdep-irq-unsafe", canary_irq_unsafe },
	{ "lockdep-irq-inversion", canary_irq_inversion },
	{ "lockdep-unbalanced", canary_unbalanced },
	{ "lockdep-held-freed", canary_held_freed },
	{ "lockdep-held-in-user-space", canary_held_in_user_space },
	{ "lockdep-non-static", canary_non_static },
#endif
#ifdef CONFIG_PROVE_RCU
	{ "lockdep-rcu-usage", canary_rcu_usage },
#endif
#ifdef CONFIG_PROVE_RAW_LOCK_NESTING
	{ "lockdep-wait-context", canary_wait_context },
#endif
	{ }
};
