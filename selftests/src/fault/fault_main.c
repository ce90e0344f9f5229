// SPDX-License-Identifier: GPL-2.0-only
/*
 * Fault injection for testing kernel reports
 *
 * Writing a word to /sys/kernel/debug/fault injects the fault of that name, which
 * makes the kernel print one kind of report. Reading the file lists the available
 * faults, one per line. A fault that only a debug option can detect is available
 * only if the kernel was built with that option, since it would otherwise corrupt
 * memory without a report.
 *
 * The module does not repair the damage. Reboot the machine afterwards.
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
MODULE_PARM_DESC(settle_ms, "Milliseconds between the log line of a fault and the fault");

static const struct fault * const faults[] = {
	fault_faults,
	fault_memory,
	fault_objects,
	fault_locks,
	fault_stalls,
	fault_ends,
};

/* Serializes use of the irq_work, since faults may be injected concurrently. */
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

	pr_info("injecting %s\n", fault->word);
	/* Lets the console thread print the line: some faults stop all threads. */
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
	/* Waits for the callbacks of call_rcu_hurry() in fault_stalls.c. */
	rcu_barrier();
}
module_exit(fault_exit);

MODULE_DESCRIPTION("Fault injection for testing kernel reports");
MODULE_LICENSE("GPL");
