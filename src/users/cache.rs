//! Users for the executor process, as they are when a job starts: each is looked up once in a minute, groups and SELinux context included, and never so
//! that the executor waits. libselinux asks the name service, too.
//!
//! Where lookups read local files only, the executor looks up users itself. Otherwise it forks a child for that, with a time limit: a
//! directory server that hangs delays only the jobs of its own users.

use super::look_up_child::context_of;
use super::lookup::LIMIT_MS;
use super::user::{User, UserWithGroups};
use crate::sys::clock;
use crate::sys::contract::SingleThreaded;
use crate::sys::descriptor;
use crate::sys::files::{self, reason};
use crate::sys::passwd;
use crate::sys::process::{self, Ask, Pid};
use crate::sys::selinux::Policy;
use crate::sys::stamp::Stamp;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;

/// Why a user could not be looked up.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, serde::Serialize, serde::Deserialize)]
pub enum UserError {
    /// No user of the system has that name.
    #[error("unknown user")]
    Unknown,
    /// The user database reported an error.
    #[error("looking up the user: {0}")]
    Failed(String),
    /// The user database did not answer.
    #[error("looking up the user: no answer within {} s", LIMIT_MS / 1000)]
    TimedOut,
}

/// The result of looking up a user, as it is kept in the cache.
type Found = Result<Rc<UserWithGroups>, UserError>;

/// What the cache says at once.
pub enum CacheAnswer {
    /// The user is known, or is known not to be available.
    Known(Found),
    /// A child looks the user up; [`UserCache::read_answer`] says when the answer is there.
    Waiting,
}

/// A child that looks a user up.
struct Query {
    name: String,
    pid: Pid,
    pipe: OwnedFd,
    answer: Vec<u8>,
    deadline_ms: i64,
}

/// What a lookup has found, as its child sends it. None: nobody has that name.
pub type LookUpAnswer = Result<Option<UserWithGroups>, UserError>;

/// Looks a user up and waits.
type LookUp = fn(&str) -> LookUpAnswer;

/// The users of this minute, and the queries under way.
pub struct UserCache {
    look_up: LookUp,
    policy: Option<Policy>,
    known: HashMap<String, Found>,
    /// The minute of the answers, and the state of the files they come from.
    minute: i64,
    files: [Option<Stamp>; 3],
    is_local: bool,
    queries: HashMap<u64, Query>,
}

const FILES: [&str; 3] = ["/etc/passwd", "/etc/group", "/etc/nsswitch.conf"];

impl Default for UserCache {
    /// An empty cache that looks up users in children until it is refreshed.
    fn default() -> UserCache {
        UserCache {
            look_up,
            policy: None,
            known: HashMap::new(),
            minute: 0,
            files: [None; 3],
            is_local: false,
            queries: HashMap::new(),
        }
    }
}

impl UserCache {
    /// A cache that is ready. Where lookups are local, libc loads what they need now, and not when the first job is due. With a policy the users
    /// have the contexts of their jobs.
    pub fn new(policy: Option<Policy>) -> UserCache {
        let mut cache = UserCache { policy, ..UserCache::default() };
        cache.refresh();
        if cache.is_local {
            // The answer does not matter.
            let _ = look_up("root");
        }
        cache
    }

    /// Forgets answers of an earlier minute or from before the files changed. To be called before each batch of starts.
    pub fn refresh(&mut self) {
        let minute = clock::wall().seconds.div_euclid(60);
        let files = FILES.map(file_state);
        if minute != self.minute || files != self.files {
            self.known.clear();
            self.is_local = passwd::is_local();
            (self.minute, self.files) = (minute, files);
        }
    }

    /// The user of that name as of now. `token` is the number for a query, if one is needed.
    ///
    /// # Errors
    /// A child could not be made.
    pub fn user(&mut self, threads: &SingleThreaded, name: &str, token: u64) -> io::Result<CacheAnswer> {
        if let Some(found) = self.known.get(name) {
            return Ok(CacheAnswer::Known(found.clone()));
        }
        if self.is_local {
            let found = found_of(look_up_with_context(self.look_up, self.policy, name));
            self.known.insert(name.to_owned(), found.clone());
            return Ok(CacheAnswer::Known(found));
        }
        if !self.queries.values().any(|query| query.name == name) {
            self.queries.insert(token, Query::start(threads, name, self.look_up, self.policy)?);
        }
        Ok(CacheAnswer::Waiting)
    }

    /// The pipe on which the query of that number is answered. None: there is no such query.
    pub fn pipe(&self, token: u64) -> Option<&OwnedFd> {
        self.queries.get(&token).map(|query| &query.pipe)
    }

    /// Reads the answer of a query; true when it is complete, and the user can be asked for again.
    pub fn read_answer(&mut self, token: u64) -> bool {
        let Some(query) = self.queries.get_mut(&token) else { return false };
        let mut buffer = [0; 4096];
        loop {
            match descriptor::read(query.pipe.as_fd(), &mut buffer) {
                Ok(count) if count > 0 => query.answer.extend_from_slice(buffer.get(..count).unwrap_or(&[])),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => break,
            }
        }
        let found = match postcard::from_bytes::<LookUpAnswer>(&query.answer) {
            Ok(answer) => found_of(answer),
            Err(_) => Err(UserError::Failed("the lookup gave no answer".into())),
        };
        self.finish_query(token, found);
        true
    }

    /// Ends queries whose time is over; true when there were some.
    pub fn give_up(&mut self, now_ms: i64) -> bool {
        let late: Vec<u64> =
            self.queries.iter().filter(|(_, query)| query.deadline_ms <= now_ms).map(|(token, _)| *token).collect();
        for token in &late {
            if let Some(query) = self.queries.get(token) {
                // It may have ended just now; it is our child and not reaped yet, so the signal cannot reach another process.
                let _ = process::signal(query.pid, Ask::Kill);
            }
            self.finish_query(*token, Err(UserError::TimedOut));
        }
        !late.is_empty()
    }

    /// When [`UserCache::give_up`] should be called next (milliseconds of the monotonic clock).
    pub fn next_deadline(&self) -> Option<i64> {
        self.queries.values().map(|query| query.deadline_ms).min()
    }

    fn finish_query(&mut self, token: u64, found: Found) {
        if let Some(query) = self.queries.remove(&token) {
            self.known.insert(query.name, found);
        }
    }
}

impl Query {
    fn start(threads: &SingleThreaded, name: &str, look_up: LookUp, policy: Option<Policy>) -> io::Result<Query> {
        let (pipe, answer) = descriptor::pipe()?;
        descriptor::set_nonblocking(pipe.as_fd(), true)?;
        let pid = process::fork(threads, |child| {
            // Pipes of jobs must not stay open in this child, however long it takes: their readers wait for the end.
            let _ = descriptor::close_from(&child, 3, &[answer.as_fd()]);
            let answer_of_user: LookUpAnswer = look_up_with_context(look_up, policy, name);
            let sent = postcard::to_stdvec(&answer_of_user)
                .map_err(io::Error::other)
                .and_then(|bytes| files::write_all(&answer, &bytes));
            i32::from(sent.is_err())
        })?;
        let deadline_ms = clock::monotonic_ms() + LIMIT_MS;
        Ok(Query { name: name.to_owned(), pid, pipe, answer: Vec::new(), deadline_ms })
    }
}

fn look_up(name: &str) -> Result<Option<UserWithGroups>, UserError> {
    let found = User::by_name(name).and_then(|user| user.map(User::with_groups).transpose());
    found.map_err(|error| UserError::Failed(reason(&error)))
}

/// Looks a user up and, if there is a policy, the context of the user's jobs.
fn look_up_with_context(look_up: LookUp, policy: Option<Policy>, name: &str) -> LookUpAnswer {
    let context = |policy: Policy| context_of(&policy, name);
    Ok(look_up(name)?.map(|user| UserWithGroups { context: policy.map(context), ..user }))
}

fn found_of(answer: LookUpAnswer) -> Found {
    answer?.map(Rc::new).ok_or(UserError::Unknown)
}

fn file_state(path: &str) -> Option<Stamp> {
    fs::metadata(path).ok().map(|file| Stamp::from(&file))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::contract::alone;

    /// A cache that does not use libc's database, and asks a child.
    fn cache_of_root_only() -> UserCache {
        let root = |name: &str| {
            let user = User { name: "root".into(), uid: 0, gid: 0, home: b"/root".to_vec() };
            let root = UserWithGroups { user, groups: vec![0], context: None };
            Ok((name == "root").then_some(root))
        };
        UserCache { look_up: root, ..UserCache::default() }
    }

    fn wait_for_answer(cache: &mut UserCache, token: u64) {
        let poll = crate::sys::poll::Poll::new().unwrap();
        poll.add(cache.pipe(token).unwrap(), token).unwrap();
        while !cache.read_answer(token) {
            assert!(poll.wait_for_any(Some(10_000)).unwrap(), "no answer");
        }
    }

    #[test]
    fn a_local_user_is_known_at_once_and_another_name_is_unknown() {
        alone(|threads| {
            let mut cache = UserCache { is_local: true, ..UserCache::default() };
            assert!(matches!(cache.user(threads, "root", 1), Ok(CacheAnswer::Known(Ok(user))) if user.uid == 0));
            assert!(matches!(
                cache.user(threads, "nobody-like-this", 2),
                Ok(CacheAnswer::Known(Err(UserError::Unknown)))
            ));
        });
    }

    #[test]
    fn where_look_ups_may_block_a_child_asks_once_for_all_who_wait() {
        alone(|threads| {
            let mut cache = cache_of_root_only();
            assert!(matches!(cache.user(threads, "root", 1), Ok(CacheAnswer::Waiting)));
            assert!(matches!(cache.user(threads, "root", 2), Ok(CacheAnswer::Waiting)));
            assert!(cache.pipe(2).is_none());
            wait_for_answer(&mut cache, 1);
            assert!(matches!(cache.user(threads, "root", 3), Ok(CacheAnswer::Known(Ok(user))) if user.uid == 0));
            assert_eq!(cache.next_deadline(), None);
        });
    }

    #[test]
    fn a_look_up_that_takes_too_long_is_ended() {
        alone(|threads| {
            let mut cache = cache_of_root_only();
            assert!(matches!(cache.user(threads, "root", 1), Ok(CacheAnswer::Waiting)));
            assert!(!cache.give_up(clock::monotonic_ms()));
            assert!(cache.give_up(clock::monotonic_ms() + LIMIT_MS + 1));
            assert!(matches!(cache.user(threads, "root", 2), Ok(CacheAnswer::Known(Err(UserError::TimedOut)))));
        });
    }
}
