// SPDX-License-Identifier: GPL-2.0-only
//! The kernel's own tests of its detectors bring complaints about on purpose, and
//! find out themselves whether those came. Knows the suites by what KUnit prints.

use super::class::SplatClass;

/// Suites that make sanitizers report.
const SUITES: [&str; 4] = ["kasan", "kfence", "kcsan", "kmsan"];
/// The task in which KUnit runs what may go wrong.
const TASK: &str = "Comm: kunit_try_catch ";

/// Whether such a suite runs.
#[derive(Debug, Default)]
pub(super) struct Suites {
    running: Option<&'static str>,
}

impl Suites {
    /// Reads a line of the kernel's.
    pub(super) fn line(&mut self, text: &str) {
        let text = text.trim_start();
        if let Some(name) = text.strip_prefix("# Subtest: ") {
            let suite = SUITES.into_iter().find(|suite| *suite == name);
            self.running = suite.or(self.running);
        } else if let Some(suite) = self.running
            && is_result_of(text, suite)
        {
            self.running = None;
        }
    }

    /// Whether a complaint of this class is what the running suite is about.
    pub(super) fn is_on_purpose(&self, class: SplatClass) -> bool {
        self.running.is_some() && class == SplatClass::Kasan
    }

    /// Whether it is a task of KUnit's that a report is about.
    pub(super) fn is_reported_by_test<'a>(mut texts: impl Iterator<Item = &'a str>) -> bool {
        texts.any(|text| text.starts_with("CPU: ") && text.contains(TASK))
    }
}

/// `ok 3 kasan`, and `# kasan: pass:61 fail:0 skip:17 total:78` before it.
fn is_result_of(text: &str, suite: &str) -> bool {
    let totals = text
        .strip_prefix("# ")
        .and_then(|rest| rest.strip_prefix(suite));
    let ends = text.starts_with("ok ") || text.starts_with("not ok ");
    let name = text.rsplit(' ').next();
    totals.is_some_and(|rest| rest.starts_with(": pass:")) || ends && name == Some(suite)
}

#[cfg(test)]
mod tests {
    use crate::klog::Log;

    fn report(task: &str) -> String {
        format!(
            "BUG: KASAN: slab-out-of-bounds in f+0x1/0x2\nWrite of size 1 at addr 1 by task {task}/7\n\
             CPU: 0 UID: 0 PID: 7 Comm: {task} Tainted: G\nCall Trace:\n <TASK>\n f+0x1/0x2\n </TASK>\n\
             ==================================================================\n"
        )
    }

    #[test]
    fn what_a_suite_brings_about_is_no_splat() {
        let begins = "    # Subtest: kasan\n    1..2\n";
        let ends = "# kasan: pass:1 fail:0 skip:0 total:1\nok 1 kasan\n";
        let (test, other) = (report("kunit_try_catch"), report("test"));
        let found = |text: &str| {
            Log::parse(format!("Linux version 1\n{text}").as_bytes())
                .splats
                .len()
        };
        assert_eq!(found(&format!("{begins}{test}    ok 1 f\n{test}{ends}")), 0);
        assert_eq!(found(&format!("{begins}{other}{ends}")), 1);
        assert_eq!(found(&format!("{begins}{ends}{test}")), 1);
        assert_eq!(found(&test), 1);
        let torn = test.replace("====", "");
        assert_eq!(found(&format!("{begins}{torn}")), 1);
        let next = "Linux version 1\n";
        assert_eq!(found(&format!("{begins}{next}{test}")), 1);
    }
}
