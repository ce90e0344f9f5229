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

#define INJECT_FRAME_BYTES	512

static void inject_panic(void)
{
	panic("the fault is dead");
}

static void inject_panic_in_interrupt(void)
{
	inject_in_interrupt(inject_panic);
}

static void inject_stand_still(void *unused)
{
	unsigned long flags;

	local_irq_save(flags);
	for (;;)
		cpu_relax();
}

/* No processor does anything any more, not even serve an interrupt. */
static void inject_hang(void)
{
	smp_call_function(inject_stand_still, NULL, 0);
	inject_stand_still(NULL);
}

/* The machine starts anew, and nobody says why. */
static void inject_silent_reset(void)
{
	emergency_restart();
}

#ifdef CONFIG_X86_64
/* A fault that nobody can handle, nor the fault in handling it, resets a processor. */
static void inject_silent_death(void)
{
	const struct desc_ptr nothing = { };

	local_irq_disable();
	load_idt(&nothing);
	asm volatile("int3");
}

/* Without a stack, a fault cannot be handled as such. */
static void inject_double_fault(void)
{
	asm volatile("xorl %%esp, %%esp\n\t"
		     "pushq $0" : : : "memory");
}

STACK_FRAME_NON_STANDARD(inject_double_fault);
#endif

#ifdef CONFIG_VMAP_STACK
static noinline int inject_descend(int depth)
{
	char frame[INJECT_FRAME_BYTES];
	int below = 0;

	WRITE_ONCE(frame[depth % INJECT_FRAME_BYTES], depth);
	if (depth)
		below = inject_descend(depth - 1);

	return below + READ_ONCE(frame[depth % INJECT_FRAME_BYTES]);
}

/* Further than any stack is long. */
static void inject_stack_overflow(void)
{
	inject_descend(1000);
}
#endif

const struct fault inject_ends[] = {
	{ "panic", inject_panic },
	{ "panic-in-interrupt", inject_panic_in_interrupt },
	{ "hang", inject_hang },
	{ "silent-reset", inject_silent_reset },
#ifdef CONFIG_X86_64
	{ "silent-death", inject_silent_death },
	{ "double-fault", inject_double_fault },
#endif
#ifdef CONFIG_VMAP_STACK
	{ "stack-overflow", inject_stack_overflow },
#endif
	{ }
};
