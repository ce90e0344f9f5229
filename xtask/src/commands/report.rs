// SPDX-License-Identifier: GPL-2.0-only
//! report
use crate::cli::ReportArgs;
use crate::exit::Exit;
use crate::session::Session;

pub(crate) fn run(_args: &ReportArgs, _session: &Session) -> anyhow::Result<Exit> {
    Ok(Exit::Ok)
}
