// SPDX-License-Identifier: MIT OR Apache-2.0
//! Runs a scenario through the library and prints the status of each job.

use std::sync::Arc;

use patchbed_host::{cancel::Cancel, events::Silent};
use xtask::engine::{
    layout::DataArgs, options::TestOptions, request::Request, run, session::Session,
};

#[allow(clippy::print_stdout, reason = "the output of the example")]
fn main() -> anyhow::Result<()> {
    let session = Session::start(&DataArgs::default(), Cancel::new(), Arc::new(Silent))?;
    let options = TestOptions {
        scenarios: vec!["live-update-kexec".to_owned()],
        ..TestOptions::default()
    };
    let request = Request::look_up(&options, &session)?;
    for job in run::run(&request, &options, None, &session)?.result.jobs {
        println!("{} on {}: {}", job.test, job.checkout, job.status);
    }
    Ok(())
}
