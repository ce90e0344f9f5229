// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plan as text, for `--dry-run`.

use kernel_patches::tree::TreeRequest;

use crate::engine::checkouts::MUTANTS;
use crate::engine::plan::Plan;
use crate::job_plan::SERIES;

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
        applied.insert(0, "tree".to_owned());
        text += &format!("checkout:  {checkout} = {}\n", applied.join(" + "));
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

#[cfg(test)]
mod tests {
    use kernel_patches::kselftest::Wanted;

    use super::*;
    use crate::engine::plan::PlanRequest;
    use crate::engine::plan::tests::plan_request;

    #[test]
    fn text_of_a_plan_lists_checkouts_and_jobs() {
        insta::assert_snapshot!(text(&Plan::new(plan_request())), @"
        tree:      newest linux-source-7.x of Debian
        checkout:  base = tree + pci-liveupdate + liveupdate-test-driver
        checkout:  series = tree + pci-liveupdate + liveupdate-test-driver + flb-refcount
        configs:   fast
        machine:   as named by each scenario
        snapshots: checked
        jobs:      4
          live-update-kexec on base (fast)
          live-update-kexec on series (fast)
          sysfs-remove-while-preserved on base (fast)
          sysfs-remove-while-preserved on series (fast)
        ");
    }

    #[test]
    fn text_of_a_plan_lists_mutants_by_name() {
        let of = |words: &[&str]| {
            let mutants = words.iter().map(|word| (*word).to_owned()).collect();
            text(&Plan::new(PlanRequest {
                mutants,
                ..plan_request()
            }))
        };
        let all = "mutants:   all of flb-refcount (listed after the tree has been read)\n";
        assert!(of(&["mutants"]).contains(all));
        assert!(of(&["mutant-a-1", "mutant-b-2"]).contains("mutants:   mutant-a-1, mutant-b-2\n"));
        assert!(!of(&[]).contains("mutant"));
    }

    #[test]
    fn text_of_a_plan_names_kselftests_before_the_tree_is_read() {
        let plan = Plan::new(PlanRequest {
            scenarios: Vec::new(),
            kselftests: vec![
                Wanted::parse("liveupdate:luo_kexec_simple").unwrap(),
                Wanted::parse("filesystems/epoll").unwrap(),
            ],
            check_snapshots: false,
            repeat: 2,
            ..plan_request()
        });
        insta::assert_snapshot!(text(&plan), @"
        tree:      newest linux-source-7.x of Debian
        checkout:  base = tree + pci-liveupdate + liveupdate-test-driver
        checkout:  series = tree + pci-liveupdate + liveupdate-test-driver + flb-refcount
        configs:   fast
        machine:   as named by each scenario
        snapshots: ignored
        kselftest: liveupdate:luo_kexec_simple
        kselftest: filesystems/epoll (tests listed after the tree has been read)
        jobs:      0 and the kselftests of the tree
        ");
    }
}
