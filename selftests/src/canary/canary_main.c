// SPDX-License-Identifier: GPL-2.0-only
/*
 * Canaries: a kernel that goes wrong when it is told to
 *
 * Whoever looks for a kernel's complaints has to know that they would be seen. A
 * word written to /sys/kernel/debug/canary makes the kernel do what brings one
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

#include "canary.h"

#define CANARY_WORD_MAX	64

static unsigned int settle_ms = 100;
module_param(settle_ms, uint, 0600);
MODULE_PARM_DESC(settle_ms, "Milliseconds between the word about a canary and its pull");

static const struct canary * const canaries[] = {
	canary_faults,
	canary_memory,
	canary_objects,
	canary_locks,
	canary_stalls,
	canary_ends,
};

/* Several may be pulled at once, and all have one work and one function. */
static DEFINE_MUTEX(canary_interrupt_lock);
static void (*canary_interrupt_function)(void);

static void canary_interrupt(struct irq_work *work)
{
	canary_interrupt_function();
}

void canary_in_interrupt(void (*function)(void))
{
	static struct irq_work work = IRQ_WORK_INIT_HARD(canary_interrupt);

	mutex_lock(&canary_interrupt_lock);
	canary_interrupt_function = function;
	irq_work_queue(&work);
	irq_work_sync(&work);
	mutex_unlock(&canary_interrupt_lock);
}

static const struct canary *canary_find(const char *word)
{
	const struct canary *canary;
	size_t list;

	for (list = 0; list < ARRAY_SIZE(canaries); list++) {
		for (canary = canaries[list]; canary->word; canary++) {
			if (!strcmp(canary->word, word))
				return canary;
		}
	}

	return NULL;
}

static ssize_t canary_write(struct file *file, const char __user *buf,
			    size_t count, loff_t *ppos)
{
	const struct canary *canary;
	char *text;

	if (count > CANARY_WORD_MAX)
		return -EINVAL;

	text = memdup_user_nul(buf, count);
	if (IS_ERR(text))
		return PTR_ERR(text);

	canary = canary_find(strim(text));
	kfree(text);
	if (!canary)
		return -EINVAL;

	pr_info("pulling %s\n", canary->word);
	/* A console has a thread of its own, which some canaries end. */
	msleep(settle_ms);
	canary->pull();

	return count;
}

static int canary_show(struct seq_file *seq, void *unused)
{
	const struct canary *canary;
	size_t list;

	for (list = 0; list < ARRAY_SIZE(canaries); list++) {
		for (canary = canaries[list]; canary->word; canary++)
			seq_printf(seq, "%s\n", canary->word);
	}

	return 0;
}

static int canary_open(struct inode *inode, struct file *file)
{
	return single_open(file, canary_show, NULL);
}

static const struct file_operations canary_fops = {
	.owner		= THIS_MODULE,
	.open		= canary_open,
	.release	= single_release,
	.read		= seq_read,
	.llseek		= seq_lseek,
	.write		= canary_write,
};

static struct dentry *canary_file;

static int __init canary_init(void)
{
	canary_file = debugfs_create_file("canary", 0600, NULL, NULL,
					  &canary_fops);

	return PTR_ERR_OR_ZERO(canary_file);
}
module_init(canary_init);

static void __exit canary_exit(void)
{
	debugfs_remove(canary_file);
	/* For the callback of a grace period that somebody had begun. */
	rcu_barrier();
}
module_exit(canary_exit);

MODULE_DESCRIPTION("Makes the kernel go wrong when told to, for tests of what looks for that");
MODULE_LICENSE("GPL");
