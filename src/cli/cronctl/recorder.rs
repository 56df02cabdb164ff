//! `cronctl recorder`, an internal verb: keeps the history of runs in its database and answers questions about it.
//!
//! The daemon starts it as a user without privileges, with a socket as standard input; see [`crate::history::message`]. It ends when the daemon
//! has closed that, after it has applied what is in the journal.

use super::sandbox::{self, Helper};
use crate::control::{ConnectionId, Rights, Server};
use crate::history::{MainState, QueryError, Recorder, RecorderError, RowPlace, RunFilter, RunRow, Viewer, find_fault};
use crate::sys::descriptor::StandardStream;
use crate::sys::local_socket::{Listener, Peer};
use crate::sys::poll::Poll;
use crate::sys::{clock, descriptor, files, process, signal};
use crate::varlink::history::{
    self, Downtimes, DowntimesArguments, Found, Output, RunArguments, RunsArguments, SummaryArguments,
};
use crate::varlink::{Call, CallError, Reply, Time, cron, service};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::ExitCode;

pub(super) use crate::history::message::VERB;

/// Rows that are read at once for an answer.
const PAGE: usize = 100;
/// Rows of an answer, unless the call has a limit, and at most.
const ROWS: u64 = 50;
const MOST_ROWS: u64 = 1_000_000;
/// Connections accepted, and pages sent, in a turn of the loop.
const ACCEPTED_A_TURN: usize = 16;
const PAGES_A_TURN: usize = 4;
/// Events of descriptors handled in a turn. Each may be a question that takes its time.
const EVENTS_A_TURN: usize = 8;
/// After so many milliseconds further answers are continued in the next turn.
const ANSWERS_MS: i64 = 500;

/// Numbers of descriptors in the epoll set. Connections follow.
const MAIN: u64 = 0;
const LISTENER: u64 = 1;

/// Runs the recorder until the daemon closes its end.
pub(super) fn run() -> ExitCode {
    // The daemon may be spared when memory is short; what keeps its history need not be. Where that fails, it is spared, too.
    let _ = process::reset_oom_score();
    match record() {
        Ok(()) | Err(RecorderError::Off(_)) => ExitCode::SUCCESS,
        Err(error) => {
            // There may be nobody who reads it.
            let _ = files::write_all(
                descriptor::standard(StandardStream::Error),
                format!("cronctl {VERB}: {error}\n").as_bytes(),
            );
            ExitCode::FAILURE
        }
    }
}

/// Prints why the database in that directory could not be used, or nothing. `crond --check` runs this as the user of the recorder.
pub(super) fn check(directory: &Path) -> ExitCode {
    // What does not hold is logged by the recorder itself.
    let _ = sandbox::enter(Helper::Recorder { directory: Some(directory) });
    let fault = find_fault(directory).map(|fault| format!("{fault}\n")).unwrap_or_default();
    match files::write_all(descriptor::standard(StandardStream::Output), fault.as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn record() -> Result<(), RecorderError> {
    // A signal to a whole session or unit ends the daemon, and that ends this process when everything is applied.
    signal::block()?;
    process::set_umask(0o077);
    let main = descriptor::standard(StandardStream::Input).try_clone_to_owned()?;
    let (mut recorder, listener) = Recorder::begin(main)?;
    if let Some(missing) = sandbox::enter(Helper::Recorder { directory: recorder.settings().directory.as_deref() }) {
        recorder.inform(format!("the sandbox of the recorder of the history is incomplete: {missing}"))?;
    }
    recorder.open_database()?;
    Service::new(recorder, listener)?.run()
}

/// The recorder and the connections of those who ask.
struct Service {
    recorder: Recorder,
    rights: Rights,
    server: Option<Server>,
    poll: Poll,
    next_connection: ConnectionId,
    /// Answers of several replies that are not complete.
    answers: BTreeMap<ConnectionId, RunsAnswer>,
    /// The one that was continued last.
    last_answer: ConnectionId,
}

/// An answer to `Runs` that is being sent.
struct RunsAnswer {
    viewer: Viewer,
    filter: RunFilter,
    /// The place of the last row that was sent.
    last: Option<RowPlace>,
    left: u64,
}

impl Service {
    fn new(recorder: Recorder, listener: Option<OwnedFd>) -> io::Result<Service> {
        let poll = Poll::new()?;
        poll.add(recorder.main(), MAIN)?;
        let server = listener.map(Listener::from_inherited).transpose()?.map(Server::new);
        if let Some(server) = &server {
            poll.add(server.listener(), LISTENER)?;
        }
        let settings = recorder.settings();
        let rights = Rights { control_group: settings.control_group, view_group: settings.view_group };
        let (next_connection, last_answer) = (LISTENER + 1, LISTENER);
        Ok(Service { recorder, rights, server, poll, next_connection, answers: BTreeMap::new(), last_answer })
    }

    fn run(mut self) -> Result<(), RecorderError> {
        loop {
            for number in self.poll.wait::<EVENTS_A_TURN>(Some(self.timeout_ms()))? {
                match number {
                    MAIN => {
                        if self.recorder.handle_main()? == MainState::Closed {
                            // Whoever asks now is answered by the next recorder.
                            self.server = None;
                            return self.recorder.finish();
                        }
                    }
                    LISTENER => self.accept(),
                    connection => self.handle(connection),
                }
            }
            self.continue_answers();
            self.close_overdue();
            self.recorder.run_timers()?;
        }
    }

    fn timeout_ms(&self) -> u64 {
        let now = clock::monotonic_ms();
        let has_room = |id: &ConnectionId| self.server.as_ref().is_some_and(|server| server.has_read_all(*id));
        if self.answers.keys().any(has_room) {
            return 0;
        }
        let deadline = self.server.as_ref().and_then(Server::next_deadline_ms);
        let until_deadline = deadline.map(|at| u64::try_from(at - now).unwrap_or(0));
        self.recorder.timeout_ms().min(until_deadline.unwrap_or(u64::MAX))
    }

    fn accept(&mut self) {
        let Some(server) = &mut self.server else { return };
        for _ in 0..ACCEPTED_A_TURN {
            let id = self.next_connection;
            let Ok(Some(socket)) = server.accept(id) else { return };
            self.next_connection += 1;
            if self.poll.add(socket, id).is_err() {
                server.close(id);
            }
        }
    }

    fn handle(&mut self, id: ConnectionId) {
        let now = clock::monotonic_ms();
        let is_open = self.server.as_mut().is_some_and(|server| server.handle(id, now));
        if is_open && self.answer_calls(id) { self.wait_for(id) } else { self.close(id) }
    }

    /// Answers the calls that have arrived. False: the connection is to be closed.
    fn answer_calls(&mut self, id: ConnectionId) -> bool {
        loop {
            let now = clock::monotonic_ms();
            let Some(server) = &mut self.server else { return false };
            let call = match server.next_call(id, now) {
                Ok(Some(call)) => call,
                Ok(None) => return true,
                Err(_) => return false,
            };
            let Some(peer) = server.peer(id).cloned() else { return false };
            if let Some(reply) = self.answer(id, &call, &peer)
                && !self.server.as_mut().is_some_and(|server| server.reply(id, &reply, now))
            {
                return false;
            }
        }
    }

    /// The reply to a call. None: [`Service::continue_answers`] sends it.
    fn answer(&mut self, id: ConnectionId, call: &Call, peer: &Peer) -> Option<Reply> {
        let answered = match call.target() {
            (service::INTERFACE, _) => service::answer(call, history::INTERFACE),
            (history::INTERFACE, "Runs") => match self.runs(id, call, peer) {
                Ok(reply) => return reply,
                Err(error) => Err(error),
            },
            (history::INTERFACE, method) => self.answer_one(method, call, peer),
            (interface, _) => Err(CallError::InterfaceNotFound { interface: interface.to_owned() }),
        };
        Some(answered.unwrap_or_else(|error| Reply::refusal(&error)))
    }

    fn answer_one(&mut self, method: &str, call: &Call, peer: &Peer) -> Result<Reply, CallError> {
        match method {
            "Run" => {
                let RunArguments { run } = call.arguments()?;
                let no_such_run = || CallError::Cron(cron::Error::NoSuchRun { run });
                let viewer = self.viewer(peer).ok_or_else(no_such_run)?;
                let row = self.recorder.run(viewer, run).map_err(|error| refusal(error, "", run))?;
                Ok(Reply::of(&Found { run: row.record }))
            }
            "Output" => {
                let RunArguments { run } = call.arguments()?;
                let no_such_run = || CallError::Cron(cron::Error::NoSuchRun { run });
                let viewer = self.viewer(peer).ok_or_else(no_such_run)?;
                let found = self.recorder.output(viewer, run).map_err(|error| refusal(error, "", run))?;
                Ok(Reply::of(&output(found.head, found.tail, found.cut)))
            }
            "Summary" => {
                let SummaryArguments { job } = call.arguments()?;
                let no_such_job = || CallError::Cron(cron::Error::NoSuchJob { job: job.clone() });
                let viewer = self.viewer(peer).ok_or_else(no_such_job)?;
                let summary = self.recorder.summary(viewer, &job).map_err(|error| refusal(error, &job, 0))?;
                Ok(Reply::of(&summary))
            }
            "Downtimes" => {
                let DowntimesArguments { since, until } = call.arguments()?;
                let (since, until) = (since.map(milliseconds).transpose()?, until.map(milliseconds).transpose()?);
                let downtimes = match self.viewer(peer) {
                    Some(viewer) => self.recorder.downtimes(viewer, since, until),
                    None => Ok(Vec::new()),
                };
                let downtimes = downtimes.map_err(|error| refusal(error, "", 0))?;
                Ok(Reply::of(&Downtimes { downtimes }))
            }
            _ => Err(CallError::MethodNotFound { method: call.method.clone() }),
        }
    }

    /// Begins the answer to `Runs`. Without `more` it is the newest row alone.
    fn runs(&mut self, id: ConnectionId, call: &Call, peer: &Peer) -> Result<Option<Reply>, CallError> {
        let given: RunsArguments = call.arguments()?;
        let job = given.job.clone().unwrap_or_default();
        let filter = RunFilter {
            job: given.job,
            user: given.user,
            outcome: given.outcome,
            since_ms: given.since.map(milliseconds).transpose()?,
            until_ms: given.until.map(milliseconds).transpose()?,
            before: given.before,
        };
        let Some(viewer) = self.viewer(peer) else {
            return match filter.job {
                Some(job) => Err(cron::Error::NoSuchJob { job }.into()),
                None => Ok(Some(no_rows())),
            };
        };
        let limit = if call.more { given.limit.unwrap_or(ROWS).min(MOST_ROWS) } else { 1 };
        // The first row is examined now, as its job may not exist.
        let first = self.recorder.runs(viewer, &filter, None, 1).map_err(|error| refusal(error, &job, 0))?;
        match first.into_iter().next().filter(|_| limit > 0) {
            None => Ok(Some(no_rows())),
            Some(RunRow { record, .. }) if limit == 1 => Ok(Some(Reply::of(&Found { run: record }))),
            Some(_) => {
                self.answers.insert(id, RunsAnswer { viewer, filter, last: None, left: limit });
                Ok(None)
            }
        }
    }

    /// Sends further rows to those who have read the ones before.
    fn continue_answers(&mut self) {
        let until_ms = clock::monotonic_ms() + ANSWERS_MS;
        let next = self.last_answer + 1;
        let ids = self.answers.range(next..).chain(self.answers.range(..next)).map(|(id, _)| *id);
        for id in ids.collect::<Vec<ConnectionId>>() {
            if clock::monotonic_ms() >= until_ms {
                return;
            }
            self.last_answer = id;
            let is_open = (0..PAGES_A_TURN).all(|_| self.continue_answer(id));
            // What was sent ahead of the end of the answer is answered now.
            if is_open && (self.answers.contains_key(&id) || self.answer_calls(id)) {
                self.wait_for(id);
            } else {
                self.close(id);
            }
        }
    }

    /// Sends a page. False: the connection is to be closed.
    fn continue_answer(&mut self, id: ConnectionId) -> bool {
        let (Some(answer), Some(server)) = (self.answers.get_mut(&id), &mut self.server) else { return true };
        if !server.has_read_all(id) {
            return server.descriptor(id).is_some();
        }
        // One row more shows whether there is a next page.
        let wanted = PAGE.min(usize::try_from(answer.left).unwrap_or(PAGE));
        let page = self.recorder.runs(answer.viewer, &answer.filter, answer.last, wanted + 1);
        let mut rows = match page {
            Ok(rows) => rows,
            Err(error) => {
                let job = answer.filter.job.clone().unwrap_or_default();
                self.answers.remove(&id);
                return server.reply(id, &Reply::refusal(&refusal(error, &job, 0)), clock::monotonic_ms());
            }
        };
        let is_last = rows.len() <= wanted || answer.left <= wanted as u64;
        rows.truncate(wanted);
        answer.left -= rows.len() as u64;
        answer.last = rows.last().map(|row| row.place);
        if is_last {
            self.answers.remove(&id);
        }
        let now = clock::monotonic_ms();
        let count = rows.len();
        if count == 0 {
            return server.reply(id, &no_rows(), now);
        }
        let replies = rows.into_iter().zip(1..).map(|(row, number)| {
            let found = Found { run: row.record };
            if is_last && number == count { Reply::of(&found) } else { Reply::continued(&found) }
        });
        server.reply_all(id, &replies.collect::<Vec<Reply>>(), now)
    }

    /// What somebody may see. None: nothing.
    fn viewer(&self, peer: &Peer) -> Option<Viewer> {
        match self.rights.sees_all(peer) {
            true => Some(Viewer::Everything),
            false => Rights::is_known(peer).then_some(Viewer::Owner(peer.uid)),
        }
    }

    fn wait_for(&self, id: ConnectionId) {
        let Some(server) = &self.server else { return };
        if let Some(socket) = server.descriptor(id) {
            // A connection that cannot be waited for is closed when it is overdue.
            let _ = self.poll.want_writable(socket, id, !server.has_read_all(id));
        }
    }

    fn close_overdue(&mut self) {
        let overdue = self.server.as_ref().map(|server| server.overdue(clock::monotonic_ms())).unwrap_or_default();
        overdue.into_iter().for_each(|id| self.close(id));
    }

    fn close(&mut self, id: ConnectionId) {
        self.answers.remove(&id);
        if let Some(server) = &mut self.server {
            server.close(id);
        }
    }
}

/// A moment in the arguments of a call, in milliseconds of Unix time.
fn milliseconds(text: String) -> Result<i64, CallError> {
    match Time::parse(&text) {
        Some(time) => Ok(time.0.div_euclid(1000)),
        None => {
            let expected = "a time like 2026-11-27T10:15:00Z".to_owned();
            Err(cron::Error::InvalidTime { value: text, expected }.into())
        }
    }
}

/// The end of an answer of several replies, where there is nothing to reply.
fn no_rows() -> Reply {
    Reply::of(&serde_json::json!({}))
}

fn refusal(error: QueryError, job: &str, run: u64) -> CallError {
    CallError::Cron(match error {
        QueryError::NoSuchJob => cron::Error::NoSuchJob { job: job.to_owned() },
        QueryError::NoSuchRun => cron::Error::NoSuchRun { run },
        QueryError::TooLong | QueryError::Unreadable(_) => cron::Error::Busy { retry_after: 5.0 },
    })
}

/// Kept output as text, or in base64 if it is not UTF-8.
fn output(head: Vec<u8>, tail: Vec<u8>, cut: u64) -> Output {
    match (String::from_utf8(head), String::from_utf8(tail)) {
        (Ok(head), Ok(tail)) => Output { head, tail, cut, base64: false },
        (head, tail) => {
            let encode = |text: Result<String, std::string::FromUtf8Error>| {
                BASE64_STANDARD.encode(text.map_or_else(std::string::FromUtf8Error::into_bytes, String::into_bytes))
            };
            Output { head: encode(head), tail: encode(tail), cut, base64: true }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_text_where_it_is_utf_8() {
        assert_eq!(
            output(b"a".to_vec(), b"b".to_vec(), 3),
            Output { head: "a".into(), tail: "b".into(), cut: 3, base64: false }
        );
        assert_eq!(
            output(b"a".to_vec(), vec![0xff], 0),
            Output { head: "YQ==".into(), tail: "/w==".into(), cut: 0, base64: true }
        );
    }
}
