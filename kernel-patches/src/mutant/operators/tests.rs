// SPDX-License-Identifier: MIT OR Apache-2.0
//! The changes of whole functions.

use super::*;

/// Returns the changes of all functions in `code` near lines that end with `//+`: name,
/// title and changed lines.
fn listing(code: &str) -> String {
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
    insta::assert_snapshot!(listing(code), @"
    drop-guard: delete lock `guard(mutex)(&it->lock);`
        ;
    negate: negate condition `!try_module_get(it->owner)`
        if (!(!try_module_get(it->owner))) //+
    never: never exit if `!try_module_get(it->owner)`
        if ((!try_module_get(it->owner)) && 0) //+
    drop-try-module-get: replace reference count change `try_module_get(it->owner)` by 1
        if (!1) //+
    return-0: return 0 instead of `-ENODEV`
        return 0; //+
    return-einval: return -EINVAL instead of `-ENODEV`
        return -EINVAL; //+
    drop-set-err: delete assignment `err = it->call(&args, 1);`
        ; //+
    constant: replace `1` by `0` in `err = it->call(&args, 1);`
        err = it->call(&args, 0); //+
    strip-warn-on: remove warning of `WARN_ON(err <= 0 && !it->ok)`
        if ((err <= 0 && !it->ok)) { //+
    negate: negate condition `WARN_ON(err <= 0 && !it->ok)`
        if (!(WARN_ON(err <= 0 && !it->ok))) { //+
    never: never exit if `WARN_ON(err <= 0 && !it->ok)`
        if ((WARN_ON(err <= 0 && !it->ok)) && 0) { //+
    compare: replace `<=` by `<` in `if (WARN_ON(err <= 0 && !it->ok))`
        if (WARN_ON(err < 0 && !it->ok)) { //+
    constant: replace `0` by `1` in `if (WARN_ON(err <= 0 && !it->ok))`
        if (WARN_ON(err <= 1 && !it->ok)) { //+
    compare: replace `&&` by `||` in `if (WARN_ON(err <= 0 && !it->ok))`
        if (WARN_ON(err <= 0 || !it->ok)) { //+
    drop-module-put: delete reference count change `module_put(it->owner);`
        ; //+
    return-0: return 0 instead of `err`
        return 0; //+
    drop-set-status: delete assignment `it->status = true;`
        ; //+
    constant: replace `true` by `false` in `it->status = true;`
        it->status = false; //+
    negate: negate condition `it->put`
        if (!(it->put)) //+
    never: make condition `it->put` always false
        if ((it->put) && 0) //+
    always: make condition `it->put` always true
        if ((it->put) || 1) //+
    drop-put: delete reference count change `it->put(it);`
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
    insta::assert_snapshot!(listing(code), @"
    drop-mutex-lock: delete call `mutex_lock(&it->lock);`
        ;
    drop-both-mutex-lock: delete lock `mutex_lock(&it->lock);` and its unlocks
        ;
        ;
        ;
    drop-mutex-unlock: delete call `mutex_unlock(&it->lock);`
        ;
    drop-refcount-inc: delete reference count change `refcount_inc(&it->count);`
        ; //+
    swap-refcount-inc-mutex-unlock: swap `refcount_inc(&it->count);` and `mutex_unlock(&it->lock);`
        mutex_unlock(&it->lock); //+
        refcount_inc(&it->count);
    drop-mutex-unlock: delete call `mutex_unlock(&it->lock);`
        ;
    drop-scoped-guard: delete lock `scoped_guard(mutex, &it->other)`
        {
    drop-set-users: delete assignment `it->users++;`
        ; //+
    ");
}
