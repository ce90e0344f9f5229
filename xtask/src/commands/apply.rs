// SPDX-License-Identifier: GPL-2.0-only
//! `apply`: tree and series to stacks, and nothing more.

use kernel_patches::mutant::Mutant;
use kernel_patches::stack::MUTANT_PREFIX;

use crate::cli::ApplyArgs;
use crate::commands::sources::Request;
use crate::exit::Exit;
use crate::render;
use crate::session::Session;
use crate::stacks::SERIES;

/// Applies and prints what each stack is.
pub(crate) fn run(args: &ApplyArgs, session: &Session) -> anyhow::Result<Exit> {
    let sources = Request::from_args(&args.source, session)?.apply(session)?;
    session.progress.clear();
    let mut text = format!("tree: {}\n", sources.tree.label());
    for stack in &sources.stacks {
        let contains: Vec<&str> = stack.contains.iter().map(String::as_str).collect();
        text += &format!(
            "{}: contains {}; differs from the tree in\n",
            stack.name,
            contains.join(", ")
        );
        for (path, state) in stack.overlay.files() {
            text += &format!(
                "  {path}{}\n",
                if state.is_none() { " (removed)" } else { "" }
            );
        }
        if let Some(out) = &args.out {
            stack.overlay.write_over(&out.join(&stack.name))?;
        }
    }
    for mutant in &sources.mutants {
        let name = format!("{MUTANT_PREFIX}{}", mutant.name);
        let Mutant {
            file, line, title, ..
        } = mutant;
        text += &format!("{name}: in {file}:{line}, {title}\n");
        if let Some(out) = &args.out {
            let series = sources.stacks.iter().find(|one| one.name == SERIES);
            let overlay = series.map(|one| one.overlay.with(&mutant.changed));
            overlay.unwrap_or_default().write_over(&out.join(&name))?;
        }
    }
    render::to_stdout(&text)?;
    Ok(Exit::Ok)
}
