// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sync points: hold a task in a kernel function
 *
 * A race between two tasks can be tested deterministically if one of them is
 * held at a known place until the other has done its part. This module holds
 * tasks with kprobes, in a kernel that is not patched for it.
 *
 * Each open file of /sys/kernel/debug/sync_point is one sync point, for one
 * function and one task. Commands that can be written to it:
 *
 * hold FUNCTION TID MS
 *	Hold the thread TID at the entry of its next call of FUNCTION, for at
 *	most MS milliseconds (1 to 10000).
 * hold FUNCTION%return TID MS
 *	Hold it at the return of its next call of FUNCTION instead.
 * release
 *	Release the thread, and do not hold it again.
 *
 * Errors: -EINVAL for an invalid command and for a function that cannot be
 * probed, -ENOENT for an unknown function (it may have been inlined),
 * -EOPNOTSUPP for a function without an ftrace entry, -ESRCH for an unknown
 * thread, -EBUSY if the sync point is armed or holds a thread, and -ETIME for a
 * release after the time limit.
 *
 * Each read() returns the current state: "idle", "armed", "held", "released" or
 * "expired". Closing the file releases the thread and removes the probe.
 *
 * The held thread spins with preemption disabled. Interrupts are enabled, so
 * other CPUs can flush TLBs and patch code, but RCU grace periods do not end,
 * and the thread keeps its locks. Code that waits for any of these makes no
 * progress until the time limit; the state is "expired" afterwards. The same
 * holds for stop_machine(). In the first seconds after boot, it is called to
 * switch from an early clocksource ("tsc-early" in sysfs) to the final one:
 * wait for that before a thread is held.
 */

#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/atomic.h>
#include <linux/cleanup.h>
#include <linux/debugfs.h>
#include <linux/err.h>
#include <linux/fs.h>
#include <linux/irqflags.h>
#include <linux/kallsyms.h>
#include <linux/kernel.h>
#include <linux/kprobes.h>
#include <linux/ktime.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/nmi.h>
#include <linux/pid.h>
#include <linux/preempt.h>
#include <linux/processor.h>
#include <linux/sched.h>
#include <linux/sched/task.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/timekeeping.h>
#include <linux/uaccess.h>

/* Below the default timeouts of the soft lockup and RCU stall watchdogs. */
#define SYNC_POINT_MS_MAX	10000
#define SYNC_POINT_TEXT_MAX	(KSYM_NAME_LEN + 64)
#define SYNC_POINT_AT_RETURN	"%return"

enum sync_point_state {
	SYNC_POINT_IDLE,
	SYNC_POINT_ARMED,
	SYNC_POINT_HELD,
	SYNC_POINT_RELEASED,
	SYNC_POINT_EXPIRED,
};

static const char * const sync_point_texts[] = {
	[SYNC_POINT_IDLE]	= "idle\n",
	[SYNC_POINT_ARMED]	= "armed\n",
	[SYNC_POINT_HELD]	= "held\n",
	[SYNC_POINT_RELEASED]	= "released\n",
	[SYNC_POINT_EXPIRED]	= "expired\n",
};

/**
 * struct sync_point - A function at which a task is held
 * @state:     An enum sync_point_state. Once armed, it is changed with cmpxchg()
 *             only, since the held task may own any lock.
 * @lock:      Serializes registering and unregistering the probe.
 * @is_probed: The probe is registered.
 * @at_return: The probe is @at_exit instead of @at_entry.
 * @at_entry:  Probe at the entry of the function.
 * @at_exit:   Probe at the return of the function.
 * @symbol:    Name of the function, valid while the probe is registered.
 * @task:      Task to hold, valid while the probe is registered.
 * @limit_ns:  Time limit for holding the task.
 */
struct sync_point {
	atomic_t state;
	struct mutex lock;	/* Protects the fields below. */
	bool is_probed;
	bool at_return;
	struct kprobe at_entry;
	struct kretprobe at_exit;
	char *symbol;
	struct task_struct *task;
	u64 limit_ns;
};

static bool sync_point_move(struct sync_point *point,
			    enum sync_point_state from, enum sync_point_state to)
{
	return atomic_cmpxchg(&point->state, from, to) == from;
}
NOKPROBE_SYMBOL(sync_point_move);

/* Called by all tasks that call the function; holds the selected task. */
static void sync_point_wait(struct sync_point *point)
{
	u64 begin;

	/*
	 * Ignore calls from interrupts, which do not belong to the task, and
	 * calls with interrupts off, which would block IPIs of other CPUs.
	 */
	if (current != point->task || !in_task() || irqs_disabled() ||
	    !sync_point_move(point, SYNC_POINT_ARMED, SYNC_POINT_HELD))
		return;

	begin = ktime_get_mono_fast_ns();
	while (atomic_read(&point->state) == SYNC_POINT_HELD) {
		if (ktime_get_mono_fast_ns() - begin >= point->limit_ns)
			sync_point_move(point, SYNC_POINT_HELD,
					SYNC_POINT_EXPIRED);
		touch_nmi_watchdog();
		cpu_relax();
	}
}
NOKPROBE_SYMBOL(sync_point_wait);

static int sync_point_at_entry(struct kprobe *probe, struct pt_regs *regs)
{
	sync_point_wait(container_of(probe, struct sync_point, at_entry));

	return 0;
}
NOKPROBE_SYMBOL(sync_point_at_entry);

static struct sync_point *sync_point_of(struct kretprobe_instance *instance)
{
	struct kretprobe *probe = get_kretprobe(instance);

	return probe ? container_of(probe, struct sync_point, at_exit) : NULL;
}
NOKPROBE_SYMBOL(sync_point_of);

/* Skip the return probe for other tasks: the number of instances is limited. */
static int sync_point_before_exit(struct kretprobe_instance *instance,
				  struct pt_regs *regs)
{
	struct sync_point *point = sync_point_of(instance);

	return !point || current != point->task || !in_task() ||
	       atomic_read(&point->state) != SYNC_POINT_ARMED;
}
NOKPROBE_SYMBOL(sync_point_before_exit);

static int sync_point_at_exit(struct kretprobe_instance *instance,
			      struct pt_regs *regs)
{
	struct sync_point *point = sync_point_of(instance);

	if (point)
		sync_point_wait(point);

	return 0;
}
NOKPROBE_SYMBOL(sync_point_at_exit);

static int sync_point_release(struct sync_point *point)
{
	if (sync_point_move(point, SYNC_POINT_HELD, SYNC_POINT_RELEASED) ||
	    sync_point_move(point, SYNC_POINT_ARMED, SYNC_POINT_RELEASED))
		return 0;

	/* The state may have changed from armed to held between the two attempts. */
	if (sync_point_move(point, SYNC_POINT_HELD, SYNC_POINT_RELEASED))
		return 0;

	switch (atomic_read(&point->state)) {
	case SYNC_POINT_RELEASED:
		return 0;
	case SYNC_POINT_EXPIRED:
		return -ETIME;
	default:
		return -EINVAL;
	}
}

static void sync_point_unregister(struct sync_point *point)
{
	if (point->at_return)
		unregister_kretprobe(&point->at_exit);
	else
		unregister_kprobe(&point->at_entry);
}

static int sync_point_register(struct sync_point *point)
{
	struct kprobe *probe;
	int err;

	/* Clear the state of an earlier registration. */
	memset(&point->at_entry, 0, sizeof(point->at_entry));
	memset(&point->at_exit, 0, sizeof(point->at_exit));

	if (point->at_return) {
		probe = &point->at_exit.kp;
		probe->symbol_name = point->symbol;
		point->at_exit.entry_handler = sync_point_before_exit;
		point->at_exit.handler = sync_point_at_exit;
		err = register_kretprobe(&point->at_exit);
	} else {
		probe = &point->at_entry;
		probe->symbol_name = point->symbol;
		probe->pre_handler = sync_point_at_entry;
		err = register_kprobe(&point->at_entry);
	}
	if (err)
		return err;

	/* A probe that is not based on ftrace would spin with interrupts off. */
	if (!kprobe_ftrace(probe)) {
		sync_point_unregister(point);
		return -EOPNOTSUPP;
	}

	return 0;
}

static void sync_point_disarm(struct sync_point *point)
{
	lockdep_assert_held(&point->lock);

	if (!point->is_probed)
		return;

	/* Waits until all handlers have returned. */
	sync_point_unregister(point);
	point->is_probed = false;

	put_task_struct(point->task);
	point->task = NULL;
	kfree(point->symbol);
	point->symbol = NULL;
}

static struct task_struct *sync_point_find_task(pid_t tid)
{
	struct task_struct *task;
	struct pid *pid;

	pid = find_get_pid(tid);
	task = get_pid_task(pid, PIDTYPE_PID);
	put_pid(pid);

	return task;
}

static int sync_point_arm(struct sync_point *point, char *symbol, bool at_return,
			  pid_t tid, unsigned int ms)
{
	int state = atomic_read(&point->state);
	int err;

	lockdep_assert_held(&point->lock);

	if (state == SYNC_POINT_ARMED || state == SYNC_POINT_HELD)
		return -EBUSY;

	sync_point_disarm(point);
	atomic_set(&point->state, SYNC_POINT_IDLE);

	point->task = sync_point_find_task(tid);
	if (!point->task)
		return -ESRCH;

	err = -ENOMEM;
	point->symbol = kstrdup(symbol, GFP_KERNEL);
	if (!point->symbol)
		goto err_put_task;

	point->at_return = at_return;
	point->limit_ns = (u64)ms * NSEC_PER_MSEC;
	err = sync_point_register(point);
	if (err)
		goto err_free_symbol;

	point->is_probed = true;
	atomic_set(&point->state, SYNC_POINT_ARMED);

	return 0;

err_free_symbol:
	kfree(point->symbol);
	point->symbol = NULL;
err_put_task:
	put_task_struct(point->task);
	point->task = NULL;
	return err;
}

/* Parses "FUNCTION TID MS" and arms the sync point. */
static int sync_point_hold(struct sync_point *point, char *text)
{
	char *symbol = strsep(&text, " ");
	char *tid_text = strsep(&text, " ");
	char *ms_text = strsep(&text, " ");
	bool at_return = false;
	unsigned int ms;
	pid_t tid;
	char *end;

	if (!ms_text || text || kstrtoint(tid_text, 10, &tid) ||
	    kstrtouint(ms_text, 10, &ms))
		return -EINVAL;

	if (tid <= 0 || !ms || ms > SYNC_POINT_MS_MAX)
		return -EINVAL;

	end = strchr(symbol, '%');
	if (end) {
		if (strcmp(end, SYNC_POINT_AT_RETURN))
			return -EINVAL;
		*end = '\0';
		at_return = true;
	}
	if (!*symbol)
		return -EINVAL;

	guard(mutex)(&point->lock);

	return sync_point_arm(point, symbol, at_return, tid, ms);
}

static int sync_point_do(struct sync_point *point, char *command)
{
	if (!strcmp(command, "release"))
		return sync_point_release(point);

	if (!strncmp(command, "hold ", strlen("hold ")))
		return sync_point_hold(point, command + strlen("hold "));

	return -EINVAL;
}

static ssize_t sync_point_write(struct file *file, const char __user *buf,
				size_t count, loff_t *ppos)
{
	char *text;
	int err;

	if (count > SYNC_POINT_TEXT_MAX)
		return -EINVAL;

	text = memdup_user_nul(buf, count);
	if (IS_ERR(text))
		return PTR_ERR(text);

	err = sync_point_do(file->private_data, strim(text));
	kfree(text);

	return err ?: count;
}

static ssize_t sync_point_read(struct file *file, char __user *buf, size_t count,
			       loff_t *ppos)
{
	struct sync_point *point = file->private_data;
	const char *text = sync_point_texts[atomic_read(&point->state)];

	count = min(count, strlen(text));
	if (copy_to_user(buf, text, count))
		return -EFAULT;

	return count;
}

static int sync_point_open(struct inode *inode, struct file *file)
{
	struct sync_point *point = kzalloc_obj(*point);

	if (!point)
		return -ENOMEM;

	atomic_set(&point->state, SYNC_POINT_IDLE);
	mutex_init(&point->lock);
	file->private_data = point;

	/* A stream has no f_pos lock, so a blocked reader cannot delay a release. */
	return stream_open(inode, file);
}

static int sync_point_close(struct inode *inode, struct file *file)
{
	struct sync_point *point = file->private_data;

	sync_point_release(point);
	scoped_guard(mutex, &point->lock)
		sync_point_disarm(point);

	mutex_destroy(&point->lock);
	kfree(point);

	return 0;
}

static const struct file_operations sync_point_fops = {
	.owner		= THIS_MODULE,
	.open		= sync_point_open,
	.release	= sync_point_close,
	.read		= sync_point_read,
	.write		= sync_point_write,
};

static struct dentry *sync_point_file;

static int __init sync_point_init(void)
{
	sync_point_file = debugfs_create_file("sync_point", 0600, NULL, NULL,
					      &sync_point_fops);

	return PTR_ERR_OR_ZERO(sync_point_file);
}
module_init(sync_point_init);

static void __exit sync_point_exit(void)
{
	debugfs_remove(sync_point_file);
}
module_exit(sync_point_exit);

MODULE_DESCRIPTION("Holds a task in a kernel function, for tests of races");
MODULE_LICENSE("GPL");
