// SPDX-License-Identifier: GPL-2.0-only
//! The changes of whole functions.

use super::*;

/// Returns the changes of all functions in `code` near lines that end with `//+`: name,
/// title and changed lines.
fn shown(code: &str) -> String {
    let source = Source::of(code.as_bytes());
    let lines: Vec<&str> = code.lines().collect();
    let mut text = String::new();
    for function in &source.functions {
        for change in changes(&source, function, &|line| lines[line].ends_with("//+")) {
            text += &format!("{}: {}\n", change.operator, change.title);
            let changed = change.apply(code.as_bytes());
            let changed = String::from_utf8_lossy(&changed).into_owned();
            assert_eq!(changed.lines().count(), lines.len(), "{changed}");
            for (before, after) in lines.iter().zip(changed.lines()) {
                if *before != after {
                    text += &format!("    {}\n", after.trim());
                }
            }
        }
    }
    text
}

#[test]
fn changes_of_changed_statements() {
    let code = "
int f(struct it *it)
{
	int err;

	guard(mutex)(&it->lock);
	if (!try_module_get(it->owner)) //+
		return -ENODEV; //+
	err = it->call(&args, 1); //+
	if (WARN_ON(err <= 0 && !it->ok)) { //+
		module_put(it->owner); //+
		return err; //+
	}
	it->status = true; //+
	if (it->put) //+
		it->put(it); //+
	return 0;
}
";
    insta::assert_snapshot!(shown(code), @"
    drop-guard: the lock `guard(mutex)(&it->lock);` is left out
        ;
    negate: the condition `!try_module_get(it->owner)` is turned round
        if (!(!try_module_get(it->owner))) //+
    never: the way out if `!try_module_get(it->owner)` is never taken
        if ((!try_module_get(it->owner)) && 0) //+
    drop-try-module-get: `try_module_get(it->owner)`, which counts a user, is left out, as if it had gone well
        if (!1) //+
    return-0: 0 is returned instead of `-ENODEV`
        return 0; //+
    return-einval: -EINVAL is returned instead of `-ENODEV`
        return -EINVAL; //+
    drop-set-err: `err = it->call(&args, 1);` is left out
        ; //+
    constant: `1` becomes `0` in `err = it->call(&args, 1);`
        err = it->call(&args, 0); //+
    strip-warn-on: `WARN_ON(err <= 0 && !it->ok)` does not warn
        if ((err <= 0 && !it->ok)) { //+
    negate: the condition `WARN_ON(err <= 0 && !it->ok)` is turned round
        if (!(WARN_ON(err <= 0 && !it->ok))) { //+
    never: the way out if `WARN_ON(err <= 0 && !it->ok)` is never taken
        if ((WARN_ON(err <= 0 && !it->ok)) && 0) { //+
    compare: `<=` becomes `<` in `if (WARN_ON(err <= 0 && !it->ok))`
        if (WARN_ON(err < 0 && !it->ok)) { //+
    constant: `0` becomes `1` in `if (WARN_ON(err <= 0 && !it->ok))`
        if (WARN_ON(err <= 1 && !it->ok)) { //+
    compare: `&&` becomes `||` in `if (WARN_ON(err <= 0 && !it->ok))`
        if (WARN_ON(err <= 0 || !it->ok)) { //+
    drop-module-put: `module_put(it->owner);`, which counts a user, is left out
        ; //+
    return-0: 0 is returned instead of `err`
        return 0; //+
    drop-set-status: `it->status = true;` is left out
        ; //+
    constant: `true` becomes `false` in `it->status = true;`
        it->status = false; //+
    negate: the condition `it->put` is turned round
        if (!(it->put)) //+
    never: what is done if `it->put` is never done
        if ((it->put) && 0) //+
    always: what is done if `it->put` is always done
        if ((it->put) || 1) //+
    drop-put: `it->put(it);`, which counts a user, is left out
        ; //+
    ");
}

#[test]
fn changes_of_locks_around_changed_statements() {
    let code = "
void f(struct it *it)
{
	mutex_lock(&it->lock);
	if (it->gone) {
		mutex_unlock(&it->lock);
		return;
	}
	refcount_inc(&it->count); //+
	mutex_unlock(&it->lock);
	scoped_guard(mutex, &it->other) {
		it->users++; //+
	}
}
";
    insta::assert_snapshot!(shown(code), @"
    drop-mutex-lock: the call `mutex_lock(&it->lock);` is left out
        ;
    drop-both-mutex-lock: the lock `mutex_lock(&it->lock);` is neither taken nor given back
        ;
        ;
        ;
    drop-mutex-unlock: the call `mutex_unlock(&it->lock);` is left out
        ;
    drop-refcount-inc: `refcount_inc(&it->count);`, which counts a user, is left out
        ; //+
    swap-refcount-inc-mutex-unlock: `refcount_inc(&it->count);` and `mutex_unlock(&it->lock);` are swapped
        mutex_unlock(&it->lock); //+
        refcount_inc(&it->count);
    drop-mutex-unlock: the call `mutex_unlock(&it->lock);` is left out
        ;
    drop-scoped-guard: the lock `scoped_guard(mutex, &it->other)` is left out
        {
    drop-set-users: `it->users++;` is left out
        ; //+
    ");
}
