//! `cronctl fleet-agent`, an internal verb: talks to the engine of a fleet.
//!
//! The daemon starts it as a user without privileges, with a socket as standard input; see [`crate::fleet`]. It ends when the connection to the
//! engine is lost, or when the daemon has closed that socket.

use super::sandbox::{self, Helper};
use crate::fleet::{AgentError, prepare};
use crate::sys::descriptor::StandardStream;
use crate::sys::{descriptor, files, process, signal};
use std::process::ExitCode;

pub(super) use crate::fleet::message::VERB;

/// Runs the agent until one of its connections ends.
pub(super) fn run() -> ExitCode {
    // The daemon may be spared when memory is short; another agent follows this one. Where that fails, it is spared, too.
    let _ = process::reset_oom_score();
    match serve() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There may be nobody who reads it.
            let _ = files::write_all(
                descriptor::standard(StandardStream::Error),
                format!("cronctl {VERB}: {error}\n").as_bytes(),
            );
            ExitCode::FAILURE
        }
    }
}

fn serve() -> Result<(), AgentError> {
    // A signal to a whole session or unit ends the daemon, and that ends this process.
    signal::block()?;
    process::clear_dumpable()?;
    let main = descriptor::standard(StandardStream::Input).try_clone_to_owned()?;
    let agent = prepare(main)?;
    if let Some(missing) = sandbox::enter(Helper::Fleet { ports: &agent.ports() }) {
        agent.inform(format!("the sandbox of the agent of the fleet is incomplete: {missing}"))?;
    }
    agent.run()
}
