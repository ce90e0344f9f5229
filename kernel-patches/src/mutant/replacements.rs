// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operators that replace a kernel function, macro or flag by a similar one that does less:
//! lists, memory ordering, RCU, allocation and scopes. The tables list all of them.

use std::ops::Range;

use super::change::{Change, kebab};
use super::site::{Site, quote, rows};
use super::syntax::Kind;

/// The effect of the replacements below it, then a call and its replacement per line. `{0}` is
/// the first argument, `{*}` all of them.
pub(super) const CALLS: &str = "
# walk the list without `_safe`
list_for_each_safe -> list_for_each({0}, {2})
list_for_each_prev_safe -> list_for_each_prev({0}, {2})
list_for_each_entry_safe -> list_for_each_entry({0}, {2}, {3})
list_for_each_entry_safe_continue -> list_for_each_entry_continue({0}, {2}, {3})
list_for_each_entry_safe_from -> list_for_each_entry_from({0}, {2}, {3})
list_for_each_entry_safe_reverse -> list_for_each_entry_reverse({0}, {2}, {3})
list_private_for_each_entry_safe -> list_private_for_each_entry({0}, {2}, {3})
hlist_for_each_safe -> hlist_for_each({0}, {2})
hlist_for_each_entry_safe -> hlist_for_each_entry({0}, {2}, {3})
llist_for_each_safe -> llist_for_each({0}, {2})
llist_for_each_entry_safe -> llist_for_each_entry({0}, {2}, {3})
# walk the list forwards
list_for_each_prev -> list_for_each({*})
list_for_each_entry_reverse -> list_for_each_entry({*})
list_private_for_each_entry_reverse -> list_private_for_each_entry({*})
# start with the current entry instead of its neighbour
list_for_each_entry_continue -> list_for_each_entry_from({*})
list_for_each_entry_continue_reverse -> list_for_each_entry_from_reverse({*})
list_private_for_each_entry_continue -> list_private_for_each_entry_from({*})
list_private_for_each_entry_continue_reverse -> list_private_for_each_entry_from_reverse({*})
# leave out the current entry
list_for_each_entry_from -> list_for_each_entry_continue({*})
list_for_each_entry_from_reverse -> list_for_each_entry_continue_reverse({*})
# read without READ_ONCE()
READ_ONCE -> ({0})
list_for_each_entry_rcu -> list_for_each_entry({0}, {1}, {2})
# write without WRITE_ONCE()
WRITE_ONCE -> {0} = {1}
# load without acquire ordering
smp_load_acquire -> READ_ONCE(*({0}))
atomic_read_acquire -> atomic_read({*})
# store without release ordering
smp_store_release -> WRITE_ONCE(*({0}), {1})
atomic_set_release -> atomic_set({*})
clear_bit_unlock -> clear_bit({*})
# store without a barrier
smp_store_mb -> WRITE_ONCE({0}, {1})
# test the lock bit without taking it
test_and_set_bit_lock -> test_bit({*})
# read without rcu_dereference()
rcu_dereference -> ({0})
# publish without a barrier
rcu_assign_pointer -> RCU_INIT_POINTER({*})
list_add_rcu -> list_add({*})
list_add_tail_rcu -> list_add_tail({*})
hlist_add_head_rcu -> hlist_add_head({*})
# overwrite the links of the entry while it may be read
list_del_rcu -> list_del({*})
hlist_del_rcu -> hlist_del({*})
hlist_del_init_rcu -> hlist_del_init({*})
# free without a grace period
kfree_rcu -> kfree({0})
kvfree_rcu -> kvfree({0})
kfree_rcu_mightsleep -> kfree({0})
kvfree_rcu_mightsleep -> kvfree({0})
# do not zero the memory
kzalloc -> kmalloc({*})
kzalloc_node -> kmalloc_node({*})
kzalloc_obj -> kmalloc_obj({*})
kzalloc_objs -> kmalloc_objs({*})
kzalloc_flex -> kmalloc_flex({*})
kcalloc -> kmalloc_array({*})
kmem_cache_zalloc -> kmem_cache_alloc({*})
vzalloc -> vmalloc({*})
kvzalloc -> kvmalloc({*})
kvzalloc_obj -> kvmalloc_obj({*})
kvcalloc -> kvmalloc_array({*})
devm_kzalloc -> devm_kmalloc({*})
devm_kcalloc -> devm_kmalloc_array({*})
# do not free at the end of the scope
__free ->
# also free the pointer at the end of the scope
no_free_ptr -> ({0})
return_ptr -> return ({0})
";

/// Flags, in the same form.
pub(super) const FLAGS: &str = "
# let the allocation sleep
GFP_ATOMIC -> GFP_KERNEL
GFP_NOWAIT -> GFP_KERNEL
# let the allocation start I/O
GFP_NOIO -> GFP_KERNEL
# let the allocation use file systems
GFP_NOFS -> GFP_KERNEL
# do not account the memory
GFP_KERNEL_ACCOUNT -> GFP_KERNEL
__GFP_ACCOUNT -> 0
# do not zero the memory
__GFP_ZERO -> 0
";

/// Returns the changes of calls and flags in a statement's own part.
pub(super) fn changes(site: &Site<'_>) -> Vec<Change> {
    let is_code = match site.statement.kind {
        Kind::If | Kind::Body | Kind::Return | Kind::Expression | Kind::Declaration => true,
        Kind::Guard | Kind::ScopedGuard => true,
        Kind::Block | Kind::Jump | Kind::Label | Kind::Empty | Kind::Odd => false,
    };
    if !is_code {
        return Vec::new();
    }
    let own = site.statement.own.clone();
    let mut changes: Vec<Change> = site
        .calls(own.clone(), |_| true)
        .filter_map(|(name, call)| replace_call(site, name, &call))
        .collect();
    changes.extend(own.filter_map(|at| replace_flag(site, at)));
    changes
}

fn replace_call(site: &Site<'_>, name: &[u8], call: &Range<usize>) -> Option<Change> {
    let (_, form, effect) = rows(CALLS).find(|(old, ..)| old.as_bytes() == name)?;
    let inside = call.start + 2..call.end - 1;
    let text = fill(form, &site.arguments(call), site.source.text_of(&inside))?;
    let operator = format!("replace-{}", kebab(name));
    let old = site.quote(call);
    let title = match text.is_empty() {
        true => format!("{effect}: remove {old}"),
        false => format!("{effect}: replace {old} by {}", quote(&text)),
    };
    Some(site.change(call.start, operator, title, call, text))
}

/// Returns the form with its arguments, or `None` if the call has too few of them.
fn fill(form: &str, arguments: &[&[u8]], all: &[u8]) -> Option<Vec<u8>> {
    let mut parts = form.split('{');
    let mut text = parts.next()?.as_bytes().to_vec();
    for part in parts {
        let (key, rest) = part.split_once('}')?;
        let argument = match key {
            "*" => all,
            index => arguments.get(index.parse::<usize>().ok()?)?,
        };
        text.extend_from_slice(argument);
        text.extend_from_slice(rest.as_bytes());
    }
    Some(text)
}

fn replace_flag(site: &Site<'_>, at: usize) -> Option<Change> {
    let text = site.source.text(at);
    let (old, new, effect) = rows(FLAGS).find(|(old, ..)| old.as_bytes() == text)?;
    let statement = site.quote(&site.statement.own);
    let title = format!("{effect}: replace `{old}` by `{new}` in {statement}");
    let operator = format!("replace-{}", kebab(text));
    Some(site.change(at, operator, title, &(at..at + 1), new))
}
