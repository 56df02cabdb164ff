//! Looks up users and the SELinux contexts of their jobs for the daemon: `crond --look-up-users NAME...`. The name service, which libselinux asks too
//! in getseuserbyname(3), may hang, and a process with threads cannot ask it in a mere fork. So the daemon spawns its own program for that, and
//! ends it if the answer takes too long.

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

/// Looks the users up and writes them to standard output. A name that nobody has is left out, and so is one whose lookup fails.
///
/// # Errors
///
/// Nobody reads the answer.
pub fn answer(arguments: &[OsString]) -> io::Result<()> {
    let policy = Policy::of_machine();
    let names = arguments.iter().skip(2).filter_map(|name| name.to_str());
    let context = |name: &str| policy.map(|policy| context_of(&policy, name));
    write_users(names, User::by_name, context, &mut io::stdout())
}

fn write_users<'a>(
    names: impl Iterator<Item = &'a str>,
    look_up: impl Fn(&str) -> io::Result<Option<User>>,
    context: impl Fn(&str) -> Option<Result<CString, String>>,
    output: &mut impl Write,
) -> io::Result<()> {
    for name in names {
        // A failure may concern this name only. A name of digits may be looked up as a number; only the name in the answer counts.
        let Some(user) = look_up(name).ok().flatten().filter(|user| user.name == name) else { continue };
        let context = context(name);
        let mut line = serde_json::to_vec(&NamedUser { name: user.name, uid: user.uid, context })?;
        line.push(b'\n');
        output.write_all(&line)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_whose_look_up_fails_does_not_hide_those_behind_it() {
        let look_up = |name: &str| match name {
            "broken" => Err(io::Error::from_raw_os_error(libc::EIO)),
            "gone" => Ok(None),
            "7" => Ok(Some(user("seven", 7))),
            _ => Ok(Some(user(name, 1000))),
        };
        let mut answer = Vec::new();
        let names = ["alice", "broken", "gone", "7", "bob"];
        write_users(names.into_iter(), look_up, |_| None, &mut answer).unwrap();
        let users: Vec<(String, u32)> = read(&answer).map(|user| (user.name, user.uid)).collect();
        assert_eq!(users, [("alice".to_owned(), 1000), ("bob".to_owned(), 1000)]);
    }

    fn user(name: &str, uid: u32) -> User {
        User { name: name.to_owned(), uid, gid: 0, home: b"/".to_vec() }
    }
}
