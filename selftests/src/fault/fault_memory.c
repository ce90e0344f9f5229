// SPDX-License-Identifier: GPL-2.0-only
/* Faults: invalid memory accesses and leaks. */

#include <linux/compiler.h>
#include <linux/gfp.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/vmalloc.h>

#include "fault.h"

#define FAULT_BYTES	64

#ifdef CONFIG_KASAN
static char fault_global[FAULT_BYTES];

static char *fault_allocate(void)
{
	char *bytes = kzalloc(FAULT_BYTES, GFP_KERNEL);

	OPTIMIZER_HIDE_VAR(bytes);

	return bytes;
}

static void fault_use_after_free(void)
{
	char *bytes = fault_allocate();

	kfree(bytes);
	OPTIMIZER_HIDE_VAR(bytes);
	(void)READ_ONCE(bytes[8]);
}

static void fault_write_after_free(void)
{
	char *bytes = fault_allocate();

	kfree(bytes);
	OPTIMIZER_HIDE_VAR(bytes);
	WRITE_ONCE(bytes[8], 1);
}

static void fault_out_of_bounds(void)
{
	char *bytes = fault_allocate();
	size_t index = FAULT_BYTES;

	OPTIMIZER_HIDE_VAR(index);
	(void)READ_ONCE(bytes[index]);
	kfree(bytes);
}

static void fault_memset_out_of_bounds(void)
{
	char *bytes = fault_allocate();
	size_t length = FAULT_BYTES + 8;

	OPTIMIZER_HIDE_VAR(length);
	memset(bytes, 0, length);
	kfree(bytes);
}

static void fault_double_free(void)
{
	char *bytes = fault_allocate();

	kfree(bytes);
	OPTIMIZER_HIDE_VAR(bytes);
	kfree(bytes);
}

static void fault_invalid_free(void)
{
	char *bytes = fault_allocate();

	kfree(bytes + 8);
}

static void fault_global_out_of_bounds(void)
{
	size_t index = FAULT_BYTES + 2;
	char *bytes = fault_global;

	OPTIMIZER_HIDE_VAR(bytes);
	OPTIMIZER_HIDE_VAR(index);
	(void)READ_ONCE(bytes[index]);
}
#endif

#ifdef CONFIG_KASAN_STACK
static void fault_stack_out_of_bounds(void)
{
	char there[FAULT_BYTES];
	size_t index = FAULT_BYTES + 2;
	char *bytes = there;

	OPTIMIZER_HIDE_VAR(bytes);
	OPTIMIZER_HIDE_VAR(index);
	(void)READ_ONCE(bytes[index]);
}
#endif

#ifdef CONFIG_KASAN_VMALLOC
static void fault_vmalloc_out_of_bounds(void)
{
	char *bytes = vmalloc(FAULT_BYTES);
	size_t index = FAULT_BYTES + 2;

	if (!bytes)
		return;

	OPTIMIZER_HIDE_VAR(bytes);
	OPTIMIZER_HIDE_VAR(index);
	(void)READ_ONCE(bytes[index]);
	vfree(bytes);
}
#endif

#ifdef CONFIG_DEBUG_KMEMLEAK
/* Several objects, since a stale pointer on a stack may hide one of them. */
static void fault_leak(void)
{
	int count;

	for (count = 0; count < 16; count++)
		barrier_data(kzalloc(FAULT_BYTES, GFP_KERNEL));
}
#endif

#ifdef CONFIG_SLUB_DEBUG
#define FAULT_SLAB_FLAGS \
	(SLAB_CONSISTENCY_CHECKS | SLAB_RED_ZONE | SLAB_POISON | SLAB_NO_MERGE)

/* Not instrumented, so that the allocator reports the write and not KASAN. */
static void __no_sanitize_address fault_spoil(char *byte)
{
	OPTIMIZER_HIDE_VAR(byte);
	WRITE_ONCE(*byte, 1);
}

/* Freed memory is written to, and then allocated again. */
static void fault_slab_poison(void)
{
	struct kmem_cache *cache;
	char *bytes, *neighbour;

	cache = kmem_cache_create("fault", FAULT_BYTES, 0, FAULT_SLAB_FLAGS,
				  NULL);
	if (!cache)
		return;

	bytes = kmem_cache_alloc(cache, GFP_KERNEL);
	/* Keeps the slab page of the first object allocated. */
	neighbour = kmem_cache_alloc(cache, GFP_KERNEL);
	if (!bytes || !neighbour)
		return;

	kmem_cache_free(cache, bytes);
	/* Flushes the deferred free. */
	kmem_cache_shrink(cache);
	fault_spoil(bytes + 8);
	bytes = kmem_cache_alloc(cache, GFP_KERNEL);

	kmem_cache_free(cache, bytes);
	kmem_cache_free(cache, neighbour);
	kmem_cache_destroy(cache);
}

/* The byte behind an object is written to, and the object is freed. */
static void fault_slab_redzone(void)
{
	struct kmem_cache *cache;
	char *bytes;

	cache = kmem_cache_create("fault", FAULT_BYTES, 0, FAULT_SLAB_FLAGS,
				  NULL);
	if (!cache)
		return;

	bytes = kmem_cache_alloc(cache, GFP_KERNEL);
	if (!bytes)
		return;

	fault_spoil(bytes + FAULT_BYTES);
	kmem_cache_free(cache, bytes);
	kmem_cache_destroy(cache);
}

/* A cache is destroyed while an object of it is still allocated. */
static void fault_slab_object_left(void)
{
	struct kmem_cache *cache;

	cache = kmem_cache_create("fault", FAULT_BYTES, 0, FAULT_SLAB_FLAGS,
				  NULL);
	if (!cache)
		return;

	barrier_data(kmem_cache_alloc(cache, GFP_KERNEL));
	kmem_cache_destroy(cache);
}
#endif

const struct fault fault_memory[] = {
#ifdef CONFIG_KASAN
	{ "kasan-use-after-free", fault_use_after_free },
	{ "kasan-write-after-free", fault_write_after_free },
	{ "kasan-out-of-bounds", fault_out_of_bounds },
	{ "kasan-memset-out-of-bounds", fault_memset_out_of_bounds },
	{ "kasan-double-free", fault_double_free },
	{ "kasan-invalid-free", fault_invalid_free },
	{ "kasan-global-out-of-bounds", fault_global_out_of_bounds },
#endif
#ifdef CONFIG_KASAN_STACK
	{ "kasan-stack-out-of-bounds", fault_stack_out_of_bounds },
#endif
#ifdef CONFIG_KASAN_VMALLOC
	{ "kasan-vmalloc-out-of-bounds", fault_vmalloc_out_of_bounds },
#endif
#ifdef CONFIG_DEBUG_KMEMLEAK
	{ "leak", fault_leak },
#endif
#ifdef CONFIG_SLUB_DEBUG
	{ "slab-poison", fault_slab_poison },
	{ "slab-redzone", fault_slab_redzone },
	{ "slab-object-left", fault_slab_object_left },
#endif
	{ }
};
