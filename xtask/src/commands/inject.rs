// SPDX-License-Identifier: MIT OR Apache-2.0
//! `inject`: injects faults into a kernel and records its reports.

use anyhow::Context;
use selftests::fault;
use selftests::status::Status;

use crate::cli::InjectArgs;
use xtask::engine::build::{build_all, find_configs, pack};
use xtask::engine::environment::{Environment, find_needs};
use xtask::engine::executor;
use xtask::engine::inject::{self, Guest, Injected, Kit, TimeLimits};
use xtask::engine::options::{DEFAULT_MACHINE, SourceArgs};
use xtask::engine::program;
use xtask::engine::session::Session;
use xtask::engine::sources::SourceRequest;
use xtask::exit::{Exit, bad_input};
use xtask::report;

/// Injects each group of faults in its own guest and prints the results, or lists the faults
/// if there are no arguments.
pub(crate) fn run(args: &InjectArgs, session: &Session) -> anyhow::Result<Exit> {
    if args.words.is_empty() {
        report::to_stdout(&list())?;
        return Ok(Exit::Ok);
    }
    let groups = groups(&args.words)?;
    let configs = find_configs(std::slice::from_ref(&args.config), session)?;
    let sources = SourceRequest::from_args(&source(args), session)?.apply(session)?;
    let built = build_all(&sources, &configs, Some(&inject::modules()?), session)?;
    let built = built.into_iter().next().context("no kernel was built")?;
    let modules = built.modules.context("no module was built")?;
    let kit = Kit::make(&modules, session)?;
    let machines: Vec<&str> = groups.iter().map(|words| machine(args, words)).collect();
    let environment = Environment::set_up(machines.iter().copied(), session)?;
    let needs = find_needs(&args.config, &session.manifest()?, session)?;
    let initramfs = pack(&built.kernel, &environment, session)?;
    let image = built.kernel.image();
    environment.choose_accelerator(machines[0], &image, &initramfs, &needs, session)?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => session.layout.state("faults")?,
    };
    let mut exits = Vec::new();
    for (words, machine) in groups.iter().zip(machines) {
        let name = words.join("+");
        let folder = out.join(&name);
        fs_err::create_dir_all(&folder)?;
        let machine = environment.machine(machine)?;
        let label = format!("inject {name}");
        let mut spec = environment.spec(&label, machine, &image, &initramfs, &needs, &folder);
        if !args.cold_boot {
            spec.checkpoint = executor::checkpoint(&spec, &environment, session);
        }
        let guest = Guest {
            words,
            time_limits: TimeLimits::of(words, needs.slowness),
            kit: &kit,
        };
        let injected = guest.run(spec, session);
        if session.cancel.is_cancelled() {
            return Ok(Exit::Interrupted);
        }
        session.observer.clear();
        exits.push(exit_of(&injected));
        report::to_stdout(&format!(
            "{name}: {}: {}\n  see: {folder}/serial.log",
            injected.judgement.status, injected.judgement.reason
        ))?;
    }
    Ok(Exit::worst(exits))
}

/// Returns a line for each fault, with the kernel options without which it is not in the
/// module.
fn list() -> String {
    let line = |(name, needs): (&str, String)| match needs.as_str() {
        "" => format!("{name}\n"),
        needs => format!("{name} (needs {needs})\n"),
    };
    fault::faults().into_iter().map(line).collect()
}

/// Splits arguments at `+`. Faults that a comma joins stay together: they are injected at the
/// same time.
fn groups(arguments: &[String]) -> anyhow::Result<Vec<Vec<String>>> {
    let group = |argument: &String| -> anyhow::Result<Vec<String>> {
        let words: Vec<String> = argument.split('+').map(str::to_owned).collect();
        let is_word = |word: &String| {
            let known = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-,".contains(c);
            !word.is_empty() && word.chars().all(known)
        };
        match words.iter().all(is_word) {
            true => Ok(words),
            false => Err(bad_input(
                format!("`{argument}` is not a list of faults"),
                format!("`{} inject` lists the faults", program::name()),
            )),
        }
    };
    arguments.iter().map(group).collect()
}

fn source(args: &InjectArgs) -> SourceArgs {
    SourceArgs {
        tree: args.tree.clone(),
        checkouts: vec![args.checkout.clone()],
        ..SourceArgs::default()
    }
}

fn machine<'a>(args: &'a InjectArgs, words: &[String]) -> &'a str {
    match &args.machine {
        Some(machine) => machine,
        None if words.iter().any(|word| fault::needs_kmemleak(word)) => fault::LEAK_MACHINE,
        None => DEFAULT_MACHINE,
    }
}

fn exit_of(injected: &Injected) -> Exit {
    match injected.judgement.status {
        Status::Error => Exit::Infrastructure,
        Status::Fail => Exit::Finding,
        _ => Exit::Ok,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_has_each_fault_with_the_options_that_it_needs() {
        let list = list();
        assert!(list.starts_with("panic\n"), "{list}");
        assert!(
            list.contains("\nleak (needs CONFIG_DEBUG_KMEMLEAK)\n"),
            "{list}"
        );
    }

    #[test]
    fn groups_splits_at_plus_and_rejects_odd_words() {
        let arguments = ["warn".to_owned(), "bug+null-write".to_owned()];
        assert_eq!(
            groups(&arguments).unwrap(),
            [vec!["warn"], vec!["bug", "null-write"]]
        );
        for odd in ["", "warn+", "../warn", "Warn"] {
            let error = groups(&[odd.to_owned()]).unwrap_err();
            assert!(
                error.to_string().contains("is not a list of faults"),
                "{error}"
            );
        }
    }
}
