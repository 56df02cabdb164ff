//! Connections, and which method answers which call.

use super::search::Searches;
use super::state::{
    AwaitedOutput, Control, Counts, FleetQuestion, NextStep, PauseRequest, Purpose, Request, RunByHand, Walk,
};
use crate::control::{Access, Permission, Visibility};
use crate::daemon::reactor::{Interest, Token};
use crate::daemon::state::{Daemon, Fatal};
use crate::schedule::Timestamp;
use crate::scheduler::EntryCursor;
use crate::sys::clock;
use crate::sys::local_socket::Peer;
use crate::varlink::{Call, CallError, Reply, Time, cron, service};
use std::io;

/// Connections that are accepted in one turn of the loop.
const ACCEPTED_A_TURN: usize = 16;
/// How long none is accepted when no descriptor is left. Milliseconds.
const ACCEPT_PAUSE_MS: i64 = 100;
/// Most jobs that one call may name.
const MOST_NAMED: usize = 500;

impl Daemon {
    /// Waits for connections, if there is a socket.
    pub(in crate::daemon) fn add_control(&mut self) -> io::Result<()> {
        let Some(server) = &self.control.server else { return Ok(()) };
        let token = *self.control.listener.get_or_insert_with(|| self.reactor.new_token());
        self.reactor.add_as(token, server.listener(), Interest::Readable, |daemon, _| {
            daemon.accept_clients();
            Ok(())
        })
    }

    fn accept_clients(&mut self) {
        for _ in 0..ACCEPTED_A_TURN {
            let token = self.reactor.new_token();
            let Some(server) = &mut self.control.server else { return };
            let socket = match server.accept(token.number()) {
                Ok(Some(socket)) => socket,
                Ok(None) => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // No descriptor is left. The listener stays readable, which would keep the loop busy.
                Err(_) => return self.pause_control(),
            };
            let handler = |daemon: &mut Daemon, token| -> Result<(), Fatal> {
                daemon.handle_client(token);
                Ok(())
            };
            if self.reactor.add_as(token, socket, Interest::Readable, handler).is_err() {
                server.close(token.number());
            }
        }
    }

    /// Accepts no connections for a moment.
    fn pause_control(&mut self) {
        if let (Some(server), Some(token)) = (&self.control.server, self.control.listener) {
            self.reactor.remove(server.listener(), token);
            self.control.resume_at = Some(clock::monotonic_ms() + ACCEPT_PAUSE_MS);
        }
    }

    fn handle_client(&mut self, token: Token) {
        let now = clock::monotonic_ms();
        let Some(server) = &mut self.control.server else { return };
        if !server.handle(token.number(), now) {
            return self.close_client(token);
        }
        self.answer_calls(token);
    }

    /// Answers what has arrived on a connection, up to a call that takes longer.
    pub(super) fn answer_calls(&mut self, token: Token) {
        let now = clock::monotonic_ms();
        loop {
            let Some(server) = &mut self.control.server else { return };
            match server.next_call(token.number(), now) {
                Ok(Some(call)) => self.answer(token, &call),
                Ok(None) => break,
                Err(_) => return self.close_client(token),
            }
        }
        self.wait_for_client(token);
    }

    /// Waits for a client to read its replies, if it has not.
    fn wait_for_client(&mut self, token: Token) {
        let Some(socket) = self.control.server.as_ref().and_then(|server| server.descriptor(token.number())) else {
            return;
        };
        let is_unread = self.control.server.as_ref().is_some_and(|server| !server.has_read_all(token.number()));
        let is_known = self.control.writing.contains(&token);
        if is_unread == is_known {
            return;
        }
        if self.reactor.set_writable(socket, token, is_unread).is_ok() {
            if is_unread {
                self.control.writing.insert(token);
            } else {
                self.control.writing.remove(&token);
            }
        }
    }

    /// Closes a connection and forgets what was being answered on it.
    pub(super) fn close_client(&mut self, token: Token) {
        match self.control.requests.remove(&token) {
            Some(Request::Output(follower)) => self.stop_following(follower.number),
            Some(Request::Run(RunByHand { output: AwaitedOutput::Followed { .. }, .. })) => {
                self.stop_following(token.number());
            }
            _ => {}
        }
        self.control.writing.remove(&token);
        let Some(server) = &mut self.control.server else { return };
        if let Some(socket) = server.descriptor(token.number()) {
            self.reactor.remove(socket, token);
        }
        server.close(token.number());
    }

    /// Closes connections whose clients take too long, and continues the answers that are not complete. To be called in each turn of the loop.
    pub(in crate::daemon) fn advance_control(&mut self, now_ms: i64) {
        let Some(server) = &self.control.server else { return };
        if server.next_deadline_ms().is_some_and(|at| at <= now_ms) {
            for id in server.overdue(now_ms) {
                self.close_client(Token::of_number(id));
            }
        }
        if self.control.resume_at.is_some_and(|at| at <= now_ms) {
            self.control.resume_at = None;
            if self.add_control().is_err() {
                self.control.resume_at = Some(now_ms + ACCEPT_PAUSE_MS);
            }
        }
        self.advance_walks();
        self.answer_reloads();
        self.advance_fleet_repairs(now_ms);
    }

    /// Sends a reply. After the last one the next call is answered.
    pub(super) fn reply(&mut self, token: Token, reply: &Reply) {
        self.reply_all(token, std::slice::from_ref(reply));
    }

    /// Sends several replies at once.
    pub(super) fn reply_all(&mut self, token: Token, replies: &[Reply]) {
        let Some(server) = &mut self.control.server else { return };
        if !server.reply_all(token.number(), replies, clock::monotonic_ms()) {
            return self.close_client(token);
        }
        if replies.last().is_some_and(|last| !last.continues) {
            self.control.requests.remove(&token);
        }
        self.wait_for_client(token);
    }

    /// Replies why a call is not carried out.
    pub(super) fn refuse(&mut self, token: Token, error: impl Into<CallError>) {
        self.reply(token, &Reply::refusal(&error.into()));
    }

    /// Answers a call, or begins to.
    fn answer(&mut self, token: Token, call: &Call) {
        if let Err(error) = self.begin_to_answer(token, call) {
            self.refuse(token, error);
        }
    }

    fn begin_to_answer(&mut self, token: Token, call: &Call) -> Result<(), CallError> {
        let (interface, method) = call.target();
        if interface == service::INTERFACE {
            let reply = service::answer(call, cron::INTERFACE)?;
            self.reply(token, &reply);
            return Ok(());
        }
        if interface != cron::INTERFACE {
            return Err(CallError::InterfaceNotFound { interface: interface.to_owned() });
        }
        match method {
            "Status" => self.walk(token, call, Purpose::Status(Box::<Counts>::default())),
            "List" => {
                let filter = call.arguments::<cron::ListArguments>()?.filter.unwrap_or_default();
                self.find(token, call, filter.jobs.clone(), NextStep::List(filter))
            }
            "Show" => self.find_one(token, call, NextStep::Show),
            "Why" => {
                let cron::WhyArguments { at, .. } = call.arguments()?;
                let at = at.map(|at| time_of(&at)).transpose()?;
                self.find_one(token, call, NextStep::Why { at })
            }
            "Next" => {
                let arguments: cron::NextArguments = call.arguments()?;
                let starts = self.next_starts(&arguments)?;
                let jobs = arguments.filter.unwrap_or_default().jobs;
                self.find(token, call, jobs, NextStep::Next(Box::new(starts)))
            }
            "Run" => {
                let cron::RunArguments { force, output, .. } = call.arguments()?;
                let wants_output = output.unwrap_or(false);
                if wants_output {
                    needs_more(call)?;
                }
                self.find_one(token, call, NextStep::Run { is_forced: force.unwrap_or(false), wants_output })
            }
            "Pause" => {
                let cron::PauseArguments { jobs, all, until, note } = call.arguments()?;
                let until = pause_end(&until)?;
                let pause = PauseRequest::Pause { until, note: note_of(note.unwrap_or_default())? };
                self.find_own(token, call, jobs, all, NextStep::PauseJobs(pause))
            }
            "Resume" => {
                let cron::ResumeArguments { jobs, all } = call.arguments()?;
                self.find_own(
                    token,
                    call,
                    jobs,
                    all,
                    NextStep::PauseJobs(PauseRequest::Resume { had_pause_of_all: false }),
                )
            }
            "Kill" => {
                let arguments: cron::KillArguments = call.arguments()?;
                match &arguments.job {
                    Some(_) if arguments.signal.is_some() => {
                        Err(CallError::InvalidParameter { parameter: "signal: only a run gets one".to_owned() })
                    }
                    Some(job) if arguments.run == 0 => {
                        self.find(token, call, Some(vec![job.clone()]), NextStep::Cancel)
                    }
                    _ => self.kill_run_of_client(token, &arguments),
                }
            }
            "Reload" => self.reload_for_client(token, call.arguments()?),
            "Events" => {
                let filter = call.arguments::<cron::ListArguments>()?.filter.unwrap_or_default();
                needs_more(call)?;
                self.find(token, call, filter.jobs.clone(), NextStep::Events(filter))
            }
            "Metrics" => {
                let filter = call.arguments::<cron::MetricsArguments>()?.filter.unwrap_or_default();
                self.find(token, call, filter.jobs.clone(), NextStep::Metrics(filter))
            }
            "Fleet" => {
                let peer = self.peer(token)?;
                self.ask_fleet(token, peer, call.more, FleetQuestion::Overview);
                Ok(())
            }
            "FleetJobs" => {
                let filter = call.arguments::<cron::FleetJobsArguments>()?.filter.unwrap_or_default();
                self.find(token, call, filter.jobs.clone(), NextStep::FleetJobs(filter))
            }
            "FleetHistory" => self.find_one(token, call, NextStep::FleetHistory),
            "FleetReset" => self.find_one(token, call, NextStep::FleetReset),
            "Output" => {
                let arguments: cron::OutputArguments = call.arguments()?;
                needs_more(call)?;
                self.send_output(token, &arguments)
            }
            _ => Err(CallError::MethodNotFound { method: call.method.clone() }),
        }
    }

    fn find_one(&mut self, token: Token, call: &Call, then: NextStep) -> Result<(), CallError> {
        let cron::JobArguments { job } = call.arguments()?;
        self.find(token, call, Some(vec![job]), then)
    }

    /// Finds the jobs with these names, if any were given, and continues with them.
    fn find(&mut self, token: Token, call: &Call, jobs: Option<Vec<String>>, then: NextStep) -> Result<(), CallError> {
        let texts = jobs.unwrap_or_default();
        if texts.len() > MOST_NAMED {
            return Err(CallError::InvalidParameter { parameter: format!("jobs: at most {MOST_NAMED} names") });
        }
        if texts.is_empty() {
            let (peer, more) = (self.peer(token)?, call.more);
            return self.go_on_with(token, &peer, more, None, false, then);
        }
        self.walk(token, call, Purpose::Find { texts: Searches::new(texts), then })
    }

    /// Finds the jobs with these names, or all that the client may pause.
    fn find_own(
        &mut self,
        token: Token,
        call: &Call,
        jobs: Vec<String>,
        all: Option<bool>,
        mut then: NextStep,
    ) -> Result<(), CallError> {
        match (all.unwrap_or(false), jobs.is_empty()) {
            (true, true) => {
                if let NextStep::PauseJobs(request) = &mut then {
                    // Before the walk: it does not come again to a table that is loaded meanwhile.
                    let peer = self.peer(token)?;
                    self.pause_later_entries(&peer, request);
                }
                self.walk(token, call, Purpose::FindOwn { found: Vec::new(), then })
            }
            (false, false) => self.find(token, call, Some(jobs), then),
            _ => Err(CallError::InvalidParameter { parameter: "either jobs, or all as true".to_owned() }),
        }
    }

    pub(super) fn walk(&mut self, token: Token, call: &Call, purpose: Purpose) -> Result<(), CallError> {
        let peer = self.peer(token)?;
        self.begin_walk(
            token,
            Walk { peer, cursor: EntryCursor::default(), is_behind_entries: false, more: call.more, purpose },
        );
        Ok(())
    }

    pub(super) fn begin_walk(&mut self, token: Token, walk: Walk) {
        self.control.requests.insert(token, Request::Walk(Box::new(walk)));
    }

    pub(super) fn peer(&self, token: Token) -> Result<Peer, CallError> {
        let peer = self.control.server.as_ref().and_then(|server| server.peer(token.number()));
        // A closed connection gets no answer.
        peer.cloned().ok_or(CallError::InvalidParameter { parameter: "connection".to_owned() })
    }
}

/// Parses a time of a call: RFC 3339, in UTC or with an offset.
pub(super) fn time_of(text: &str) -> Result<Timestamp, CallError> {
    let expected = || "a time like 2026-11-27T10:15:00Z".to_owned();
    let time =
        Time::parse(text).ok_or_else(|| cron::Error::InvalidTime { value: text.to_owned(), expected: expected() })?;
    Ok(time.timestamp())
}

/// Reads the end of a pause.
fn pause_end(text: &str) -> Result<Timestamp, CallError> {
    /// The longest pause that is accepted, in seconds.
    const LONGEST: i64 = 30 * 86_400;
    let until = time_of(text)?;
    let now = clock::wall().seconds;
    if until.0 <= now || until.0 > now + LONGEST {
        let expected = "a time in the future, at most 30 days from now".to_owned();
        return Err(cron::Error::InvalidTime { value: text.to_owned(), expected }.into());
    }
    Ok(until)
}

fn note_of(note: String) -> Result<String, CallError> {
    /// Most bytes of the reason of a pause.
    const LONGEST: usize = 1_000;
    if note.len() > LONGEST || note.contains(char::is_control) {
        return Err(CallError::InvalidParameter { parameter: format!("note: at most {LONGEST} bytes in one line") });
    }
    Ok(note)
}

fn needs_more(call: &Call) -> Result<(), CallError> {
    if call.more { Ok(()) } else { Err(CallError::ExpectedMore) }
}

/// The rights that a method needs.
pub(super) fn needed_access(then: &NextStep) -> Access {
    match then {
        NextStep::List(_)
        | NextStep::Next(_)
        | NextStep::Why { .. }
        | NextStep::Events(_)
        | NextStep::Metrics(_)
        | NextStep::FleetJobs(_)
        | NextStep::FleetHistory => Access { sees: Visibility::Entry, may: Permission::Nothing },
        NextStep::Show => Access { sees: Visibility::All, may: Permission::Nothing },
        NextStep::Cancel => Access { sees: Visibility::Entry, may: Permission::Kill },
        NextStep::Run { .. } | NextStep::PauseJobs(_) | NextStep::FleetReset => {
            Access { sees: Visibility::Entry, may: Permission::All }
        }
    }
}

impl Control {
    /// Connections that get the output of a run.
    pub(super) fn output_followers(&self) -> impl Iterator<Item = Token> {
        let follows = |request: &Request| match request {
            Request::Output(_) => true,
            Request::Run(by_hand) => matches!(by_hand.output, AwaitedOutput::Followed { .. }),
            Request::Walk(_) | Request::Events(_) | Request::PauseJobs(_) | Request::Reload | Request::Fleet(_) => {
                false
            }
        };
        self.requests.iter().filter(move |(_, request)| follows(request)).map(|(token, _)| *token)
    }

    /// The connections whose clients follow events.
    pub(super) fn listeners(&self) -> Vec<Token> {
        let listens = |request: &Request| matches!(request, Request::Events(_));
        self.requests.iter().filter(|(_, request)| listens(request)).map(|(token, _)| *token).collect()
    }
}
