// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults: locks that are taken in the wrong order, context or state. No task ever
 * deadlocks: lockdep reports the possibility. It reports once per boot.
 */

#include <linux/irqflags.h>
#include <linux/lockdep.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/spinlock.h>

#include "fault.h"

#ifdef CONFIG_PROVE_LOCKING
static DEFINE_MUTEX(fault_first);
static DEFINE_MUTEX(fault_second);
static DEFINE_MUTEX(fault_never_unlocked);
static DEFINE_RAW_SPINLOCK(fault_inner);
static DEFINE_RAW_SPINLOCK(fault_outer);

static void fault_circular(void)
{
	mutex_lock(&fault_first);
	mutex_lock(&fault_second);
	mutex_unlock(&fault_second);
	mutex_unlock(&fault_first);

	mutex_lock(&fault_second);
	mutex_lock(&fault_first);
	mutex_unlock(&fault_first);
	mutex_unlock(&fault_second);
}

struct fault_object {
	struct mutex lock;	/* Protects no data. */
};

/* Two locks of one class, without a nesting annotation. */
static void fault_recursive(void)
{
	struct fault_object objects[2];
	int at;

	for (at = 0; at < 2; at++)
		mutex_init(&objects[at].lock);

	mutex_lock(&objects[0].lock);
	mutex_lock(&objects[1].lock);
	mutex_unlock(&objects[1].lock);
	mutex_unlock(&objects[0].lock);
}

static void fault_take_inner(void)
{
	raw_spin_lock(&fault_inner);
	raw_spin_unlock(&fault_inner);
}

static void fault_take_outer(void)
{
	raw_spin_lock(&fault_outer);
	raw_spin_unlock(&fault_outer);
}

/* The inner lock is taken with interrupts on, and then in an interrupt. */
static void fault_inconsistent(void)
{
	fault_take_inner();
	fault_in_interrupt(fault_take_inner);
}

static void fault_take_both(void)
{
	unsigned long flags;

	raw_spin_lock_irqsave(&fault_outer, flags);
	fault_take_inner();
	raw_spin_unlock_irqrestore(&fault_outer, flags);
}

/* The outer lock is taken in interrupts, and the irq-unsafe inner lock is taken under it. */
static void fault_irq_unsafe(void)
{
	fault_in_interrupt(fault_take_outer);
	fault_take_inner();
	fault_take_both();
}

/* The same dependency, with the use in the interrupt last. */
static void fault_irq_inversion(void)
{
	fault_take_inner();
	fault_take_both();
	fault_in_interrupt(fault_take_outer);
}

static void fault_unbalanced(void)
{
	mutex_unlock(&fault_first);
}

static void fault_held_freed(void)
{
	struct fault_object *object = kzalloc(sizeof(*object), GFP_KERNEL);

	if (!object)
		return;

	mutex_init(&object->lock);
	mutex_lock(&object->lock);
	kfree(object);
}

/* The lock is never released, so a second call must not block on it. */
static void fault_held_in_user_space(void)
{
	(void)mutex_trylock(&fault_never_unlocked);
}

/* A lock that was not initialised. */
static void fault_non_static(void)
{
	struct lockdep_map *map = kzalloc(sizeof(*map), GFP_KERNEL);

	if (!map)
		return;

	lock_map_acquire(map);
	lock_map_release(map);
}
#endif

#ifdef CONFIG_PROVE_RCU
static int fault_number;
static int __rcu *fault_pointer = RCU_INITIALIZER(&fault_number);

static void fault_rcu_usage(void)
{
	(void)READ_ONCE(*rcu_dereference(fault_pointer));
}
#endif

#ifdef CONFIG_PROVE_RAW_LOCK_NESTING
static DEFINE_SPINLOCK(fault_sleeping_on_rt);

static void fault_wait_context(void)
{
	raw_spin_lock(&fault_outer);
	spin_lock(&fault_sleeping_on_rt);
	spin_unlock(&fault_sleeping_on_rt);
	raw_spin_unlock(&fault_outer);
}
#endif

const struct fault fault_locks[] = {
#ifdef CONFIG_PROVE_LOCKING
	{ "lockdep-circular", fault_circular },
	{ "lockdep-recursive", fault_recursive },
	{ "lockdep-inconsistent", fault_inconsistent },
	{ "lockdep-irq-unsafe", fault_irq_unsafe },
	{ "lockdep-irq-inversion", fault_irq_inversion },
	{ "lockdep-unbalanced", fault_unbalanced },
	{ "lockdep-held-freed", fault_held_freed },
	{ "lockdep-held-in-user-space", fault_held_in_user_space },
	{ "lockdep-non-static", fault_non_static },
#endif
#ifdef CONFIG_PROVE_RCU
	{ "lockdep-rcu-usage", fault_rcu_usage },
#endif
#ifdef CONFIG_PROVE_RAW_LOCK_NESTING
	{ "lockdep-wait-context", fault_wait_context },
#endif
	{ }
};
