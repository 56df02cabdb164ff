//! Who has a spool table's name, without ever waiting for a directory server: /etc/passwd is read here, anybody else is
//! asked for by a child (`getent`), whose answer comes when it comes.

use super::local::{LocalUsers, Lookup, Users};
use crate::sys::clock;
use std::collections::{BTreeSet, HashMap};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd};
use std::process::{Child, ChildStdout, Command, Stdio};

/// How long the name service may think, in milliseconds.
const PATIENCE_MS: i64 = 10_000;
/// Most bytes of an answer: what a directory server has to say of so many users is not near that.
const LARGEST_ANSWER: usize = 4 << 20;
/// Most names in one question.
const NAMES_AT_ONCE: usize = 500;

/// The users as the daemon knows them.
#[derive(Debug, Default)]
pub struct DaemonUsers {
    local: LocalUsers,
    answers: HashMap<String, Lookup>,
    to_ask: BTreeSet<String>,
    question: Option<Question>,
}

/// A child that is asking.
#[derive(Debug)]
struct Question {
    child: Child,
    answer: ChildStdout,
    heard: Vec<u8>,
    names: Vec<String>,
    give_up_at: i64,
}

/// How a question stands.
#[derive(Debug, PartialEq, Eq)]
pub enum Progress {
    /// Still being answered.
    Waiting,
    /// Answered, or given up: tables that waited for it are to be looked at again.
    Answered,
}

impl DaemonUsers {
    /// Forgets what the name service said and reads /etc/passwd again if it has changed.
    pub fn refresh(&mut self) {
        self.answers.clear();
        self.local.refresh();
    }

    /// Why /etc/passwd could not be read, if it could not: then everybody is asked for.
    pub fn file_failure(&self) -> Option<&str> {
        self.local.failure()
    }

    /// Starts asking for the names that came up, if nobody is asking yet. What is returned becomes readable with the answer.
    pub fn ask(&mut self) -> Option<BorrowedFd<'_>> {
        if self.question.is_some() || self.to_ask.is_empty() {
            return None;
        }
        let names: Vec<String> = self.to_ask.iter().take(NAMES_AT_ONCE).cloned().collect();
        self.to_ask.retain(|name| !names.contains(name));
        let started = Command::new("getent")
            .args(["passwd", "--"])
            .args(&names)
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let started = started.ok().and_then(|mut child| child.stdout.take().map(|answer| (child, answer)));
        let Some((child, answer)) = started else {
            // Nobody to ask: the users are those of /etc/passwd.
            self.answers.extend(names.into_iter().map(|name| (name, Lookup::Unknown)));
            return None;
        };
        let give_up_at = clock::monotonic_ms() + PATIENCE_MS;
        let question = self.question.insert(Question { child, answer, heard: Vec::new(), names, give_up_at });
        Some(question.answer.as_fd())
    }

    /// When the awaited answer will be given up (milliseconds of the monotonic clock).
    pub fn give_up_at(&self) -> Option<i64> {
        self.question.as_ref().map(|question| question.give_up_at)
    }

    /// Reads what has come. To be called when the descriptor is readable.
    pub fn hear(&mut self) -> Progress {
        let Some(question) = &mut self.question else { return Progress::Answered };
        let mut piece = [0; 4096];
        match question.answer.read(&mut piece) {
            Ok(length) if length > 0 && question.heard.len() < LARGEST_ANSWER => {
                question.heard.extend_from_slice(piece.get(..length).unwrap_or_default());
                Progress::Waiting
            }
            Ok(0) | Err(_) => {
                self.conclude();
                Progress::Answered
            }
            Ok(_) => {
                self.give_up();
                Progress::Answered
            }
        }
    }

    /// Gives up a question whose time is over: whoever was not answered for is unknown until the next look.
    pub fn give_up(&mut self) {
        if let Some(question) = &mut self.question {
            // Asked first, since a child whose end was taken note of has no number any more.
            if matches!(question.child.try_wait(), Ok(None)) {
                let _ = question.child.kill();
            }
        }
        self.conclude();
    }

    fn conclude(&mut self) {
        let Some(question) = self.question.take() else { return };
        let heard = String::from_utf8_lossy(&question.heard);
        let found = parse(&heard);
        for name in question.names {
            let answer = found.get(name.as_str()).map_or(Lookup::Unknown, |uid| Lookup::Known(*uid));
            self.answers.insert(name, answer);
        }
    }
}

impl Users for DaemonUsers {
    fn uid(&mut self, name: &str) -> Lookup {
        if let Some(uid) = self.local.in_file(name) {
            return Lookup::Known(uid);
        }
        if let Some(answer) = self.answers.get(name) {
            return *answer;
        }
        let asking = self.question.as_ref().is_some_and(|question| question.names.iter().any(|asked| asked == name));
        if !asking {
            self.to_ask.insert(name.to_owned());
        }
        Lookup::NotYet
    }
}

/// Lines of passwd(5). A name of digits makes getent look up a uid: only the name itself counts.
fn parse(answer: &str) -> HashMap<&str, u32> {
    let user = |line| -> Option<(&str, u32)> {
        let mut fields = str::split(line, ':');
        Some((fields.next()?, fields.nth(1)?.parse().ok()?))
    };
    answer.lines().filter_map(user).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask_until_answered(users: &mut DaemonUsers) {
        assert!(users.ask().is_some());
        assert!(users.ask().is_none(), "one question at a time");
        while users.hear() == Progress::Waiting {}
    }

    #[test]
    fn root_is_known_at_once_and_a_stranger_after_asking() {
        let mut users = DaemonUsers::default();
        assert_eq!(users.uid("root"), Lookup::Known(0));
        assert_eq!(users.uid("nobody-has-this-name"), Lookup::NotYet);
        ask_until_answered(&mut users);
        assert_eq!(users.uid("nobody-has-this-name"), Lookup::Unknown);
        users.refresh();
        assert_eq!(users.uid("nobody-has-this-name"), Lookup::NotYet);
    }

    #[test]
    fn names_that_look_like_options_or_numbers_are_only_names() {
        let mut users = DaemonUsers::default();
        for name in ["-s", "0"] {
            assert_eq!(users.uid(name), Lookup::NotYet);
        }
        ask_until_answered(&mut users);
        for name in ["-s", "0"] {
            assert_eq!(users.uid(name), Lookup::Unknown, "{name}");
        }
    }

    #[test]
    fn an_answer_is_lines_of_passwd() {
        let users = parse("alice:x:1000:1000:Alice:/home/alice:/bin/sh\nbroken\nbob:x:n:1::/:\n");
        assert_eq!(users.into_iter().collect::<Vec<_>>(), [("alice", 1000)]);
    }

    #[test]
    fn a_question_given_up_leaves_its_names_unknown() {
        let mut users = DaemonUsers::default();
        users.uid("nobody-has-this-name");
        users.ask();
        users.give_up();
        assert_eq!(users.uid("nobody-has-this-name"), Lookup::Unknown);
        assert!(users.give_up_at().is_none());
    }
}
