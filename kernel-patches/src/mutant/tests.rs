// SPDX-License-Identifier: MIT OR Apache-2.0
//! Tests of the parser, the operators, and the mutants of whole files.

use proptest::prelude::*;

use super::operators::changes;
use super::reach::{Held, Reach, held, is_lock, is_unlock, reaches};
use super::*;

mod kernel_style;

const BEFORE: &[u8] = b"#include <a.h>

int luo_flb_get(struct it *it)
{
	return it->obj;
}
";
const BETWEEN: &[u8] = b"#include <a.h>

int luo_flb_get(struct it *it)
{
	it_get(it);
	return it->obj;
}
";
const AFTER: &[u8] = b"#include <a.h>

int luo_flb_get(struct it *it)
{
	/* Words. */
	it_get(it);
	it->users = 1;
	return it->obj;
}
";

fn names(versions: &[&[u8]]) -> Vec<(String, Option<usize>, usize)> {
    let mut bytes_left = BYTES_MAX;
    let path = Utf8Path::new("x/luo_flb.c");
    of_file(path, versions, false, &mut bytes_left)
        .unwrap()
        .into_iter()
        .map(|mutant| (mutant.name, mutant.patch, mutant.line))
        .collect()
}

#[test]
fn of_file_names_mutants_and_finds_their_patch() {
    insta::assert_debug_snapshot!(names(&[BEFORE, BETWEEN, AFTER]), @r#"
    [
        (
            "luo-flb-get-drop-it-get-1",
            Some(
                1,
            ),
            6,
        ),
        (
            "luo-flb-get-swap-it-get-users-1",
            Some(
                1,
            ),
            6,
        ),
        (
            "luo-flb-get-drop-set-users-1",
            Some(
                2,
            ),
            7,
        ),
        (
            "luo-flb-get-constant-1",
            Some(
                2,
            ),
            7,
        ),
        (
            "luo-flb-get-revert-1",
            Some(
                1,
            ),
            6,
        ),
    ]
    "#);
    assert!(names(&[AFTER, AFTER]).is_empty());
    assert!(names(&[]).is_empty());
}

#[test]
fn place_name_drops_words_of_the_file_name() {
    let name = |function| place_name(Utf8Path::new("kernel/luo_flb.c"), function);
    assert_eq!(name("liveupdate-flb-put-outgoing"), "luo-flb-put-outgoing");
    assert_eq!(name("flb"), "luo-flb-flb");
    assert_eq!(name("other"), "luo-flb-other");
    assert_eq!(name(""), "luo-flb");
}

#[test]
fn of_file_returns_none_beyond_the_memory_limit() {
    let path = Utf8Path::new("x/luo_flb.c");
    assert!(of_file(path, &[BEFORE, AFTER], false, &mut AFTER.len()).is_none());
}

/// Returns the statements of all functions, one per line, indented by nesting.
fn listing_of_statements(code: &str) -> String {
    let source = Source::of(code.as_bytes());
    let mut text = String::new();
    for function in &source.functions {
        text += &format!("{}:\n", function.name);
        for statement in &function.statements {
            let mut depth = 1;
            let mut around = statement.parent;
            while let Some(index) = around {
                depth += 1;
                around = function.statements[index].parent;
            }
            let own = String::from_utf8_lossy(source.text_of(&statement.own)).into_owned();
            let own = own.split_whitespace().collect::<Vec<_>>().join(" ");
            let line = format!("{}{:?} {own}", "  ".repeat(depth), statement.kind);
            text += &format!("{}\n", line.trim_end());
        }
    }
    text
}

#[test]
fn parser_classifies_statements() {
    let code = "
static const struct ops table = { .get = it, };
DEFINE_MUTEX(lock);
struct it { int (*call)(void); };
#define X(y) { \\
	y }
static __attribute__((cold)) int __init it_get(struct it *it, void **objp)
{
	struct it_private *private = it_private(it);
	u64 sum, *more;
	int err;

	guard(mutex)(&private->lock);
	if (!private->obj)
		return -ENOENT;
	else if (x) {
		err = 1;
		goto out;
	}
	scoped_guard(mutex, &lock)
		refcount_inc(&private->count);
	list_for_each_entry(i, list, list) {
		switch (i) {
		case 1:
			break;
		default: ;
		}
	}
	do { x++; } while (x < 3);
#ifdef A
	*objp = private->obj;
#endif
out:
	return err ? : 0;
}
";
    insta::assert_snapshot!(listing_of_statements(code), @"
    it_get:
      Declaration struct it_private *private = it_private(it);
      Declaration u64 sum, *more;
      Declaration int err;
      Guard guard(mutex)(&private->lock);
      If if (!private->obj)
        Return return -ENOENT;
        If if (x)
          Block
            Expression err = 1;
            Jump goto out;
      ScopedGuard scoped_guard(mutex, &lock)
        Expression refcount_inc(&private->count);
      Body list_for_each_entry(i, list, list)
        Block
          Body switch (i)
            Block
              Label case 1:
              Jump break;
              Label default:
              Empty ;
      Body do
        Block
          Expression x++;
      Expression *objp = private->obj;
      Label out:
      Return return err ? : 0;
    ");
}

#[test]
fn parser_skips_only_a_function_with_unbalanced_brackets() {
    let code = "
void broken(void)
{
#ifdef A
	if (a) {
#else
	if (b) {
#endif
		c();
	}
}

void good(void)
{
	d();
}
";
    insta::assert_snapshot!(listing_of_statements(code), @"
    broken:
    good:
      Expression d();
    ");
}

#[test]
fn parser_returns_odd_for_a_statement_with_a_directive() {
    let code = "void f(void)\n{\n\ta(b,\n#ifdef C\n\t  c\n#endif\n\t  );\n\tMACRO()\n}\n";
    insta::assert_snapshot!(listing_of_statements(code), @"
    f:
      Odd a(b, #ifdef C c #endif );
      Odd MACRO()
    ");
}

#[test]
fn parser_returns_no_statements_for_deep_nesting() {
    let code = format!(
        "void f(void)\n{{{}{}\n}}\n",
        "{".repeat(5000),
        "}".repeat(5000)
    );
    assert_eq!(listing_of_statements(&code), "f:\n");
    let chain = format!("void f(void)\n{{{} a();\n}}\n", "if (a) ".repeat(50_000));
    assert_eq!(listing_of_statements(&chain), "f:\n");
}

/// Returns the changes of all functions in `code` near lines that end with `//+`: name,
/// title and changed lines.
fn listing_of_changes(code: &str) -> String {
    listing_of_operators(code, |_| true)
}

/// Returns the changes by operators with matching names.
fn listing_of_operators(code: &str, is_match: impl Fn(&str) -> bool) -> String {
    let source = Source::of(code.as_bytes());
    let lines: Vec<&str> = code.lines().collect();
    let mut text = String::new();
    for function in &source.functions {
        let changes = changes(&source, function, &|line| lines[line].ends_with("//+"));
        for change in changes
            .into_iter()
            .filter(|change| is_match(&change.operator))
        {
            text += &format!("{}: {}\n", change.operator, change.title);
            let changed = change.apply(code.as_bytes());
            let changed = String::from_utf8_lossy(&changed).into_owned();
            assert_eq!(changed.lines().count(), lines.len(), "{changed}");
            for (before, after) in lines.iter().zip(changed.lines()) {
                if *before != after {
                    let after = Some(after.trim()).filter(|after| !after.is_empty());
                    text += &format!("    {}\n", after.unwrap_or("(empty)"));
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
    insta::assert_snapshot!(listing_of_changes(code), @"
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
    insta::assert_snapshot!(listing_of_changes(code), @"
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

/// Returns the statements near lines that end with `//+`.
fn near(code: &str) -> Vec<(String, Reach)> {
    let source = Source::of(code.as_bytes());
    let lines: Vec<&str> = code.lines().collect();
    let mut near = Vec::new();
    for function in &source.functions {
        let reaches = reaches(&source, function, &held(&source, function), &|line| {
            lines[line].ends_with("//+")
        });
        for (statement, reach) in function.statements.iter().zip(reaches) {
            if reach != Reach::Far {
                let text = String::from_utf8_lossy(source.text_of(&statement.own));
                near.push((text.into_owned(), reach));
            }
        }
    }
    near
}

#[test]
fn reaches_includes_locks_jumps_and_the_innermost_condition_and_loop() {
    let code = "
void f(void)
{
	mutex_lock(&far);
	mutex_unlock(&far);
	mutex_lock(&c);
	guard(mutex)(&a);
	scoped_guard(mutex, &b) {
		if (outer) {
			if (inner) {
				x = 1; //+
				mutex_unlock(&c);
			}
		}
	}
	while (outer) {
		for (;;) {
			if (failed)
				goto undo;
			if (broken)
				goto out;
			y = 1; //+
		}
	}
	return;
undo:
	while (n--)
		y = 0; //+
out:
	if (n)
		goto again;
	y = 2; //+
	guard(mutex)(&later);
}
void g(int new) //+
{
	x = 1;
}
void h(void)
{
	x = 1;
}
";
    let near = near(code);
    let named: Vec<(&str, Reach)> = near
        .iter()
        .map(|(text, reach)| (text.as_str(), *reach))
        .collect();
    assert_eq!(
        named,
        [
            ("mutex_lock(&c);", Reach::Around),
            ("guard(mutex)(&a);", Reach::Around),
            ("scoped_guard(mutex, &b)", Reach::Around),
            ("if (inner)", Reach::Around),
            ("x = 1;", Reach::Changed),
            ("mutex_unlock(&c);", Reach::Around),
            ("for (;;)", Reach::Around),
            ("goto undo;", Reach::Around),
            ("goto out;", Reach::Around),
            ("y = 1;", Reach::Changed),
            ("while (n--)", Reach::Around),
            ("y = 0;", Reach::Changed),
            ("y = 2;", Reach::Changed),
            ("x = 1;", Reach::Changed),
        ]
    );
}

#[test]
fn is_lock_and_is_unlock_classify_function_names() {
    for name in ["mutex_lock", "down_read", "spin_lock_irq", "rcu_read_lock"] {
        assert!(
            is_lock(name.as_bytes()) && !is_unlock(name.as_bytes()),
            "{name}"
        );
    }
    for name in ["mutex_unlock", "up_write", "spin_unlock_irq"] {
        assert!(
            is_unlock(name.as_bytes()) && !is_lock(name.as_bytes()),
            "{name}"
        );
    }
    for name in ["update", "lockdep_assert_held", "block", "spin_lock_init"] {
        assert!(!is_lock(name.as_bytes()), "{name}");
    }
}

#[test]
fn held_pairs_calls_with_the_same_argument() {
    let code = "void f(void)\n{\n\tmutex_lock(&a);\n\tmutex_lock(&b);\n\tif (c) {\n\t\t\
        mutex_unlock(&a);\n\t\treturn;\n\t}\n\tmutex_unlock(&a);\n\tdown_read(&never);\n}\n";
    let source = Source::of(code.as_bytes());
    let found = held(&source, &source.functions[0]);
    let released = vec![4, 6];
    assert_eq!(
        found,
        [Held {
            acquired: 0,
            released
        }]
    );
}

fn patch(from: &str, to: &str) -> String {
    format!("diff --git a/f.c b/f.c\n--- a/f.c\n+++ b/f.c\n@@ -1 +1 @@\n-{from}\n+{to}\n")
}

#[test]
fn mutant_folder_applies_patches_to_the_series() {
    let dir = tempfile::tempdir().unwrap();
    let root = Utf8Path::from_path(dir.path()).unwrap();
    fs::create_dir_all(root.join("tree")).unwrap();
    fs::create_dir_all(root.join("s/mutants")).unwrap();
    fs::write(root.join("tree/f.c"), "a\n").unwrap();
    fs::write(root.join("s/mutants/slip.patch"), patch("b", "c")).unwrap();
    fs::write(
        root.join("s/mutants/equivalent.yaml"),
        "x-1:\n  why: Because.\n  configs: [fast]\n  unreachable_while: fix is not applied\n",
    )
    .unwrap();
    let tree = Tree::fixed("test", &root.join("tree"), "the test tree");
    let series = Series {
        name: "s".to_owned(),
        title: String::new(),
        patches: [("a", "x"), ("x", "b")]
            .map(|(from, to)| mail::parse_one("p", patch(from, to).as_bytes()).unwrap())
            .to_vec(),
        ..Series::default()
    };
    let cancel = Cancel::new();
    let checkouts = crate::checkout::checkouts(&tree, &[], &series, &[], &cancel).unwrap();
    let folder = MutantFolder::read(&root.join("s")).unwrap();
    let claim = &folder.equivalent["x-1"];
    assert_eq!(
        (claim.why.as_str(), &claim.configs[..]),
        ("Because.", &["fast".to_owned()][..])
    );
    let condition = claim.unreachable_while.as_ref().unwrap();
    assert_eq!(condition.to_string(), "fix is not applied");
    let mutants = folder.mutants(&tree, &checkouts.series, &cancel).unwrap();
    assert_eq!(mutants.len(), 1);
    assert_eq!((mutants[0].name.as_str(), mutants[0].line), ("slip", 1));
    assert!(mutants[0].diff.contains("-b\n+c\n"), "{}", mutants[0].diff);
    let error = folder.mutants(&tree, &checkouts.base, &cancel).unwrap_err();
    assert!(
        error.to_string().contains("applying mutant `slip`"),
        "{error}"
    );
    let named = root.join("s/mutants/a,b.patch");
    fs::rename(root.join("s/mutants/slip.patch"), named).unwrap();
    let error = MutantFolder::read(&root.join("s")).unwrap_err().to_string();
    assert!(error.contains("invalid name of a mutant `a,b`"), "{error}");
    let claims = root.join("s/mutants/equivalent.yaml");
    fs::remove_file(root.join("s/mutants/a,b.patch")).unwrap();
    fs::write(
        &claims,
        "x-1:\n  why: Because.\n  unreachable_while: fix is gone\n",
    )
    .unwrap();
    let error = MutantFolder::read(&root.join("s")).unwrap_err().to_string();
    assert!(error.contains("invalid condition `fix is gone`"), "{error}");
    // The first patch cannot be reverted without the second.
    let reverted = without_each_patch(&tree, &checkouts.series, &series, &cancel).unwrap();
    let names: Vec<&str> = reverted.iter().map(|mutant| mutant.name.as_str()).collect();
    assert_eq!(names, ["without-patch-2"]);
    assert!(MutantFolder::read(root).unwrap().equivalent.is_empty());
}

/// Random sequences of C tokens.
fn code() -> impl Strategy<Value = String> {
    let words = "if else while for do case return break continue guard scoped_guard goto f x \
        x: mutex_lock mutex_unlock down_write up_write spin_lock_irqsave rwsem_write WARN_ON \
        READ_ONCE list_for_each_entry_safe GFP_ATOMIC get_device __free it_put int -- \
        ( ) { } [ ] ; : , = == <= * -> ! & 0 1 \" ' /* */ // #";
    let lines = ["\\\n", "\n", "\n", "\n}", "\n}\n", "void f(void)\n{\n"];
    let pieces: Vec<&str> = words.split(' ').chain(lines).collect();
    prop::collection::vec(prop::sample::select(pieces), 0..200).prop_map(|pieces| pieces.join(" "))
}

proptest! {
    #[test]
    fn of_file_accepts_any_bytes(
        before in prop::collection::vec(any::<u8>(), 0..300),
        after in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let path = Utf8Path::new("a.c");
        let mutants = of_file(path, &[&before, &after], false, &mut { BYTES_MAX });
        prop_assert!(mutants.is_some());
    }

    #[test]
    fn of_file_is_deterministic_and_mutants_differ_from_the_source(
        before in code(),
        after in code(),
    ) {
        let versions = [before.as_bytes(), after.as_bytes()];
        let path = Utf8Path::new("a.c");
        let mutants = || of_file(path, &versions, false, &mut { BYTES_MAX }).unwrap();
        let (first, second) = (mutants(), mutants());
        prop_assert_eq!(&first, &second);
        let mut names: Vec<&str> = first.iter().map(|mutant| mutant.name.as_str()).collect();
        for mutant in &first {
            let state = mutant.changed.files()[path].as_ref();
            prop_assert_ne!(bytes_of(state), after.as_bytes());
        }
        names.sort_unstable();
        names.dedup();
        prop_assert_eq!(names.len(), first.len());
    }
}
