// SPDX-License-Identifier: GPL-2.0-only
//! `test`: the whole chain, from arguments to the table.

mod cells;
mod prepare;

use crate::cli::TestArgs;
use crate::exit::Exit;
use crate::session::Session;

pub(crate) fn run(_args: &TestArgs, _session: &Session) -> anyhow::Result<Exit> {
    Ok(Exit::Ok)
}
