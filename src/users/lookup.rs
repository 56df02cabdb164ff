//! Looking up the uid of a login name.

use super::look_up_child::context_of;
use super::passwd_file::PasswdFile;
use super::user::User;
use crate::sys::selinux::Policy;
use std::collections::HashMap;
use std::ffi::CString;

/// How long a child may take to look users up, in milliseconds.
pub(super) const LIMIT_MS: i64 = 10_000;

/// The result of looking up a uid.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lookup {
    /// The user exists and has this uid.
    Known(u32),
    /// No user of the system has that name.
    Unknown,
    /// The name service is being asked; look the name up again later.
    NotYet,
}

/// Looks up the uids of users.
pub trait Users {
    /// The uid of that login name.
    fn uid(&mut self, name: &str) -> Lookup;

    /// The SELinux context of the jobs of a user whose uid is known, or why there is none.
    ///
    /// # Errors
    ///
    /// The policy has none.
    fn context(&mut self, policy: &Policy, name: &str) -> Result<CString, String> {
        context_of(policy, name)
    }
}

/// Users for a command, which can wait: those of /etc/passwd, and for other names the answer of the name service, which is asked once
/// for each name.
#[derive(Debug, Default)]
pub struct WaitingUsers {
    file: PasswdFile,
    answers: HashMap<String, Lookup>,
}

impl Users for WaitingUsers {
    fn uid(&mut self, name: &str) -> Lookup {
        if let Some(uid) = self.file.uid(name) {
            return Lookup::Known(uid);
        }
        *self.answers.entry(name.to_owned()).or_insert_with(|| match User::by_name(name) {
            Ok(Some(user)) => Lookup::Known(user.uid),
            Ok(None) => Lookup::Unknown,
            Err(_) => Lookup::NotYet,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_of_the_file_and_an_unknown_one_are_told_apart() {
        let mut users = WaitingUsers::default();
        assert_eq!(users.uid("root"), Lookup::Known(0));
        assert_eq!(users.uid("nobody-has-this-name"), Lookup::Unknown);
    }
}
