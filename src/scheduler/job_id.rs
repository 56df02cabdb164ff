//! The name by which a job is known over reloads, restarts and edits elsewhere in its crontab.

use siphasher::sip::SipHasher24;
use std::fmt;
use std::hash::Hasher;

/// Longest part of a derived name that comes from the command.
const LONGEST_WORD: usize = 20;
/// Hexadecimal digits at the end of a derived name.
const DIGITS: usize = 10;

/// `USER:NAME`. The derived name depends on source, user, command and position among equal commands, and on nothing else, so that moving or
/// rescheduling an entry keeps its name. The way it is derived must never change between versions.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct JobId(String);

impl JobId {
    /// Derives the name of an entry without `CRON_NAME`. `source` is `user` for a user's crontab, the path of a system table, or the base
    /// name of a file given to a standalone daemon; `command` is the command after its flags; `position` counts from 1 among the entries of
    /// the source that have the same user and command.
    pub fn derive(source: &str, user: &str, command: &[u8], position: u32) -> JobId {
        // SipHash-2-4 with a zero key over the parts, separated by NUL.
        let mut hasher = SipHasher24::new();
        for part in [source.as_bytes(), user.as_bytes(), command] {
            hasher.write(part);
            hasher.write(&[0]);
        }
        match position {
            1 => hasher.write(b"1"),
            _ => hasher.write(position.to_string().as_bytes()),
        }
        let mut id = String::with_capacity(user.len() + 1 + LONGEST_WORD + 1 + DIGITS);
        id.push_str(user);
        id.push(':');
        push_word(&mut id, command);
        id.push('-');
        // Ten hexadecimal digits are the upper 40 bits.
        let digest = hasher.finish() >> 24;
        id.extend((0..DIGITS).rev().filter_map(|place| char::from_digit((digest >> (4 * place)) as u32 & 15, 16)));
        JobId(id)
    }

    /// A name that was given: `user` and `name` as they are.
    pub fn named(user: &str, name: &str) -> JobId {
        JobId(format!("{user}:{name}"))
    }

    /// A name as text, from another process or a file.
    pub fn of_text(text: String) -> JobId {
        JobId(text)
    }

    /// The user's part of the name.
    pub fn user(&self) -> &str {
        self.0.split_once(':').map_or("", |(user, _)| user)
    }

    /// The part of the name after the user.
    pub fn name(&self) -> &str {
        self.0.split_once(':').map_or(self.0.as_str(), |(_, name)| name)
    }

    /// The id as text: `USER:NAME`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for JobId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Appends the base name of the command's first word, as far as its characters are safe in a file name and a shell.
fn push_word(id: &mut String, command: &[u8]) {
    let first = command.split(u8::is_ascii_whitespace).find(|word| !word.is_empty()).unwrap_or_default();
    let base = first.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let is_safe = |byte: &u8| byte.is_ascii_alphanumeric() || b"._-".contains(byte);
    let start = id.len();
    base.iter().copied().filter(is_safe).take(LONGEST_WORD).for_each(|byte| id.push(char::from(byte)));
    if id.len() == start {
        id.push_str("job");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_derived_name_never_changes() {
        // Histories and state files hold these: a change of the algorithm would orphan them.
        for (source, user, command, position, expected) in [
            ("user", "alice", "/usr/bin/backup.sh --all", 1, "alice:backup.sh-"),
            ("/etc/cron.d/x", "root", "[ -x /bin/true ] && true", 2, "root:job-"),
            ("user", "bob", "  averyveryverylongprogramname", 1, "bob:averyveryverylongpro-"),
        ] {
            let id = JobId::derive(source, user, command.as_bytes(), position);
            let digits = id.as_str().strip_prefix(expected).unwrap_or_else(|| panic!("{id}"));
            assert!(digits.len() == 10 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()), "{id}");
        }
        let id = JobId::derive("user", "alice", b"/usr/bin/backup.sh --all", 1);
        assert_eq!(id.as_str(), "alice:backup.sh-c36a9caa71");
    }

    #[test]
    fn each_part_counts() {
        let base = JobId::derive("user", "alice", b"true", 1);
        for other in [
            JobId::derive("/etc/crontab", "alice", b"true", 1),
            JobId::derive("user", "bob", b"true", 1),
            JobId::derive("user", "alice", b"true ", 1),
            JobId::derive("user", "alice", b"true", 2),
        ] {
            assert_ne!(base, other);
        }
    }
}
