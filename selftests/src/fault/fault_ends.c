// SPDX-License-Identifier: GPL-2.0-only
/* Faults that end the machine. */

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

static void fault_spin_forever(void *unused)
{
	unsigned long flags;

	local_irq_save(flags);
	for (;;)
		cpu_relax();
}

/* All CPUs spin with interrupts off. */
static void fault_hang(void)
{
	smp_call_function(fault_spin_forever, NULL, 0);
	fault_spin_forever(NULL);
}

/* The machine reboots without a kernel report. */
static void fault_silent_reset(void)
{
	emergency_restart();
}

#ifdef CONFIG_X86_64
/* With an empty IDT, the breakpoint escalates to a triple fault, which resets the CPU. */
static void fault_silent_death(void)
{
	const struct desc_ptr no_idt = { };

	local_irq_disable();
	load_idt(&no_idt);
	asm volatile("int3");
}

/* The page fault of the push has no stack for its frame. */
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

/* 1000 frames of 512 bytes exceed any stack size. */
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
