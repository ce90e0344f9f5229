// SPDX-License-Identifier: MIT OR Apache-2.0
//! `inject`: injects faults into a kernel and records its reports.

use anyhow::Context;
use camino::Utf8Path;
use selftests::fault;
use selftests::status::Status;

use crate::cli::{DEFAULT_MACHINE, InjectArgs, SourceArgs};
use xtask::engine::build::{build_all, find_configs, pack};
use xtask::engine::environment::{Environment, find_needs};
use xtask::engine::executor;
use xtask::engine::inject::{self, Kit};
use xtask::engine::inject::{Guest, Injected, TimeLimits};
use xtask::engine::program;
use xtask::engine::session::Session;
use xtask::engine::sources::SourceRequest;
use xtask::exit::{Exit, bad_input};
use xtask::report;

/// Injects each group of faults in its own guest and prints the results.
pub(crate) fn run(args: &InjectArgs, session: &Session) -> anyhow::Result<Exit> {
    let groups = groups(&args.words)?;
    let configs = find_configs(std::slice::from_ref(&args.config), session)?;
    let sources = SourceRequest::from_args(&source(args), session)?.apply(session)?;
    let built = build_all(&sources, &configs, Some(&inject::modules()?), session)?;
    let built = built.into_iter().next().context("no kernel was built")?;
    let modules = built.modules.context("no module was built")?;
    let kit = Kit::make(&modules, session)?;
    let machines: Vec<&str> = groups.iter().map(|words| machine(args, words)).collect();
    let environment = Environment::set_up(machines.iter().copied(), session)?;
    let needs = find_needs(&args.config, session)?;
    let initramfs = pack(&built.kernel, &environment, session)?;
    let image = built.kernel.image();
    environment.choose_accelerator(machines[0], &image, &initramfs, &needs, session)?;
    let out = match &args.out {
        Some(out) => out.clone(),
        None => session.layout.state("faults")?,
    };
    let mut exit = Exit::Ok;
    for (words, machine) in groups.iter().zip(machines) {
        let folder = out.join(folder_name(words));
        fs_err::create_dir_all(&folder)?;
        let machine = environment.machine(machine)?;
        let label = format!("inject {}", folder_name(words));
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
        exit = worst(exit, exit_of(&injected));
        print(words, &injected, &folder)?;
    }
    Ok(exit)
}

/// Splits arguments at `+`. Faults that a comma joins stay together: they are injected at the
/// same time. Without arguments, one guest injects no fault; the program lists them instead.
fn groups(arguments: &[String]) -> anyhow::Result<Vec<Vec<String>>> {
    if arguments.is_empty() {
        return Ok(vec![Vec::new()]);
    }
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

fn folder_name(words: &[String]) -> String {
    match words {
        [] => "list".to_owned(),
        words => words.join("+"),
    }
}

fn exit_of(injected: &Injected) -> Exit {
    match injected.judgement.status {
        Status::Error => Exit::Infrastructure,
        Status::Fail => Exit::Finding,
        _ => Exit::Ok,
    }
}

fn worst(one: Exit, other: Exit) -> Exit {
    if one as u8 >= other as u8 { one } else { other }
}

fn print(words: &[String], injected: &Injected, folder: &Utf8Path) -> anyhow::Result<()> {
    if words.is_empty() {
        return Ok(report::to_stdout(&injected.output)?);
    }
    report::to_stdout(&format!(
        "{}: {}: {}\n  see: {folder}/serial.log",
        words.join("+"),
        injected.judgement.status,
        injected.judgement.reason
    ))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_splits_at_plus_and_rejects_odd_words() {
        let arguments = ["warn".to_owned(), "bug+null-write".to_owned()];
        assert_eq!(
            groups(&arguments).unwrap(),
            [vec!["warn"], vec!["bug", "null-write"]]
        );
        assert_eq!(groups(&[]).unwrap(), [Vec::<String>::new()]);
        for odd in ["", "warn+", "../warn", "Warn"] {
            let error = groups(&[odd.to_owned()]).unwrap_err();
            assert!(
                error.to_string().contains("is not a list of faults"),
                "{error}"
            );
        }
    }
}
