// SPDX-License-Identifier: MIT OR Apache-2.0
//! Parse results of whole functions.

use super::*;

/// Returns the statements of all functions, one per line, indented by nesting.
fn listing(code: &str) -> String {
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
    insta::assert_snapshot!(listing(code), @"
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
    insta::assert_snapshot!(listing(code), @"
    broken:
    good:
      Expression d();
    ");
}

#[test]
fn parser_returns_odd_for_a_statement_with_a_directive() {
    let code = "void f(void)\n{\n\ta(b,\n#ifdef C\n\t  c\n#endif\n\t  );\n\tMACRO()\n}\n";
    insta::assert_snapshot!(listing(code), @"
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
    assert_eq!(listing(&code), "f:\n");
    let chain = format!("void f(void)\n{{{} a();\n}}\n", "if (a) ".repeat(50_000));
    assert_eq!(listing(&chain), "f:\n");
}
