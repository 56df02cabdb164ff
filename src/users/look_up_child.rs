//! Looks up users and the SELinux contexts of their jobs for the daemon: `crond --look-up-users NAME...`. libselinux asks the name service in
//! getseuserbyname(3), which may hang. So the daemon spawns its own program for that, and ends it if the answer takes too long.

use super::user::User;
use crate::sys::selinux::Policy;
use serde::{Deserialize, Serialize};
use std::ffi::{CString, OsString};
use std::io::{self, Write};
use std::process::Command;

/// The first argument. It is no option for people, so that no page names it.
const VERB: &str = "--look-up-users";
/// The program of this process, also after its file was replaced.
const OWN_PROGRAM: &str = "/proc/self/exe";

/// What the child has found of a user: a line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
pub struct NamedUser {
    /// The login name.
    pub name: String,
    /// The number of the user.
    pub uid: u32,
    /// The SELinux context of the user's jobs, or why there is none. None: there is no policy.
    pub context: Option<Result<CString, String>>,
}

/// The command that looks users up. Their names are appended.
pub(super) fn command() -> Command {
    let mut command = Command::new(OWN_PROGRAM);
    command.arg(VERB);
    command
}

/// Whether these are the arguments of such a process.
pub fn is_meant(arguments: &[OsString]) -> bool {
    arguments.get(1).is_some_and(|verb| verb == VERB)
}

/// Looks the users up and writes them to standard output. A name that nobody has is left out.
///
/// # Errors
///
/// The name service fails, or nobody reads the answer.
pub fn answer(arguments: &[OsString]) -> io::Result<()> {
    let policy = Policy::of_machine();
    for name in arguments.iter().skip(2).filter_map(|name| name.to_str()) {
        // A name of digits may be looked up as a number; only the name in the answer counts.
        let Some(user) = User::by_name(name)?.filter(|user| user.name == name) else { continue };
        let context = policy.map(|policy| context_of(&policy, name));
        let mut line = serde_json::to_vec(&NamedUser { name: user.name, uid: user.uid, context })?;
        line.push(b'\n');
        io::stdout().write_all(&line)?;
    }
    Ok(())
}

/// The SELinux context of a user's jobs, or why there is none.
pub(super) fn context_of(policy: &Policy, name: &str) -> Result<CString, String> {
    let name = CString::new(name).map_err(|error| error.to_string())?;
    policy.context_of_user(&name).map_err(|error| error.to_string())
}

/// The users in an answer, complete lines of it.
pub(super) fn read(answer: &[u8]) -> impl Iterator<Item = NamedUser> {
    answer.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok())
}
