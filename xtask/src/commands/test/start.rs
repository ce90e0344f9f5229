// SPDX-License-Identifier: GPL-2.0-only
//! How guests start: from a template of their kernel, or by booting.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use camino::Utf8Path;
use fs_err as fs;
use patchbed_host::events::{Event, Observer};
use selftests::klog::Log;
use vm_images::accel::Accelerator;
use vm_images::machine::Machine;
use vm_images::template::{NoTemplate, Template};
use vm_images::vm::VmSpec;

use super::cells::Cell;
use super::prepare::Ground;
use crate::commands::rig::Rig;
use crate::session::Session;

/// How the guests of a kernel on a machine start.
#[derive(Debug)]
pub(crate) struct Start<'a> {
    ground: &'a Ground,
    machine: &'a Machine,
    /// Where they go on from, unless they boot.
    pub(crate) template: Option<Template>,
}

impl Start<'_> {
    /// Returns whether a cell's guest starts like this.
    pub(crate) fn is_for(&self, cell: &Cell<'_>) -> bool {
        std::ptr::eq(self.ground, cell.ground) && self.machine.name == cell.machine.name
    }
}

/// Returns a start for each kernel and machine that cells need; of those whose guests
/// have to boot, it is said why.
pub(crate) fn starts<'a>(
    cells: &[Cell<'a>],
    rig: &Rig,
    jobs: usize,
    session: &Session,
) -> Vec<Start<'a>> {
    let mut needed: Vec<Start<'a>> = Vec::new();
    for cell in cells {
        if !needed.iter().any(|start| start.is_for(cell)) {
            needed.push(Start {
                ground: cell.ground,
                machine: cell.machine,
                template: None,
            });
        }
    }
    let next = AtomicUsize::new(0);
    let made: Mutex<Vec<(usize, Template)>> = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(needed.len()) {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::SeqCst);
                    let Some(start) = needed.get(index) else {
                        break;
                    };
                    if let Some(template) = template(start, rig, session) {
                        let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                        made.push((index, template));
                    }
                }
            });
        }
    });
    for (index, template) in made.into_inner().unwrap_or_else(PoisonError::into_inner) {
        needed[index].template = Some(template);
    }
    let in_use: Vec<Template> = needed.iter().flat_map(|one| one.template.clone()).collect();
    rig.templates.tidy(&in_use);
    needed
}

/// Returns the cells with the templates of their kernels and machines.
pub(super) fn start_from<'a>(cells: &[Cell<'a>], starts: &'a [Start<'_>]) -> Vec<Cell<'a>> {
    let template = |cell: &Cell<'_>| {
        let start = starts.iter().find(|start| start.is_for(cell))?;
        start.template.as_ref()
    };
    cells
        .iter()
        .map(|cell| Cell {
            template: template(cell),
            ..cell.clone()
        })
        .collect()
}

fn template(start: &Start<'_>, rig: &Rig, session: &Session) -> Option<Template> {
    let (ground, machine) = (start.ground, start.machine);
    let Ground { stack, profile, .. } = ground;
    let name = format!("{stack} ({profile}) on {}", machine.name);
    let spec = rig.spec(
        &name,
        machine,
        &ground.kernel.image(),
        &ground.initramfs,
        &ground.guest,
        Utf8Path::new(""),
    );
    saved(&spec, rig, session)
}

/// Returns the template of a machine; where its guests have to boot, it is said why.
pub(crate) fn saved(spec: &VmSpec, rig: &Rig, session: &Session) -> Option<Template> {
    if rig.accelerator == Accelerator::Kvm {
        // Boots take a fraction of a second there, and nobody has yet seen that
        // the clocks of a guest that goes on are right.
        return None;
    }
    let say = |why: &str| {
        let text = format!("every guest of {} boots: {why}", spec.name);
        session.progress.event(Event::Note { text });
    };
    match rig.templates.get(spec, &session.cancel, &session.progress) {
        Ok(template) => match complaint(&template) {
            None => Some(template),
            Some(title) => {
                // One boot must not speak for all that would have been.
                say(&format!("its kernel complains in its boot, `{title}`"));
                rig.templates.forget(&template);
                None
            }
        },
        Err(NoTemplate::Cancelled | NoTemplate::Unsaved(_)) => None,
        Err(why) => {
            say(&format!("it cannot be saved: {why}"));
            None
        }
    }
}

/// Returns the first complaint in the boot of a template that a cell would be held
/// to, a splat or a line at level error, or that its log cannot be read.
fn complaint(template: &Template) -> Option<String> {
    match fs::read(template.console()) {
        Ok(console) => {
            let log = Log::parse(&console);
            let splat = log.splats.first().map(|splat| splat.title.clone());
            let line = || log.stray_errors(1).next().map(|line| line.text.clone());
            // A guest that goes on from here would find all its waits cut short.
            let doubt = || log.clock_doubt().map(|line| line.text.clone());
            splat.or_else(line).or_else(doubt)
        }
        Err(error) => Some(error.to_string()),
    }
}
