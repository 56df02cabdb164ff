//! Executes a program as another user: `crond --execute-as PROGRAM UID GID ARGUMENT...`.
//!
//! posix_spawn(3) cannot change the user id, and a fork of a daemon with large tables would copy their page tables, and its pages one by one
//! while both continue. So the daemon has its own program spawned, which changes its identity and executes the other one.

use crate::crontab::printable;
use crate::history::message::RecorderMessage;
use crate::sys::descriptor::StandardStream;
use crate::sys::files::reason;
use crate::sys::{descriptor, process};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

/// The first argument. It is no option for people, so that no page names it.
const VERB: &str = "--execute-as";
/// The program of this process, also after its file was replaced.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// The command that executes a program with these ids and no supplementary groups. Arguments are appended.
pub(super) fn command((uid, gid): (u32, u32), program: &Path) -> Command {
    let mut command = Command::new(OWN_PROGRAM);
    command.arg(VERB).arg(program).arg(uid.to_string()).arg(gid.to_string());
    command
}

/// Whether these are the arguments of a process of [`command`].
pub(super) fn is_meant(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|verb| verb == VERB)
}

/// Changes the identity and executes the program.
///
/// # Errors
///
/// Returns only on failure, after sending the reason to the daemon, which reads the other end of standard input.
pub(super) fn execute(arguments: &[OsString]) -> io::Error {
    let error = change_and_execute(arguments);
    let program = arguments.get(2).map(|program| printable(program.as_encoded_bytes()).to_string()).unwrap_or_default();
    let message = RecorderMessage::NotStarted(format!("{program}: {}", reason(&error)));
    if let Ok(mut line) = serde_json::to_vec(&message) {
        line.push(b'\n');
        // If standard input is no socket, no daemon reads it.
        let _ = descriptor::send(descriptor::standard(StandardStream::Input), &[io::IoSlice::new(&line)]);
    }
    error
}

fn change_and_execute(arguments: &[OsString]) -> io::Error {
    let [_, _, program, uid, gid, rest @ ..] = arguments else {
        return io::Error::other("expected --execute-as PROGRAM UID GID");
    };
    let number = |text: &OsStr| text.to_str().and_then(|text| text.parse::<u32>().ok());
    let (Some(uid), Some(gid)) = (number(uid), number(gid)) else { return io::Error::other("expected two numbers") };
    let changed =
        process::set_groups(&[]).and_then(|()| process::set_group_ids(gid)).and_then(|()| process::set_user_ids(uid));
    match changed {
        Ok(()) if uid != 0 && process::try_become_root() => io::Error::other("the process could become root again"),
        Ok(()) => Command::new(program).args(rest).exec(),
        Err(error) => error,
    }
}
