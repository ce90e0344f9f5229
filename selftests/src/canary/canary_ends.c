// SPDX-License-Identifier: GPL-2.0-only
/* Canaries: ends of the whole machine. */

#include <linux/compiler.h>
#include <linux/delay.h>
#include <linux/irqflags.h>
#include <linux/objtool.h>
#include <linux/panic.h>
#include <linux/reboot.h>
#include <linux/smp.h>

#include "canary.h"

#ifdef CONFIG_X86_64
#include <asm/desc.h>
#endif

#define CANARY_FRAME_BYTES	512

static void canary_panic(void)
{
	panic("the canary is dead");
}

static void canary_panic_in_interrupt(void)
{
	canary_in_interrupt(canary_panic);
}

static void canary_stand_still(void *unused)
{
	unsigned long flags;

	local_irq_save(flags);
	for (;;)
		cpu_relax();
}

/* No processor does anything any more, not even serve an interrupt. */
static void canary_hang(void)
{
	smp_call_function(canary_stand_still, NULL, 0);
	canary_stand_still(NULL);
}

/* The machine starts anew, and nobody says why. */
static void canary_silent_reset(void)
{
	emergency_restart();
}

#ifdef CONFIG_X86_64
/* A fault that nobody can handle, nor the fault in handling it, resets a processor. */
static void canary_silent_death(void)
{
	const struct desc_ptr nothing = { };

	local_irq_disable();
	load_idt(&nothing);
	asm volatile("int3");
}

/* Without a stack, a fault cannot be handled as such. */
static void canary_double_fault(void)
{
	asm volatile("xorl %%esp, %%esp\n\t"
		     "pushq $0" : : : "memory");
}

STACK_FRAME_NON_STANDARD(canary_double_fault);
#endif

#ifdef CONFIG_VMAP_STACK
static noinline int canary_descend(int depth)
{
	char frame[CANARY_FRAME_BYTES];
	int below = 0;

	WRITE_ONCE(frame[depth % CANARY_FRAME_BYTES], depth);
	if (depth)
		below = canary_descend(depth - 1);

	return below + READ_ONCE(frame[depth % CANARY_FRAME_BYTES]);
}

/* Further than any stack is long. */
static void canary_stack_overflow(void)
{
	canary_descend(1000);
}
#endif

const struct canary canary_ends[] = {
	{ "panic", canary_panic },
	{ "panic-in-interrupt", canary_panic_in_interrupt },
	{ "hang", canary_hang },
	{ "silent-reset", canary_silent_reset },
#ifdef CONFIG_X86_64
	{ "silent-death", canary_silent_death },
	{ "double-fault", canary_double_fault },
#endif
#ifdef CONFIG_VMAP_STACK
	{ "stack-overflow", canary_stack_overflow },
#endif
	{ }
};
