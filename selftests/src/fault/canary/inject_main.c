// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults: a kernel that goes wrong when it is told to
 *
 * Whoever looks for a kernel's complaints has to know that they would be seen. A
 * word written to /sys/kernel/debug/patchbed_inject makes the kernel do what brings one
 * kind of complaint; reading gives the words that this kernel knows, a line each.
 * A kind that needs a detector is there only if the kernel was built with it:
 * without, it would do harm in silence.
 *
 * Nothing is put right afterwards. The machine is to be thrown away.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/debugfs.h>
#include <linux/delay.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/irq_work.h>
#include <linux/kernel.h>
#include <linux/module.h>
#include <linux/moduleparam.h>
#include <linux/mutex.h>
#include <linux/rcupdate.h>
#include <linux/seq_file.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "fault.h"

#define INJECT_WORD_MAX	64

static unsigned int settle_ms = 100;
module_param(settle_ms, uint, 0600);
MODULE_PARM_DESC(settle_ms, "Milliseconds between the word about a fault and its inject");

static const struct fault * const faults[] = {
	inject_faults,
	inject_memory,
	inject_objects,
	inject_locks,
	inject_stalls,
	inject_ends,
};

/* Several may be injected at once, and all have one work and one function. */
static DEFINE_MUTEX(inject_interrupt_lock);
static void (*inject_interrupt_function)(void);

static void inject_interrupt(struct irq_work *work)
{
	inject_interrupt_function();
}

void inject_in_interrupt(void (*function)(void))
{
	static struct irq_work work = IRQ_WORK_INIT_HARD(inject_interrupt);

	mutex_lock(&inject_interrupt_lock);
	inject_interrupt_function = function;
	irq_work_queue(&work);
	irq_work_sync(&work);
	mutex_unlock(&inject_interrupt_lock);
}

static const struct fault *inject_find(const char *word)
{
	const struct fault *fault;
	size_t list;

	for (list = 0; list < ARRAY_SIZE(faults); list++) {
		for (fault = faults[list]; fault->word; fault++) {
			if (!strcmp(fault->word, word))
				return fault;
		}
	}

	return NULL;
}

static ssize_t inject_write(struct file *file, const char __user *buf,
			    size_t count, loff_t *ppos)
{
	const struct fault *fault;
	char *text;

	if (count > INJECT_WORD_MAX)
		return -EINVAL;

	text = memdup_user_nul(buf, count);
	if (IS_ERR(text))
		return PTR_ERR(text);

	fault = inject_find(strim(text));
	kfree(text);
	if (!fault)
		return -EINVAL;

	pr_info("pulling %s\n", fault->word);
	/* A console has a thread of its own, which some faults end. */
	msleep(settle_ms);
	fault->inject();

	return count;
}

static int inject_show(struct seq_file *seq, void *unused)
{
	const struct fault *fault;
	size_t list;

	for (list = 0; list < ARRAY_SIZE(faults); list++) {
		for (fault = faults[list]; fault->word; fault++)
			seq_printf(seq, "%s\n", fault->word);
	}

	return 0;
}

static int inject_open(struct inode *inode, struct file *file)
{
	return single_open(file, inject_show, NULL);
}

static const struct file_operations inject_fops = {
	.owner		= THIS_MODULE,
	.open		= inject_open,
	.release	= single_release,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.write		= inject_write,
};

static struct dentry *inject_file;

static int __init inject_init(void)
{
	inject_file = debugfs_create_file("fault", 0600, NULL, NULL,
					  &inject_fops);

	return PTR_ERR_OR_ZERO(inject_file);
}
module_init(inject_init);

static void __exit inject_exit(void)
{
	debugfs_remove(inject_file);
	/* For the callback of a grace period that somebody had begun. */
	rcu_barrier();
}
module_exit(inject_exit);

MODULE_DESCRIPTION("Makes the kernel go wrong when told to, for tests of what looks for that");
MODULE_LICENSE("GPL");
