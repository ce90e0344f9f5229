// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan as text, for `--dry-run`.

use kernel_patches::tree::TreeRequest;

use crate::engine::checkouts::{MUTANTS, SERIES};
use crate::engine::plan::Plan;

/// Returns the plan as text.
pub fn text(plan: &Plan) -> String {
    let tree = match &plan.tree {
        TreeRequest::Default => "newest linux-source-7.x of Debian".to_owned(),
        TreeRequest::Directory(path) => path.to_string(),
        TreeRequest::Git {
            repository,
            revision,
        } => format!("{repository}@{revision}"),
    };
    let mut text = format!("tree:      {tree}\n");
    for checkout in &plan.checkouts {
        let mut applied = plan.prerequisites.clone();
        match checkout.strip_prefix("patch-") {
            Some("1") => applied.push(format!("patch 1 of {}", plan.series)),
            Some(number) => applied.push(format!("patches 1 to {number} of {}", plan.series)),
            None if checkout == SERIES => applied.push(plan.series.clone()),
            None => {}
        }
        text += &format!("checkout:  {checkout} = tree + {}\n", applied.join(" + "));
    }
    let snapshots = if plan.check_snapshots {
        "checked"
    } else {
        "ignored"
    };
    text += &format!("configs:   {}\n", plan.configs.join(", "));
    let machine = plan.machine.as_deref();
    let machine = machine.unwrap_or("as named by each scenario");
    text += &format!("machine:   {machine}\nsnapshots: {snapshots}\n");
    for wanted in &plan.kselftests {
        let note = match wanted.test {
            Some(_) => "",
            None => " (tests listed after the tree has been read)",
        };
        text += &format!("kselftest: {wanted}{note}\n");
    }
    match plan.mutants.as_slice() {
        [] => {}
        [all] if all == MUTANTS => {
            text += &format!(
                "mutants:   all of {} (listed after the tree has been read)\n",
                plan.series
            );
        }
        named => text += &format!("mutants:   {}\n", named.join(", ")),
    }
    let more = match plan.kselftests.len() {
        0 => "",
        _ => " and the kselftests of the tree",
    };
    text += &format!("jobs:      {}{more}\n", plan.jobs.len());
    for job in &plan.jobs {
        text += &format!("  {}\n", job.label());
    }
    text
}
