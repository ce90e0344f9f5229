// SPDX-License-Identifier: GPL-2.0-only
//! How guests start: from a template of their kernel, or by booting.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicUsize, Ordering};

use fs_err as fs;
use selftests::klog::Log;
use testbed_host::events::{Event, Observer};
use vm_images::accel::Accelerator;
use vm_images::template::{NoTemplate, Template};

use super::prepare::Ground;
use crate::commands::rig::Rig;
use crate::session::Session;

/// Returns a template for each kernel; none for one whose guests have to boot,
/// which is said then.
pub(crate) fn templates(
    grounds: &[Ground],
    rig: &Rig,
    jobs: usize,
    session: &Session,
) -> Vec<Option<Template>> {
    let next = AtomicUsize::new(0);
    let made: Mutex<Vec<Option<Template>>> = Mutex::new(vec![None; grounds.len()]);
    std::thread::scope(|scope| {
        for _ in 0..jobs.min(grounds.len()) {
            scope.spawn(|| {
                while let Some(ground) = grounds.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let template = template(ground, rig, session);
                    let mut made = made.lock().unwrap_or_else(PoisonError::into_inner);
                    let index = grounds.iter().position(|one| std::ptr::eq(one, ground));
                    made[index.unwrap_or_default()] = template;
                }
            });
        }
    });
    let made = made.into_inner().unwrap_or_else(PoisonError::into_inner);
    let in_use: Vec<Template> = made.iter().flatten().cloned().collect();
    rig.templates.tidy(&in_use);
    made
}

fn template(ground: &Ground, rig: &Rig, session: &Session) -> Option<Template> {
    let Ground { stack, profile, .. } = ground;
    let name = format!("{stack} ({profile})");
    if rig.accelerator == Accelerator::Kvm {
        // Boots take a fraction of a second there, and nobody has yet seen that
        // the clocks of a guest that goes on are right.
        return None;
    }
    let say = |why: &str| {
        let text = format!("every guest of {name} boots: {why}");
        session.progress.event(Event::Note { text });
    };
    let spec = rig.spec(
        &name,
        &ground.kernel.image(),
        &ground.initramfs,
        &ground.guest,
        camino::Utf8Path::new(""),
    );
    match rig.templates.get(&spec, &session.cancel, &session.progress) {
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
            splat.or_else(line)
        }
        Err(error) => Some(error.to_string()),
    }
}
