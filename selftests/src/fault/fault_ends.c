// SPDX-License-Identifier: GPL-2.0-only
/* Faults: ends of the whole machine. */

#include <linux/compiler.h>
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/objtool.h>
#include <linux/panic.h>
#include <linux/reboot.h>
#include <linux/smp.h>

#include "fault.h"

#ifdef CONFIG_X86_64
#include <asm/desc.h>
#endif

#define FAULT_FRAME_BYTES	512

static void fault_panic(void)
{
	panic("the fault is dead");
}

static void fault_panic_in_interrupt(void)
{
	fault_in_interrupt(fault_panic);
}

static void fault_stand_still(void *unused)
{
	unsigned long flags;

	local_irq_save(flags);
	for (;;)
		cpu_relax();
}

/* No processor does anything any more, not even serve an interrupt. */
static void fault_hang(void)
{
	smp_call_function(fault_stand_still, NULL, 0);
	fault_stand_still(NULL);
}

/* The machine starts anew, and nobody says why. */
static void fault_silent_reset(void)
{
	emergency_restart();
}

#ifdef CONFIG_X86_64
/* A fault that nobody can handle, nor the fault in handling it, resets a processor. */
static void fault_silent_death(void)
{
	const struct desc_ptr nothing = { };

	local_irq_disable();
	load_idt(&nothing);
	asm volatile("int3");
}

/* Without a stack, a fault cannot be handled as such. */
static void fault_double_fault(void)
{
	asm volatile("xorl %%esp, %%esp\n\t"
		     "pushq $0" : : : "memory");
}

STACK_FRAME_NON_STANDARD(fault_double_fault);
#endif

#ifdef CONFIG_VMAP_STACK
static noinline int fault_descend(int depth)
{
	char frame[FAULT_FRAME_BYTES];
	int below = 0;

	WRITE_ONCE(frame[depth % FAULT_FRAME_BYTES], depth);
	if (depth)
		below = fault_descend(depth - 1);

	return below + READ_ONCE(frame[depth % FAULT_FRAME_BYTES]);
}

/* Further than any stack is long. */
static void fault_stack_overflow(void)
{
	fault_descend(1000);
}
#endif

const struct fault fault_ends[] = {
	{ "panic", fault_panic },
	{ "panic-in-interrupt", fault_panic_in_interrupt },
	{ "hang", fault_hang },
	{ "silent-reset", fault_silent_reset },
#ifdef CONFIG_X86_64
	{ "silent-death", fault_silent_death },
	{ "double-fault", fault_double_fault },
#endif
#ifdef CONFIG_VMAP_STACK
	{ "stack-overflow", fault_stack_overflow },
#endif
	{ }
};
