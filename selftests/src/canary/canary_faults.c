// SPDX-License-Identifier: GPL-2.0-only
/* Canaries: what the kernel asserts, and what the processor refuses. */

#include <linux/bug.h>
#include <linux/compiler.h>
#include <linux/gfp.h>
#include <linux/kernel.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/preempt.h>
#include <linux/sched.h>
#include <linux/spinlock.h>

#include "canary.h"

/* Between user space and the kernel's part: mapped nowhere. */
#define CANARY_UNMAPPED		0xffff800000000000UL
/* No address at all, and such as freed memory may hold. */
#define CANARY_NO_ADDRESS	0xdead000000000100UL

static void canary_warn(void)
{
	WARN_ON(1);
}

static void canary_warn_message(void)
{
	WARN_ONCE(1, "canary %d has something to say\n", 7);
}

static void canary_bug(void)
{
	BUG();
}

static void canary_bug_in_interrupt(void)
{
	canary_in_interrupt(canary_bug);
}

static void canary_read(unsigned long address)
{
	OPTIMIZER_HIDE_VAR(address);
	(void)READ_ONCE(*(u8 *)address);
}

static void canary_write_to(unsigned long address)
{
	OPTIMIZER_HIDE_VAR(address);
	WRITE_ONCE(*(u8 *)address, 1);
}

static void canary_null(void)
{
	canary_read(8);
}

static void canary_null_write(void)
{
	canary_write_to(8);
}

static void canary_null_call(void)
{
	void (*function)(void) = NULL;

	OPTIMIZER_HIDE_VAR(function);
	function();
}

static void canary_page_fault(void)
{
	canary_read(CANARY_UNMAPPED);
}

static void canary_read_only(void)
{
	canary_write_to((unsigned long)canary_faults);
}

static void canary_gpf(void)
{
	canary_read(CANARY_NO_ADDRESS);
}

/* For what is worked out to no end. */
static int canary_sink;

static void canary_divide(void)
{
	int zero = 0;

	OPTIMIZER_HIDE_VAR(zero);
	WRITE_ONCE(canary_sink, 7 / zero);
}

#ifdef CONFIG_UBSAN_SHIFT
static void canary_ubsan_shift(void)
{
	int by = 40;

	OPTIMIZER_HIDE_VAR(by);
	WRITE_ONCE(canary_sink, 1 << by);
}
#endif

#ifdef CONFIG_UBSAN_BOUNDS
static void canary_ubsan_index(void)
{
	static int numbers[8];
	int index = 9;

	OPTIMIZER_HIDE_VAR(index);
	WRITE_ONCE(numbers[index - 1], index);
}
#endif

#ifdef CONFIG_DEBUG_ATOMIC_SLEEP
static void canary_atomic_sleep(void)
{
	preempt_disable();
	might_sleep();
	preempt_enable();
}
#endif

static void canary_atomic_schedule(void)
{
	preempt_disable();
	schedule_timeout_uninterruptible(1);
	preempt_enable();
}

/* Takes the largest blocks until there is none. */
static void canary_allocation_failure(void)
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
static void canary_bad_page(void)
{
	struct page *page = alloc_page(GFP_KERNEL);

	if (!page)
		return;

	page->mapping = (struct address_space *)CANARY_NO_ADDRESS;
	__free_page(page);
}
#endif

const struct canary canary_faults[] = {
	{ "warn", canary_warn },
	{ "warn-message", canary_warn_message },
	{ "bug", canary_bug },
	{ "bug-in-interrupt", canary_bug_in_interrupt },
	{ "null", canary_null },
	{ "null-write", canary_null_write },
	{ "null-call", canary_null_call },
	{ "page-fault", canary_page_fault },
	{ "read-only", canary_read_only },
	{ "gpf", canary_gpf },
	{ "divide", canary_divide },
#ifdef CONFIG_UBSAN_SHIFT
	{ "ubsan-shift", canary_ubsan_shift },
#endif
#ifdef CONFIG_UBSAN_BOUNDS
	{ "ubsan-index", canary_ubsan_index },
#endif
#ifdef CONFIG_DEBUG_ATOMIC_SLEEP
	{ "atomic-sleep", canary_atomic_sleep },
#endif
	{ "atomic-schedule", canary_atomic_schedule },
	{ "allocation-failure", canary_allocation_failure },
#ifdef CONFIG_DEBUG_VM
	{ "bad-page", canary_bad_page },
#endif
	{ }
};
