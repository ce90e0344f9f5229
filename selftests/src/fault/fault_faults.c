// SPDX-License-Identifier: GPL-2.0-only
/* Faults: failed assertions and CPU exceptions. */

#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/spinlock.h>
#include <linux/vmalloc.h>

#include "fault.h"

/* A non-canonical address, like LIST_POISON1. */
#define FAULT_NO_ADDRESS	0xdead000000000100UL

static void fault_warn(void)
{
	WARN_ON(1);
}

static void fault_warn_message(void)
{
	WARN_ONCE(1, "fault %d: warning with a message\n", 7);
}

static void fault_bug(void)
{
	BUG();
}

static void fault_bug_in_interrupt(void)
{
	fault_in_interrupt(fault_bug);
}

static void fault_read(unsigned long address)
{
	OPTIMIZER_HIDE_VAR(address);
	(void)READ_ONCE(*(u8 *)address);
}

static void fault_write_to(unsigned long address)
{
	OPTIMIZER_HIDE_VAR(address);
	WRITE_ONCE(*(u8 *)address, 1);
}

static void fault_null(void)
{
	fault_read(8);
}

static void fault_null_write(void)
{
	fault_write_to(8);
}

static void fault_null_call(void)
{
	void (*function)(void) = NULL;

	OPTIMIZER_HIDE_VAR(function);
	function();
}

/*
 * The guard page behind a vmalloc area is not mapped. The access is not instrumented, so
 * that the CPU reports it and not KASAN.
 */
static void __no_sanitize_address fault_page_fault(void)
{
	char *bytes = vmalloc(PAGE_SIZE);

	if (!bytes)
		return;

	OPTIMIZER_HIDE_VAR(bytes);
	(void)READ_ONCE(bytes[PAGE_SIZE]);
	vfree(bytes);
}

#ifdef CONFIG_STRICT_MODULE_RWX
static void fault_read_only(void)
{
	fault_write_to((unsigned long)fault_faults);
}
#endif

static void fault_gpf(void)
{
	fault_read(FAULT_NO_ADDRESS);
}

/* Keeps the results of computations alive. */
static int fault_sink;

static void fault_divide(void)
{
	int zero = 0;

	OPTIMIZER_HIDE_VAR(zero);
	WRITE_ONCE(fault_sink, 7 / zero);
}

#ifdef CONFIG_UBSAN_SHIFT
static void fault_ubsan_shift(void)
{
	int by = 40;

	OPTIMIZER_HIDE_VAR(by);
	WRITE_ONCE(fault_sink, 1 << by);
}
#endif

#ifdef CONFIG_UBSAN_BOUNDS
static void fault_ubsan_index(void)
{
	static int numbers[8];
	int index = 9;

	OPTIMIZER_HIDE_VAR(index);
	/* The index is checked when the value is read, not when its address is taken. */
	WRITE_ONCE(fault_sink, numbers[index]);
}
#endif

#ifdef CONFIG_DEBUG_ATOMIC_SLEEP
static void fault_atomic_sleep(void)
{
	preempt_disable();
	might_sleep();
	preempt_enable();
}
#endif

#ifdef CONFIG_PREEMPT_COUNT
static void fault_atomic_schedule(void)
{
	preempt_disable();
	schedule_timeout_uninterruptible(1);
	/* The scheduler resets the preempt count after its report: no preempt_enable() here. */
}
#endif

/* Allocates blocks of the largest order until an allocation fails. */
static void fault_allocation_failure(void)
{
	struct page *page;
	LIST_HEAD(pages);

	do {
		page = alloc_pages(__GFP_HIGH, MAX_PAGE_ORDER);
		if (page)
			list_add(&page->lru, &pages);
	} while (page);

	while (!list_empty(&pages)) {
		page = list_first_entry(&pages, struct page, lru);
		list_del(&page->lru);
		__free_pages(page, MAX_PAGE_ORDER);
	}
}

#ifdef CONFIG_DEBUG_VM
static void fault_bad_page(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	if (!page)
		return;

	page->mapping = (struct address_space *)FAULT_NO_ADDRESS;
	__free_page(page);
}
#endif

const struct fault fault_faults[] = {
	{ "warn", fault_warn },
	{ "warn-message", fault_warn_message },
	{ "bug", fault_bug },
	{ "bug-in-interrupt", fault_bug_in_interrupt },
	{ "null", fault_null },
	{ "null-write", fault_null_write },
	{ "null-call", fault_null_call },
	{ "page-fault", fault_page_fault },
#ifdef CONFIG_STRICT_MODULE_RWX
	{ "read-only", fault_read_only },
#endif
	{ "gpf", fault_gpf },
	{ "divide", fault_divide },
#ifdef CONFIG_UBSAN_SHIFT
	{ "ubsan-shift", fault_ubsan_shift },
#endif
#ifdef CONFIG_UBSAN_BOUNDS
	{ "ubsan-index", fault_ubsan_index },
#endif
#ifdef CONFIG_DEBUG_ATOMIC_SLEEP
	{ "atomic-sleep", fault_atomic_sleep },
#endif
#ifdef CONFIG_PREEMPT_COUNT
	{ "atomic-schedule", fault_atomic_schedule },
#endif
	{ "allocation-failure", fault_allocation_failure },
#ifdef CONFIG_DEBUG_VM
	{ "bad-page", fault_bad_page },
#endif
	{ }
};
