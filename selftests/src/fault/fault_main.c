// SPDX-License-Identifier: GPL-2.0-only
/*
 * Faults: a kernel that goes wrong when it is told to
 *
 * Whoever looks for a kernel's complaints has to know that they would be seen. A
 * word written to /sys/kernel/debug/fault makes the kernel do what brings one
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

#define FAULT_WORD_MAX	64

static unsigned int settle_ms = 100;
module_param(settle_ms, uint, 0600);
MODULE_PARM_DESC(settle_ms, "Milliseconds between the word about a fault and its inject");

static const struct fault * const faults[] = {
	fault_faults,
	fault_memory,
	fault_objects,
	fault_locks,
	fault_stalls,
	fault_ends,
};

/* Several may be injected at once, and all have one work and one function. */
static DEFINE_MUTEX(fault_interrupt_lock);
static void (*fault_interrupt_function)(void);

static void fault_interrupt(struct irq_work *work)
{
	fault_interrupt_function();
}

void fault_in_interrupt(void (*function)(void))
{
	static struct irq_work work = IRQ_WORK_INIT_HARD(fault_interrupt);

	mutex_lock(&fault_interrupt_lock);
	fault_interrupt_function = function;
	irq_work_queue(&work);
	irq_work_sync(&work);
	mutex_unlock(&fault_interrupt_lock);
}

static const struct fault *fault_find(const char *word)
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

static ssize_t fault_write(struct file *file, const char __user *buf,
			    size_t count, loff_t *ppos)
{
	const struct fault *fault;
	char *text;

	if (count > FAULT_WORD_MAX)
		return -EINVAL;

	text = memdup_user_nul(buf, count);
	if (IS_ERR(text))
		return PTR_ERR(text);

	fault = fault_find(strim(text));
	kfree(text);
	if (!fault)
		return -EINVAL;

	pr_info("pulling %s\n", fault->word);
	/* A console has a thread of its own, which some faults end. */
	msleep(settle_ms);
	fault->inject();

	return count;
}

static int fault_show(struct seq_file *seq, void *unused)
{
	const struct fault *fault;
	size_t list;

	for (list = 0; list < ARRAY_SIZE(faults); list++) {
		for (fault = faults[list]; fault->word; fault++)
			seq_printf(seq, "%s\n", fault->word);
	}

	return 0;
}

static int fault_open(struct inode *inode, struct file *file)
{
	return single_open(file, fault_show, NULL);
}

static const struct file_operations fault_fops = {
	.owner		= THIS_MODULE,
	.open		= fault_open,
	.release	= single_release,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.write		= fault_write,
};

static struct dentry *fault_file;

static int __init fault_init(void)
{
	fault_file = debugfs_create_file("fault", 0600, NULL, NULL,
					  &fault_fops);

	return PTR_ERR_OR_ZERO(fault_file);
}
module_init(fault_init);

static void __exit fault_exit(void)
{
	debugfs_remove(fault_file);
	/* For the callback of a grace period that somebody had begun. */
	rcu_barrier();
}
module_exit(fault_exit);

MODULE_DESCRIPTION("Makes the kernel go wrong when told to, for tests of what looks for that");
MODULE_LICENSE("GPL");
