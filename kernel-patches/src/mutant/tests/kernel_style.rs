// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the operators of jumps, loops, locks, references and replacements on code in the
//! style of the kernel.

use super::listing_of_operators;
use crate::mutant::references::is_reference;

/// Returns the changes by operators whose names begin with one of the words.
fn listing(code: &str, beginnings: &str) -> String {
    listing_of_operators(code, |operator| {
        let mut beginnings = beginnings.split(' ');
        beginnings.any(|beginning| operator.starts_with(beginning))
    })
}

const JUMPS: &str = "goto- skip- drop-goto- break- continue-";

#[test]
fn jumps_skip_or_add_steps_of_an_error_path() {
    let code = "
static int foo_probe(struct pci_dev *pdev)
{
	int err;

	err = pci_enable_device(pdev);
	if (err)
		return err;
	err = pci_request_region(pdev, 0, \"foo\"); //+
	if (err) //+
		goto err_disable; //+
	foo = kzalloc_obj(*foo);
	if (!foo) { //+
		err = -ENOMEM; //+
		goto err_release; //+
	}
	return 0;

err_free:
	kfree(foo);
err_release:
	pci_release_region(pdev, 0);
err_disable:
	pci_disable_device(pdev);
	return err;
}
";
    insta::assert_snapshot!(listing(code, JUMPS), @"
    goto-err-release: jump to `err_release` instead of `err_disable`: also run `pci_release_region(pdev, 0);`
        goto err_release; //+
        (empty)
    skip-err-disable: return without unwinding: replace `goto err_disable;` by `return err;`, skip `pci_disable_device(pdev);`
        return err; //+
        (empty)
    drop-goto-err-release: do not leave: delete jump `goto err_release;`
        ; //+
        (empty)
    goto-err-free: jump to `err_free` instead of `err_release`: also run `kfree(foo);`
        goto err_free; //+
        (empty)
    goto-err-disable: jump to `err_disable` instead of `err_release`: skip `pci_release_region(pdev, 0);`
        goto err_disable; //+
        (empty)
    skip-err-release: return without unwinding: replace `goto err_release;` by `return err;`, skip `pci_release_region(pdev, 0); pci_disable_device(pdev);`
        return err; //+
        (empty)
    ");
}

#[test]
fn jumps_to_a_changed_error_path_are_changed() {
    let code = "
int foo(struct list_head *flbs)
{
	down_read(&foo_lock);
	list_for_each_entry(pos, flbs, list) {
		err = foo_one(pos);
		if (err)
			goto exit_err;
	}
	up_read(&foo_lock);
	return 0;

exit_err:
	list_for_each_entry_continue_reverse(pos, flbs, list)
		foo_put(pos); //+
	up_read(&foo_lock);
	return err;
}
";
    insta::assert_snapshot!(listing(code, "goto- skip- replace-"), @"
    skip-exit-err: return without unwinding: replace `goto exit_err;` by `return err;`, skip `list_for_each_entry_continue_reverse(pos, flbs, list) foo_pu...`
        return err;
        (empty)
    replace-list-for-each-entry-continue-reverse: start with the current entry instead of its neighbour: replace `list_for_each_entry_continue_reverse(pos, flbs, list)` by `list_for_each_entry_from_reverse(pos, flbs, list)`
        list_for_each_entry_from_reverse(pos, flbs, list)
    ");
}

#[test]
fn jumps_return_without_unlock() {
    let code = "
void foo_work(struct work_struct *work)
{
	scoped_guard(mutex, &foo_lock) {
		if (foo_gone) //+
			goto out; //+
	}
	if (foo_done) //+
		goto done; //+
	run();
out:
	up(&foo_sem);
done:
	;
}

int foo_open(struct inode *inode)
{
	int err = -EBUSY;

	inode_lock(inode);
	if (inode->busy) //+
		goto unlock; //+
	err = 0;
unlock:
	inode_unlock(inode);
	return err;
}
";
    insta::assert_snapshot!(listing(code, JUMPS), @"
    goto-done: jump to `done` instead of `out`: skip `up(&foo_sem);`
        goto done; //+
        (empty)
    skip-out: return without unwinding: replace `goto out;` by `return;`, skip `up(&foo_sem);`
        return; //+
        (empty)
    goto-out: jump to `out` instead of `done`: also run `up(&foo_sem);`
        goto out; //+
        (empty)
    skip-unlock: return without unwinding: replace `goto unlock;` by `return err;`, skip `inode_unlock(inode);`
        return err; //+
        (empty)
    ");
}

#[test]
fn jumps_do_not_enter_the_scope_of_a_guard_or_declaration() {
    let code = "
int foo(void)
{
retry:
	if (again) //+
		goto retry; //+
	if (a) //+
		goto first; //+
	if (b) //+
		goto second; //+
	return 0;
first:
	undo_first();
	guard(mutex)(&foo_lock);
second:
	undo_second();
	int err = last_error();
third:
	return err;
}
";
    insta::assert_snapshot!(listing(code, JUMPS), @"");
}

#[test]
fn jumps_change_break_and_continue_of_loops_only() {
    let code = "
int foo(struct list_head *head)
{
	list_for_each_entry_safe(pos, n, head, list) {
		if (pos->skip) //+
			continue; //+
		switch (pos->kind) {
		case FOO:
			break; //+
		default:
			continue; //+
		}
		scoped_guard(spinlock, &pos->lock) {
			if (pos->last) //+
				break; //+
		}
		if (pos->found) //+
			break; //+
	}
	for (;;) {
		if (done) //+
			break; //+
	}
	do {
		if (done) //+
			break; //+
	} while (0);
	return 0;
}
";
    insta::assert_snapshot!(listing(code, JUMPS), @"
    continue-to-break: leave `list_for_each_entry_safe(pos, n, head, list)` instead of going on with it
        break; //+
    break-to-continue: go on with `list_for_each_entry_safe(pos, n, head, list)` instead of leaving it
        continue; //+
    ");
}

#[test]
fn loops_run_too_often_or_too_rarely() {
    let code = "
void foo(struct foo *foo, int n)
{
	for (u32 i = 0; i < ARRAY_SIZE(foo->bars); i++) //+
		init(&foo->bars[i]);
	for (i = n - 1; i >= 0; i--) //+
		undo(i);
	for (i = 1, j = 0; foo[i < 3] && i <= n; //+
	     i++)
		sum += i;
	for (i = -1; i != n; i++) //+
		sum += i;
	while (i--) //+
		undo(i);
	while (foo->count--) //+
		undo(foo);
	while (a[n--]) //+
		undo(foo);
	do { //+
		n--;
	} while (n > 0);
	for (;;) //+
		sum++;
	while (n < 3)
		n++;
}
";
    insta::assert_snapshot!(listing(code, "loop-"), @"
    loop-start: leave out the first round: replace `u32 i = 0` by `u32 i = 1` in `for (u32 i = 0; i < ARRAY_SIZE(foo->bars); i++)`
        for (u32 i = 1; i < ARRAY_SIZE(foo->bars); i++) //+
    loop-more: run one round too many: replace `<` by `<=` in `for (u32 i = 0; i < ARRAY_SIZE(foo->bars); i++)`
        for (u32 i = 0; i <= ARRAY_SIZE(foo->bars); i++) //+
    loop-start: start one too high: replace `i = n - 1` by `i = n` in `for (i = n - 1; i >= 0; i--)`
        for (i = n; i >= 0; i--) //+
    loop-less: leave out the last round: replace `>=` by `>` in `for (i = n - 1; i >= 0; i--)`
        for (i = n - 1; i > 0; i--) //+
    loop-less: leave out the last round: replace `<=` by `<` in `for (i = 1, j = 0; foo[i < 3] && i <= n; //+ i++)`
        for (i = 1, j = 0; foo[i < 3] && i < n; //+
    loop-last: leave out the round of 0: replace `i--` by `--i` in `while (i--)`
        while (--i) //+
    loop-last: leave out the round of 0: replace `foo->count--` by `--foo->count` in `while (foo->count--)`
        while (--foo->count) //+
    loop-more: run one round too many: replace `>` by `>=` in `while (n > 0);`
        } while (n >= 0);
    ");
}

#[test]
fn locks_become_weaker_with_their_unlocks() {
    let code = "
void foo(struct foo *foo)
{
	unsigned long flags;

	down_write(&foo->sem); //+
	if (foo->gone) {
		up_write(&foo->sem);
		return;
	}
	up_write(&foo->sem);

	spin_lock_irqsave(&foo->lock, flags); //+
	list_add(&foo->list, &foos);
	spin_unlock_irqrestore(&foo->lock, flags);

	down_write(&foo->other); //+
	downgrade_write(&foo->other);
	up_read(&foo->other);
	spin_lock_irq(&old);
	spin_unlock_irq(&old);
	spin_lock_irq(&mixed); //+
	spin_unlock(&mixed);
	down_write(&elsewhere); //+
	spin_lock_bh(&twice); //+
	spin_unlock_bh(&twice);
	spin_lock_bh(&twice);
	spin_unlock_bh(&twice);
}

void bar(struct foo *foo)
{
	guard(rwsem_write)(&foo->sem); //+
	guard(mutex)(&foo->mutex); //+
	scoped_guard(spinlock_irqsave, &foo->lock) { //+
		foo->users++;
	}
}
";
    insta::assert_snapshot!(listing(code, "replace-"), @"
    replace-down-write: take lock `down_write(&foo->sem);` for reading only
        down_read(&foo->sem); //+
        up_read(&foo->sem);
        up_read(&foo->sem);
    replace-spin-lock-irqsave: take lock `spin_lock_irqsave(&foo->lock, flags);` with interrupts enabled
        spin_lock(&foo->lock); //+
        spin_unlock(&foo->lock);
    replace-guard-rwsem-write: take lock `guard(rwsem_write)(&foo->sem);` for reading only
        guard(rwsem_read)(&foo->sem); //+
    replace-scoped-guard-spinlock-irqsave: take lock `scoped_guard(spinlock_irqsave, &foo->lock)` with interrupts enabled
        scoped_guard(spinlock, &foo->lock) { //+
    ");
}

#[test]
fn replacements_of_lists_and_memory_ordering() {
    let code = "
void foo(struct foo *foo, int cpu)
{
	list_for_each_entry_safe(pos, n, &foo->list, //+
				 list) {
		list_del_rcu(&pos->list); //+
		kfree_rcu(pos, rcu); //+
	}
	list_for_each_entry_continue_reverse(pos, &foo->list, list) //+
		undo(pos);
	hlist_for_each_entry_safe(pos, n, bucket(foo, 1), node) //+
		hlist_del(&pos->node);
	if (READ_ONCE(foo->state) == FOO_DEAD) //+
		WRITE_ONCE(foo->bits[f(1, 2)], 1); //+
	smp_store_release(&foo->ready, true); //+
	rcu_assign_pointer(foo->next, new); //+
	u32 seen = smp_load_acquire(&foo->head); //+
	smp_mb(); //+
	return_ptr(foo); //+
	READ_ONCE; //+
	WRITE_ONCE(x); //+
}
";
    insta::assert_snapshot!(listing(code, "replace- drop-smp"), @"
    replace-list-for-each-entry-safe: walk the list without `_safe`: replace `list_for_each_entry_safe(pos, n, &foo->list, //+ list)` by `list_for_each_entry(pos, &foo->list, list)`
        list_for_each_entry(pos, &foo->list, list)
        {
    replace-list-del-rcu: overwrite the links of the entry while it may be read: replace `list_del_rcu(&pos->list)` by `list_del(&pos->list)`
        list_del(&pos->list); //+
    replace-kfree-rcu: free without a grace period: replace `kfree_rcu(pos, rcu)` by `kfree(pos)`
        kfree(pos); //+
    replace-list-for-each-entry-continue-reverse: start with the current entry instead of its neighbour: replace `list_for_each_entry_continue_reverse(pos, &foo->list, list)` by `list_for_each_entry_from_reverse(pos, &foo->list, list)`
        list_for_each_entry_from_reverse(pos, &foo->list, list) //+
    replace-hlist-for-each-entry-safe: walk the list without `_safe`: replace `hlist_for_each_entry_safe(pos, n, bucket(foo, 1), node)` by `hlist_for_each_entry(pos, bucket(foo, 1), node)`
        hlist_for_each_entry(pos, bucket(foo, 1), node) //+
    replace-read-once: read without READ_ONCE(): replace `READ_ONCE(foo->state)` by `(foo->state)`
        if ((foo->state) == FOO_DEAD) //+
    replace-write-once: write without WRITE_ONCE(): replace `WRITE_ONCE(foo->bits[f(1, 2)], 1)` by `foo->bits[f(1, 2)] = 1`
        foo->bits[f(1, 2)] = 1; //+
    drop-smp-store-release: delete call `smp_store_release(&foo->ready, true);`
        ; //+
    replace-smp-store-release: store without release ordering: replace `smp_store_release(&foo->ready, true)` by `WRITE_ONCE(*(&foo->ready), true)`
        WRITE_ONCE(*(&foo->ready), true); //+
    replace-rcu-assign-pointer: publish without a barrier: replace `rcu_assign_pointer(foo->next, new)` by `RCU_INIT_POINTER(foo->next, new)`
        RCU_INIT_POINTER(foo->next, new); //+
    replace-smp-load-acquire: load without acquire ordering: replace `smp_load_acquire(&foo->head)` by `READ_ONCE(*(&foo->head))`
        u32 seen = READ_ONCE(*(&foo->head)); //+
    drop-smp-mb: delete call `smp_mb();`
        ; //+
    replace-return-ptr: also free the pointer at the end of the scope: replace `return_ptr(foo)` by `return (foo)`
        return (foo); //+
    ");
}

#[test]
fn replacements_of_allocations() {
    let code = "
int foo(struct foo *foo)
{
	struct bar *bar __free(kfree) = kzalloc(sizeof(*bar), GFP_ATOMIC); //+
	struct baz *baz = kzalloc_obj(*baz, GFP_KERNEL_ACCOUNT); //+

	foo->buf = kmalloc(n, GFP_NOFS | __GFP_ZERO); //+
	foo->bar = no_free_ptr(bar); //+
	foo->old = kzalloc(n, GFP_ATOMIC);
	return foo_alloc(foo, GFP_KERNEL); //+
}
";
    insta::assert_snapshot!(listing(code, "replace-"), @"
    replace-free: do not free at the end of the scope: remove `__free(kfree)`
        struct bar *bar  = kzalloc(sizeof(*bar), GFP_ATOMIC); //+
    replace-kzalloc: do not zero the memory: replace `kzalloc(sizeof(*bar), GFP_ATOMIC)` by `kmalloc(sizeof(*bar), GFP_ATOMIC)`
        struct bar *bar __free(kfree) = kmalloc(sizeof(*bar), GFP_ATOMIC); //+
    replace-gfp-atomic: let the allocation sleep: replace `GFP_ATOMIC` by `GFP_KERNEL` in `struct bar *bar __free(kfree) = kzalloc(sizeof(*bar), GFP_AT...`
        struct bar *bar __free(kfree) = kzalloc(sizeof(*bar), GFP_KERNEL); //+
    replace-kzalloc-obj: do not zero the memory: replace `kzalloc_obj(*baz, GFP_KERNEL_ACCOUNT)` by `kmalloc_obj(*baz, GFP_KERNEL_ACCOUNT)`
        struct baz *baz = kmalloc_obj(*baz, GFP_KERNEL_ACCOUNT); //+
    replace-gfp-kernel-account: do not account the memory: replace `GFP_KERNEL_ACCOUNT` by `GFP_KERNEL` in `struct baz *baz = kzalloc_obj(*baz, GFP_KERNEL_ACCOUNT);`
        struct baz *baz = kzalloc_obj(*baz, GFP_KERNEL); //+
    replace-gfp-nofs: let the allocation use file systems: replace `GFP_NOFS` by `GFP_KERNEL` in `foo->buf = kmalloc(n, GFP_NOFS | __GFP_ZERO);`
        foo->buf = kmalloc(n, GFP_KERNEL | __GFP_ZERO); //+
    replace-gfp-zero: do not zero the memory: replace `__GFP_ZERO` by `0` in `foo->buf = kmalloc(n, GFP_NOFS | __GFP_ZERO);`
        foo->buf = kmalloc(n, GFP_NOFS | 0); //+
    replace-no-free-ptr: also free the pointer at the end of the scope: replace `no_free_ptr(bar)` by `(bar)`
        foo->bar = (bar); //+
    ");
}

#[test]
fn references_are_replaced_by_their_value_on_success() {
    let code = "
static bool bar_tryget(struct bar *bar);
int bar_get(struct bar *bar);
struct bar *bar_find_get(int id);
int bar_get_count(struct bar *bar);
unsigned int bar_clock_get(struct bar *bar);
int bar_lookup_get(int id, struct bar **barp);
int bar_state_get(struct bar *bar, u32 *state);

static int foo_get_bar(struct foo *foo)
{
	if (!kref_get_unless_zero(&foo->bar->ref)) //+
		return -ENOENT;
	return 0;
}

static bool foo_put(struct foo *foo)
{
	return kref_put(&foo->ref, foo_release); //+
}

int foo(struct foo *foo)
{
	int err = pm_runtime_resume_and_get(foo->dev); //+

	if (get_user(x, p) || put_user(x, p) || get_order(n)) //+
		return -EFAULT;
	if (!bar_tryget(bar) || bar_get(bar) || !bar_find_get(1)) //+
		return -ENOENT;
	if (bar_get_count(bar) || pci_get_drvdata(pdev) || unknown_get(bar)) //+
		return -ENOENT;
	if (foo_get_bar(foo) || foo_put(foo)) //+
		return -ENOENT;
	if (bar_clock_get(bar) || bar_lookup_get(1, barp) || bar_state_get(bar, &state)) //+
		return -ENOENT;
	if (refcount_dec_and_test(&foo->count)) //+
		kfree(foo);
	if (kref_put_mutex(&foo->ref, foo_release, &foo_mutex)) //+
		foo_gone();
	foo->dev = get_device(dev); //+
	err = bar_lookup_get(2, &bar); //+
	get_device(dev); //+
	return err;
}
";
    insta::assert_snapshot!(listing(code, "drop-try drop-kref drop-bar drop-foo drop-get drop-put \
        drop-refcount drop-pci drop-unknown uncounted-"), @"
    drop-kref-get-unless-zero: replace reference count change `kref_get_unless_zero(&foo->bar->ref)` by 1
        if (!1) //+
    uncounted-kref-put: change no reference count: replace `kref_put(&foo->ref, foo_release)` by `0`
        return 0; //+
    uncounted-pm-runtime-resume-and-get: change no reference count: replace `pm_runtime_resume_and_get(foo->dev)` by `0`
        int err = 0; //+
    drop-bar-tryget: replace reference count change `bar_tryget(bar)` by 1
        if (!1 || bar_get(bar) || !bar_find_get(1)) //+
    drop-bar-get: replace reference count change `bar_get(bar)` by 0
        if (!bar_tryget(bar) || 0 || !bar_find_get(1)) //+
    drop-foo-get-bar: replace reference count change `foo_get_bar(foo)` by 0
        if (0 || foo_put(foo)) //+
    drop-foo-put: replace reference count change `foo_put(foo)` by 0
        if (foo_get_bar(foo) || 0) //+
    drop-refcount-dec-and-test: replace reference count change `refcount_dec_and_test(&foo->count)` by 0
        if (0) //+
    drop-kref-put-mutex: replace reference count change `kref_put_mutex(&foo->ref, foo_release, &foo_mutex)` by 0
        if (0) //+
    uncounted-get-device: change no reference count: replace `get_device(dev)` by `(dev)`
        foo->dev = (dev); //+
    drop-get-device: delete reference count change `get_device(dev);`
        ; //+
    ");
}

#[test]
fn is_reference_excludes_copies_and_lookups() {
    for name in [
        "kref_init",
        "foo_get_bar",
        "user_put",
        "get_user_pages",
        "put_device",
        "fput_get",
    ] {
        assert!(is_reference(name.as_bytes()), "{name}");
    }
    let others = "get_user __put_user get_order pci_get_drvdata luo_flb_get_private put_unused_fd \
        get_unaligned_le32 get_cpu get_cpu_var ktime_get_ns skb_put_data nla_put_u32 target input";
    for name in others.split_ascii_whitespace() {
        assert!(!is_reference(name.as_bytes()), "{name}");
    }
}

#[test]
fn initialisers_of_local_variables_are_changed() {
    let code = "
void foo(void)
{
	bool found = false; //+
	int err = 0, n = a < b ? 1 : 16; //+
	static int calls = 0; //+
	struct args args = { 0 }; //+
	u8 *p = 0, buf[4], n = 4; //+
	int plain[2]; //+
	int old = 0;
}
";
    insta::assert_snapshot!(listing(code, "init-"), @"
    init-constant: replace `false` by `true` in `bool found = false;`
        bool found = true; //+
    init-constant: replace `0` by `1` in `int err = 0, n = a < b ? 1 : 16;`
        int err = 1, n = a < b ? 1 : 16; //+
    init-compare: replace `<` by `<=` in `int err = 0, n = a < b ? 1 : 16;`
        int err = 0, n = a <= b ? 1 : 16; //+
    init-constant: replace `1` by `0` in `int err = 0, n = a < b ? 1 : 16;`
        int err = 0, n = a < b ? 0 : 16; //+
    init-constant: replace `16` by `(16 + 1)` in `int err = 0, n = a < b ? 1 : 16;`
        int err = 0, n = a < b ? 1 : (16 + 1); //+
    init-constant: replace `4` by `(4 + 1)` in `u8 *p = 0, buf[4], n = 4;`
        u8 *p = 0, buf[4], n = (4 + 1); //+
    ");
}

#[test]
fn rows_of_tables_have_a_replacement_and_an_effect() {
    use crate::mutant::{locks, replacements};
    let tables = [
        (replacements::CALLS, 50),
        (replacements::FLAGS, 7),
        (locks::PAIRS, 15),
        (locks::CLASSES, 10),
    ];
    for (table, count) in tables {
        let rows: Vec<_> = crate::mutant::site::rows(table).collect();
        assert!(rows.len() >= count, "{}", rows.len());
        for (old, new, effect) in rows {
            assert!(!old.is_empty() && !effect.is_empty(), "{old}");
            assert_ne!(old, new);
        }
    }
}
