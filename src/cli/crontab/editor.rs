//! Runs the caller's editor with the caller's privileges, environment and limits.

use super::failure::Failure;
use super::messages;
use super::session::Session;
use crate::sys::contract::FreshChild;
use crate::sys::interrupts;
use crate::sys::process::{self, Status};
use crate::sys::{descriptor, files, identity::Inherited};
use std::ffi::{CString, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

/// The exit status of a child that cannot start the editor.
const NOT_STARTED: i32 = 127;

/// Runs `sh -c "EDITOR FILE"` in the profile's working directory and waits for its end.
pub fn edit(session: &Session<'_>, file: &Path) -> Result<(), Failure> {
    let editor = choose(session.inherited, session.words.editors);
    let shown = editor.to_string_lossy().into_owned();
    let program = || session.program.to_owned();
    let start_failed = |source: std::io::Error| Failure::EditorStart { program: program(), source: source.into() };
    let mut line = editor.into_vec();
    line.push(b' ');
    line.extend_from_slice(file.as_os_str().as_bytes());
    let line = CString::new(line).map_err(|error| start_failed(error.into()))?;
    let arguments = [c"/bin/sh".to_owned(), c"-c".to_owned(), line];
    let environment = session.inherited.environment();
    let child =
        process::fork(session.inherited.threads(), |child| become_editor(&child, session, &arguments, &environment))
            .map_err(start_failed)?;
    let end =
        process::wait(child).map_err(|source| Failure::EditorWait { program: program(), source: source.into() })?;
    match end {
        Status::Code(0) => Ok(()),
        Status::Code(status) => Err(Failure::EditorStatus { program: program(), editor: shown, status }),
        Status::Signal { number, core_dumped } => {
            Err(Failure::EditorSignal { program: program(), editor: shown, signal: number, core_dumped })
        }
    }
}

/// In the child: drops the set-id privileges permanently, restores the caller's settings, and executes the shell. Returns
/// only on failure.
fn become_editor(child: &FreshChild, session: &Session<'_>, arguments: &[CString], environment: &[CString]) -> i32 {
    let program = session.program;
    if let Err(error) = session.identity.give_up() {
        messages::warn(&format!("{program}: {error}"));
        return NOT_STARTED;
    }
    process::default_signals();
    let prepared = interrupts::ignore_terminal()
        .and_then(|()| process::unblock_signals())
        .and_then(|()| descriptor::close_from(child, 3, &[]));
    if let Err(error) = prepared {
        messages::warn(&format!("{program}: preparing the editor: {}", files::reason(&error)));
        return NOT_STARTED;
    }
    session.inherited.restore();
    // As in the reference implementation, temporary files of editors end up in /tmp. If there is no /tmp, the working
    // directory stays as it is.
    if session.profile.profile == crate::profile::ProfileName::Debian {
        let _ = process::enter(c"/tmp");
    }
    let error = process::Program::new(c"/bin/sh".to_owned(), arguments.to_vec(), environment.to_vec()).exec();
    messages::warn(&format!("{program}: /bin/sh: {}", files::reason(&error)));
    NOT_STARTED
}

/// VISUAL, EDITOR, or the first of the profile's editors that exists; the first one if none does.
fn choose(inherited: &Inherited, fallbacks: &[&str]) -> OsString {
    let named = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|variable| inherited.variable(variable).filter(|value| !value.is_empty()));
    let found = || fallbacks.iter().find(|path| Path::new(path).exists()).or(fallbacks.first());
    named.cloned().or_else(|| found().map(OsString::from)).unwrap_or_else(|| "vi".into())
}
