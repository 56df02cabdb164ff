//! Who the owner of a job is, as fresh as its start: asked once per user and minute, and never so that the executor waits.
//!
//! Where users come from local files, the executor asks at once. Else a child asks, with a time limit: a directory server that hangs delays
//! only the jobs of its own users.

use crate::sys::clock;
use crate::sys::descriptor;
use crate::sys::files::reason;
use crate::sys::process::{self, Ask, Pid};
use crate::sys::stamp::Stamp;
use crate::sys::user::{self, User};
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// How long a look-up may take.
const LIMIT_MS: i64 = 10_000;

/// Why there is no identity to run with.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub(super) enum IdentityError {
    /// Nobody has that name.
    #[error("unknown user")]
    Unknown,
    /// The databases failed.
    #[error("looking up the user: {0}")]
    Failed(String),
    /// They did not answer.
    #[error("looking up the user: no answer within {} s", LIMIT_MS / 1000)]
    TimedOut,
}

/// The answer for a user.
pub(super) type Answer = Result<Rc<User>, IdentityError>;

/// What is known at once.
pub(super) enum Asked {
    /// The answer.
    Known(Answer),
    /// It is being asked for; `Identities::finished` will tell.
    Waiting,
}

/// A child that asks the databases.
struct LookUp {
    name: String,
    pid: Pid,
    pipe: OwnedFd,
    answer: Vec<u8>,
    until_ms: i64,
}

/// Asks the user databases, however long that takes; none: nobody has that name.
type Databases = fn(&str) -> Result<Option<User>, IdentityError>;

/// Answers of this minute and look-ups under way.
pub(super) struct Identities {
    databases: Databases,
    known: HashMap<String, Answer>,
    /// When and from what they are.
    minute: i64,
    files: [Option<Stamp>; 3],
    local: bool,
    under_way: HashMap<u64, LookUp>,
}

const FILES: [&str; 3] = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf"];

impl Default for Identities {
    /// Knows nothing yet, and takes no look-up for local.
    fn default() -> Identities {
        Identities {
            databases: ask_databases,
            known: HashMap::new(),
            minute: 0,
            files: [None; 3],
            local: false,
            under_way: HashMap::new(),
        }
    }
}

impl Identities {
    /// Ready to be asked. Where look-ups are local, libc loads what they need here and now, and not between the first job and its minute.
    pub(super) fn new() -> Identities {
        let mut identities = Identities::default();
        identities.freshen();
        if identities.local {
            // Who root is does not matter, nor whether anybody is.
            let _ = User::look_up("root");
        }
        identities
    }

    /// Forgets answers of an earlier minute or from before the files changed. To be called before each batch of starts.
    pub(super) fn freshen(&mut self) {
        let minute = clock::wall().seconds.div_euclid(60);
        let files = FILES.map(file_state);
        if minute != self.minute || files != self.files {
            self.known.clear();
            self.local = user::look_ups_are_local();
            (self.minute, self.files) = (minute, files);
        }
    }

    /// Who has that name now. `token` is the number for a look-up, should one be needed.
    pub(super) fn ask(&mut self, name: &str, token: u64) -> io::Result<Asked> {
        if let Some(answer) = self.known.get(name) {
            return Ok(Asked::Known(answer.clone()));
        }
        if self.local {
            let answer = answer_of((self.databases)(name));
            self.known.insert(name.to_owned(), answer.clone());
            return Ok(Asked::Known(answer));
        }
        if !self.under_way.values().any(|look_up| look_up.name == name) {
            self.under_way.insert(token, LookUp::begin(name, self.databases)?);
        }
        Ok(Asked::Waiting)
    }

    /// The pipe on which that look-up answers, when it has just been begun.
    pub(super) fn pipe(&self, token: u64) -> Option<&OwnedFd> {
        self.under_way.get(&token).map(|look_up| &look_up.pipe)
    }

    /// Takes what a look-up has to say; true when it is done and its user's jobs can be asked for again.
    pub(super) fn readable(&mut self, token: u64) -> bool {
        let Some(look_up) = self.under_way.get_mut(&token) else { return false };
        let mut buffer = [0; 4096];
        loop {
            match descriptor::read(look_up.pipe.as_fd(), &mut buffer) {
                Ok(count) if count > 0 => look_up.answer.extend_from_slice(buffer.get(..count).unwrap_or(&[])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        let answer = match postcard::from_bytes(&look_up.answer) {
            Ok(found) => answer_of(found),
            Err(_) => Err(IdentityError::Failed("the look-up gave no answer".into())),
        };
        self.settle(token, answer);
        true
    }

    /// Ends look-ups whose time is over; true when there were some.
    pub(super) fn give_up(&mut self, now_ms: i64) -> bool {
        let late: Vec<u64> =
            self.under_way.iter().filter(|(_, look_up)| look_up.until_ms <= now_ms).map(|(token, _)| *token).collect();
        for token in &late {
            if let Some(look_up) = self.under_way.get(token) {
                // It may have ended by itself just now; it is ours and not reaped, so the signal cannot hit a stranger.
                let _ = process::signal(look_up.pid, Ask::Kill);
            }
            self.settle(*token, Err(IdentityError::TimedOut));
        }
        !late.is_empty()
    }

    /// When [`Identities::give_up`] should be called next.
    pub(super) fn next_deadline(&self) -> Option<i64> {
        self.under_way.values().map(|look_up| look_up.until_ms).min()
    }

    fn settle(&mut self, token: u64, answer: Answer) {
        if let Some(look_up) = self.under_way.remove(&token) {
            self.known.insert(look_up.name, answer);
        }
    }
}

impl LookUp {
    fn begin(name: &str, databases: Databases) -> io::Result<LookUp> {
        let (pipe, answer) = descriptor::pipe()?;
        descriptor::set_nonblocking(pipe.as_fd(), true)?;
        let pid = process::fork(|| {
            // However long it takes, it keeps nobody from seeing the end of a job's output or input.
            let _ = descriptor::close_from(3, &[answer.as_fd()]);
            let found = databases(name);
            let told =
                postcard::to_stdvec(&found).map_err(io::Error::other).and_then(|bytes| write_all(&answer, &bytes));
            i32::from(told.is_err())
        })?;
        let until_ms = clock::monotonic_ms() + LIMIT_MS;
        Ok(LookUp { name: name.to_owned(), pid, pipe, answer: Vec::new(), until_ms })
    }
}

fn write_all(to: &OwnedFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let count = descriptor::write(to.as_fd(), bytes)?;
        bytes = bytes.get(count..).unwrap_or(&[]);
    }
    Ok(())
}

fn ask_databases(name: &str) -> Result<Option<User>, IdentityError> {
    User::look_up(name).map_err(|error| IdentityError::Failed(reason(&error)))
}

fn answer_of(found: Result<Option<User>, IdentityError>) -> Answer {
    found?.map(Rc::new).ok_or(IdentityError::Unknown)
}

fn file_state(path: &str) -> Option<Stamp> {
    fs::metadata(path).ok().map(|file| Stamp::from(&file))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Databases that can be asked in the child of a process with threads, as the tests' is: another one may be about to ask libc's, which
    /// has a lock then that nobody in the child would open.
    fn with_root_only() -> Identities {
        let root = |name: &str| {
            let root = User { name: "root".into(), uid: 0, gid: 0, home: b"/root".to_vec(), groups: vec![0] };
            Ok((name == "root").then_some(root))
        };
        Identities { databases: root, ..Identities::default() }
    }

    fn waits_for(identities: &mut Identities, token: u64) {
        let poll = crate::sys::poll::Poll::new().unwrap();
        poll.add(identities.pipe(token).unwrap(), token).unwrap();
        while !identities.readable(token) {
            assert!(poll.wait_for_any(Some(10_000)).unwrap(), "no answer");
        }
    }

    #[test]
    fn a_local_user_is_known_at_once_and_a_stranger_is_unknown() {
        let mut identities = Identities { local: true, ..Identities::default() };
        assert!(matches!(identities.ask("root", 1), Ok(Asked::Known(Ok(user))) if user.uid == 0));
        assert!(matches!(identities.ask("nobody-like-this", 2), Ok(Asked::Known(Err(IdentityError::Unknown)))));
    }

    #[test]
    fn where_look_ups_may_block_a_child_asks_and_one_answer_serves_all() {
        let mut identities = with_root_only();
        assert!(matches!(identities.ask("root", 1), Ok(Asked::Waiting)));
        assert!(matches!(identities.ask("root", 2), Ok(Asked::Waiting)));
        assert!(identities.pipe(2).is_none());
        waits_for(&mut identities, 1);
        assert!(matches!(identities.ask("root", 3), Ok(Asked::Known(Ok(user))) if user.uid == 0));
        assert_eq!(identities.next_deadline(), None);
    }

    #[test]
    fn a_look_up_that_takes_too_long_is_ended() {
        let mut identities = with_root_only();
        assert!(matches!(identities.ask("root", 1), Ok(Asked::Waiting)));
        assert!(!identities.give_up(clock::monotonic_ms()));
        assert!(identities.give_up(clock::monotonic_ms() + LIMIT_MS + 1));
        assert!(matches!(identities.ask("root", 2), Ok(Asked::Known(Err(IdentityError::TimedOut)))));
    }
}
