// SPDX-License-Identifier: MIT OR Apache-2.0
//! Operators of lock kinds: a lock is taken for reading only, or with interrupts enabled.

use super::change::{Change, Edit, kebab};
use super::site::{Site, rows};
use super::syntax::{Kind, Statement};

/// The effect of the lines below it, then a lock function, its unlock function, and the weaker
/// kind of both.
pub(super) const PAIRS: &str = "
# for reading only
down_write up_write -> down_read up_read
percpu_down_write percpu_up_write -> percpu_down_read percpu_up_read
write_lock write_unlock -> read_lock read_unlock
write_lock_bh write_unlock_bh -> read_lock_bh read_unlock_bh
write_lock_irq write_unlock_irq -> read_lock_irq read_unlock_irq
write_lock_irqsave write_unlock_irqrestore -> read_lock_irqsave read_unlock_irqrestore
inode_lock inode_unlock -> inode_lock_shared inode_unlock_shared
mmap_write_lock mmap_write_unlock -> mmap_read_lock mmap_read_unlock
# with softirqs enabled
spin_lock_bh spin_unlock_bh -> spin_lock spin_unlock
raw_spin_lock_bh raw_spin_unlock_bh -> raw_spin_lock raw_spin_unlock
read_lock_bh read_unlock_bh -> read_lock read_unlock
xa_lock_bh xa_unlock_bh -> xa_lock xa_unlock
# with interrupts enabled
spin_lock_irq spin_unlock_irq -> spin_lock spin_unlock
spin_lock_irqsave spin_unlock_irqrestore -> spin_lock spin_unlock
raw_spin_lock_irq raw_spin_unlock_irq -> raw_spin_lock raw_spin_unlock
raw_spin_lock_irqsave raw_spin_unlock_irqrestore -> raw_spin_lock raw_spin_unlock
read_lock_irq read_unlock_irq -> read_lock read_unlock
read_lock_irqsave read_unlock_irqrestore -> read_lock read_unlock
xa_lock_irq xa_unlock_irq -> xa_lock xa_unlock
xa_lock_irqsave xa_unlock_irqrestore -> xa_lock xa_unlock
";

/// The effect of the lines below it, then a class of `guard()` and its weaker kind.
pub(super) const CLASSES: &str = "
# for reading only
rwsem_write -> rwsem_read
percpu_write -> percpu_read
write_lock -> read_lock
write_lock_irq -> read_lock_irq
write_lock_irqsave -> read_lock_irqsave
# with softirqs enabled
spinlock_bh -> spinlock
# with interrupts enabled
spinlock_irq -> spinlock
spinlock_irqsave -> spinlock
raw_spinlock_irq -> raw_spinlock
raw_spinlock_irqsave -> raw_spinlock
";

/// Returns the change of the kind of a lock that a statement acquires.
pub(super) fn changes(site: &Site<'_>) -> Option<Change> {
    match site.statement.kind {
        Kind::Guard | Kind::ScopedGuard => weaker_guard(site),
        Kind::Expression if site.function.is_searchable() => weaker_pair(site),
        _ => None,
    }
}

fn weaker_guard(site: &Site<'_>) -> Option<Change> {
    let own = &site.statement.own;
    let class = own.start + 2;
    let text = site.source.text(class);
    let (_, weaker, effect) = rows(CLASSES).find(|(old, ..)| old.as_bytes() == text)?;
    let name = kebab(site.source.text(own.start));
    let operator = format!("replace-{name}-{}", kebab(text));
    let title = format!("take lock {} {effect}", site.quote(own));
    Some(site.change(own.start, operator, title, &(class..class + 1), weaker))
}

fn weaker_pair(site: &Site<'_>) -> Option<Change> {
    let (source, statements) = (site.source, &site.function.statements);
    let own = &site.statement.own;
    let name = source.text(own.start);
    let mut pairs = rows(PAIRS).filter_map(|(old, new, effect)| {
        let (old, new) = (old.split_once(' ')?, new.split_once(' ')?);
        Some((old, new, effect))
    });
    let ((_, unlock), (weaker, weaker_unlock), effect) =
        pairs.find(|((lock, _), ..)| lock.as_bytes() == name)?;
    let released: Vec<&Statement> = site
        .held?
        .released
        .iter()
        .map(|&at| &statements[at])
        .collect();
    let is_paired = |one: &&Statement| source.text(one.own.start) == unlock.as_bytes();
    // Unlocks of a second critical section cannot be told from those of the first.
    let others = statements.iter().filter(|one| {
        source.text_of(&one.own) == source.text_of(own) && one.own.start != own.start
    });
    let argument = site.arguments(&(own.start..own.end - 1));
    let is_downgrade = |name: &[u8]| name.windows(9).any(|part| part == b"downgrade");
    let is_downgraded = || {
        let mut calls = site.calls(source.body(site.function), is_downgrade);
        calls.any(|(_, call)| site.arguments(&call) == argument)
    };
    if !released.iter().all(is_paired) || others.count() > 0 || is_downgraded() {
        return None;
    }
    // The flags of `spin_lock_irqsave(lock, flags)`.
    let takes_one = source.text(own.start).ends_with(b"_irqsave") && !weaker.ends_with("_irqsave");
    let call = |name: &str, statement: &Statement| {
        let call = statement.own.start..statement.own.end - 1;
        let inside = call.start + 2..call.end - 1;
        let argument = match takes_one {
            true => site.arguments(&call).first().copied().unwrap_or_default(),
            false => source.text_of(&inside),
        };
        let text = [name.as_bytes(), b"(", argument, b")"].concat();
        Edit::new(source.place(&call), text)
    };
    let title = format!("take lock {} {effect}", site.quote(own));
    let operator = format!("replace-{}", kebab(name));
    let mut change = site.change(own.start, operator, title, own, "");
    change.edits = vec![call(weaker, site.statement)];
    change
        .edits
        .extend(released.into_iter().map(|one| call(weaker_unlock, one)));
    Some(change)
}
