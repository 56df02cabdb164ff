//! Users for the daemon, which does not wait for a directory server to look up a user: /etc/passwd is read here; other names are looked up by a child,
//! see [`look_up_child`], whose answer arrives through a pipe. With SELinux it looks up the contexts of their jobs, too; see [`DaemonUsers::context`]
//! for those of the users of /etc/passwd.

use super::look_up_child::{self, NamedUser};
use super::lookup::{LIMIT_MS, Lookup, Users};
use super::passwd_file::PasswdFile;
use crate::sys::clock;
use crate::sys::selinux::Policy;
use std::collections::{BTreeSet, HashMap};
use std::ffi::CString;
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout, Command, Stdio};

/// Limit of an answer, in bytes: so many users do not need nearly as much.
const LARGEST_ANSWER: usize = 4 << 20;
/// Limit of the names that are looked up at once.
const NAMES_AT_ONCE: usize = 500;

/// The users as the daemon knows them.
#[derive(Debug)]
pub struct DaemonUsers {
    file: PasswdFile,
    /// What children have found.
    answers: HashMap<String, Lookup>,
    /// The contexts of the jobs of users that children have found, if there is a policy.
    contexts: HashMap<String, Result<CString, String>>,
    wanted: BTreeSet<String>,
    query: Option<Query>,
    /// Makes the command of a child, without the names.
    child: fn() -> Command,
}

impl Default for DaemonUsers {
    /// No user has been looked up.
    fn default() -> DaemonUsers {
        DaemonUsers {
            file: PasswdFile::default(),
            answers: HashMap::new(),
            contexts: HashMap::new(),
            wanted: BTreeSet::new(),
            query: None,
            child: look_up_child::command,
        }
    }
}

/// A child that is looking names up.
#[derive(Debug)]
struct Query {
    child: Child,
    output: ChildStdout,
    answer: Vec<u8>,
    names: Vec<String>,
    deadline_ms: i64,
}

/// The state of a query.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// The child is still looking the user up.
    Waiting,
    /// It is answered or given up: crontabs that waited for it are to be checked again.
    Answered,
}

impl DaemonUsers {
    /// Forgets the answers of the name service, and reads /etc/passwd again if it has changed.
    pub fn refresh(&mut self) {
        self.answers.clear();
        self.contexts.clear();
        self.file.refresh();
    }

    /// A login name of a user id, if /etc/passwd has one.
    pub fn name_of(&mut self, uid: u32) -> Option<String> {
        self.file.name_of(uid)
    }

    /// The id of a local user.
    pub fn local_uid(&mut self, name: &str) -> Option<u32> {
        self.file.uid(name)
    }

    /// Why /etc/passwd could not be read, if it could not: then the name service is asked for all users.
    pub fn file_failure(&self) -> Option<&str> {
        self.file.failure()
    }

    /// Starts to ask for the names that are wanted, unless a query is under way. The descriptor becomes readable with the answer.
    pub fn start_query(&mut self) -> Option<BorrowedFd<'_>> {
        if self.query.is_some() || self.wanted.is_empty() {
            return None;
        }
        let names: Vec<String> = self.wanted.iter().take(NAMES_AT_ONCE).cloned().collect();
        self.wanted.retain(|name| !names.contains(name));
        let started = (self.child)()
            .args(&names)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let started = started.ok().and_then(|mut child| child.stdout.take().map(|output| (child, output)));
        let Some((child, output)) = started else {
            // Without a child the users are those of /etc/passwd.
            self.answers.extend(names.into_iter().map(|name| (name, Lookup::Unknown)));
            return None;
        };
        let deadline_ms = clock::monotonic_ms() + LIMIT_MS;
        let query = self.query.insert(Query { child, output, answer: Vec::new(), names, deadline_ms });
        Some(query.output.as_fd())
    }

    /// When the query will have to be given up (milliseconds of the monotonic clock).
    pub fn deadline_ms(&self) -> Option<i64> {
        self.query.as_ref().map(|query| query.deadline_ms)
    }

    /// Reads a part of the answer. To be called when the descriptor is readable.
    pub fn read_answer(&mut self) -> Progress {
        let Some(query) = &mut self.query else { return Progress::Answered };
        let mut piece = [0; 4096];
        match query.output.read(&mut piece) {
            Ok(length) if length > 0 && query.answer.len() < LARGEST_ANSWER => {
                query.answer.extend_from_slice(piece.get(..length).unwrap_or_default());
                Progress::Waiting
            }
            Ok(0) | Err(_) => {
                self.finish_query();
                Progress::Answered
            }
            Ok(_) => {
                self.give_up();
                Progress::Answered
            }
        }
    }

    /// Ends a query whose time is over. Names without an answer are unknown until the next refresh.
    pub fn give_up(&mut self) {
        if let Some(query) = &mut self.query {
            // A child that has been reaped has no process id any more.
            if matches!(query.child.try_wait(), Ok(None)) {
                let _ = query.child.kill();
            }
        }
        self.finish_query();
    }

    fn finish_query(&mut self) {
        let Some(query) = self.query.take() else { return };
        self.answers.extend(query.names.into_iter().map(|name| (name, Lookup::Unknown)));
        for NamedUser { name, uid, context } in look_up_child::read(&query.answer) {
            self.contexts.extend(context.map(|context| (name.clone(), context)));
            self.answers.insert(name, Lookup::Known(uid));
        }
    }
}

impl Users for DaemonUsers {
    fn uid(&mut self, name: &str) -> Lookup {
        if let Some(uid) = self.file.uid(name) {
            return Lookup::Known(uid);
        }
        if let Some(answer) = self.answers.get(name) {
            return *answer;
        }
        let is_asked = self.query.as_ref().is_some_and(|query| query.names.iter().any(|asked| asked == name));
        if !is_asked {
            self.wanted.insert(name.to_owned());
        }
        Lookup::NotYet
    }

    /// For a user who was looked up by a child, the context that it has found. For a user of /etc/passwd, libselinux is called in this process. It may
    /// ask the name service and wait for it: if seusers(5) has groups, it looks up the user's groups.
    fn context(&mut self, policy: &Policy, name: &str) -> Result<CString, String> {
        self.contexts.get(name).cloned().unwrap_or_else(|| look_up_child::context_of(policy, name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Users that are looked up by getent(1), as the program of this test is not crond. `tests/daemon.rs` runs the real child.
    fn users_with_a_stand_in_for_the_child() -> DaemonUsers {
        const LOOK_UP: &str = r#"getent passwd -- "$@" | while IFS=: read name _ uid _; do echo "{\"name\":\"$name\",\"uid\":$uid}"; done"#;
        DaemonUsers {
            child: || {
                let mut command = Command::new("/bin/sh");
                command.args(["-c", LOOK_UP, "look-up"]);
                command
            },
            ..DaemonUsers::default()
        }
    }

    fn query_until_answered(users: &mut DaemonUsers) {
        assert!(users.start_query().is_some());
        assert!(users.start_query().is_none(), "one query at a time");
        while users.read_answer() == Progress::Waiting {}
    }

    #[test]
    fn root_is_known_at_once_and_a_stranger_after_asking() {
        let mut users = users_with_a_stand_in_for_the_child();
        assert_eq!(users.uid("root"), Lookup::Known(0));
        assert_eq!(users.uid("nobody-has-this-name"), Lookup::NotYet);
        query_until_answered(&mut users);
        assert_eq!(users.uid("nobody-has-this-name"), Lookup::Unknown);
        users.refresh();
        assert_eq!(users.uid("nobody-has-this-name"), Lookup::NotYet);
    }

    #[test]
    fn names_that_look_like_options_or_numbers_are_only_names() {
        let mut users = users_with_a_stand_in_for_the_child();
        for name in ["-s", "0"] {
            assert_eq!(users.uid(name), Lookup::NotYet);
        }
        query_until_answered(&mut users);
        for name in ["-s", "0"] {
            assert_eq!(users.uid(name), Lookup::Unknown, "{name}");
        }
    }

    #[test]
    fn an_answer_names_users_and_what_is_no_answer_leaves_the_rest() {
        const ANSWER: &str =
            r#"echo '{"name":"alice","uid":1000,"context":{"Ok":[97]}}'; echo broken; echo '{"name":"bob","uid":2}'"#;
        let child = || {
            let mut command = Command::new("/bin/sh");
            command.args(["-c", ANSWER]);
            command
        };
        let mut users = DaemonUsers { child, ..DaemonUsers::default() };
        for name in ["alice", "bob", "carol"] {
            assert_eq!(users.uid(name), Lookup::NotYet);
        }
        query_until_answered(&mut users);
        let answers = ["alice", "bob", "carol"].map(|name| users.uid(name));
        assert_eq!(answers, [Lookup::Known(1000), Lookup::Known(2), Lookup::Unknown]);
        assert_eq!(users.contexts.into_keys().collect::<Vec<_>>(), ["alice"]);
    }

    #[test]
    fn a_query_given_up_leaves_its_names_unknown() {
        let mut users = users_with_a_stand_in_for_the_child();
        users.uid("nobody-has-this-name");
        users.start_query();
        users.give_up();
        assert_eq!(users.uid("nobody-has-this-name"), Lookup::Unknown);
        assert!(users.deadline_ms().is_none());
    }
}
