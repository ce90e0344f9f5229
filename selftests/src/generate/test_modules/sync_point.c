// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sync points: let a task stand still in a kernel function
 *
 * A race between two tasks can be tested without luck when one of them waits at
 * a known place until the other has done its part. This module makes such
 * places in a kernel that is not patched for it.
 *
 * Each open file of /sys/kernel/debug/sync_point is one sync point, for one
 * function and one task. What can be written to it:
 *
 * hold FUNCTION TID MS
 *	The next call of FUNCTION by the thread TID stands still at its entry, for
 *	MS milliseconds at most, which is no more than 10000.
 * hold FUNCTION%return TID MS
 *	The same at the end of the next call that begins from now on.
 * release
 *	Lets the thread go on, and no further call is held.
 *
 * Errors: -EINVAL for text that is none of these, and for a function that cannot
 * be probed, -ENOENT for one that is not there (it may be inlined everywhere),
 * -EOPNOTSUPP for one that the compiler gave no place for ftrace, -ESRCH for a
 * thread that is not there, -EBUSY when the sync point is armed or holds already,
 * and -ETIME for a release that comes after the time was up.
 *
 * Each read gives the state anew: "idle", "armed", "held", "released" or
 * "expired". Closing the file releases and disarms.
 *
 * The thread that is held spins with preemption off. Interrupts are served, so
 * that other processors can change page tables and code, but RCU grace periods
 * wait, and whatever locks the thread has are kept. A step of another thread
 * that needs any of these ends only when the time is up, which the state tells.
 * So does whatever stops all processors, above all, in the first seconds after a
 * boot, the change from an early clock source ("tsc-early" in sysfs) to the final
 * one: wait for that before anything is held.
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

/* Less than what makes the watchdogs and RCU complain, by default. */
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
 * struct sync_point - A place where a task is to stand still.
 * @state:     An enum sync_point_state. From "armed" on it is changed by whoever
 *             comes first, without any lock that a held task could have.
 * @lock:      Held while the probe is put in and taken out.
 * @is_probed: The probe is in.
 * @at_return: It is @at_exit, else @at_entry.
 * @at_entry:  The probe for an entry.
 * @at_exit:   The probe for a return.
 * @symbol:    The function, for as long as the probe is in.
 * @task:      The task, for as long as the probe is in.
 * @limit_ns:  For how long it is held at most.
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

/* Called by the task that is to be held, and by all others. */
static void sync_point_stand(struct sync_point *point)
{
	u64 begin;

	/*
	 * A call by an interrupt is not the task's own, and one with interrupts
	 * off would make all other processors wait, too.
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
NOKPROBE_SYMBOL(sync_point_stand);

static int sync_point_at_entry(struct kprobe *probe, struct pt_regs *regs)
{
	sync_point_stand(container_of(probe, struct sync_point, at_entry));

	return 0;
}
NOKPROBE_SYMBOL(sync_point_at_entry);

static struct sync_point *sync_point_of(struct kretprobe_instance *instance)
{
	struct kretprobe *probe = get_kretprobe(instance);

	return probe ? container_of(probe, struct sync_point, at_exit) : NULL;
}
NOKPROBE_SYMBOL(sync_point_of);

/* Other tasks' calls need no return probe; there is only room for a few. */
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
		sync_point_stand(point);

	return 0;
}
NOKPROBE_SYMBOL(sync_point_at_exit);

static int sync_point_release(struct sync_point *point)
{
	if (sync_point_move(point, SYNC_POINT_HELD, SYNC_POINT_RELEASED) ||
	    sync_point_move(point, SYNC_POINT_ARMED, SYNC_POINT_RELEASED))
		return 0;

	/* The task came between the two: it was armed, and is held now. */
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

	/* What a probe was registered with before is of no use any more. */
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

	/* Anything else than ftrace would have us spin with interrupts off. */
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

	/* Waits until no task is in a handler any more. */
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

/* "FUNCTION TID MS" */
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

	/* No position, and so no lock that a release could have to wait for. */
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

MODULE_DESCRIPTION("Lets a task stand still in a kernel function, for tests");
MODULE_LICENSE("GPL");
