//! The daemon's side of a fleet: starts the agent and starts it again, passes on what the scheduler asks for, and what the agent says once it is
//! checked.
//!
//! Nothing here waits. An agent is one connection; see [`crate::fleet`].

use super::fleet_start::{AgentStart, agent_settings, node_name, one_line};
use super::reactor::{Interest, Reactor, Token};
use super::settings::Settings;
use crate::config::FleetConfig;
use crate::fleet::check::AgentCheck;
use crate::fleet::link::{Link, LinkError};
use crate::fleet::message::{AgentMessage, AgentRequest};
use crate::report::Level;
use crate::schedule::Zones;
use crate::scheduler::{Change, FleetAnswer, FleetEntry, FleetEvent, FleetRequest, LEASE_MS, Mark, RENEW_MS};
use crate::sys::files::{self, reason};
use crate::sys::{clock, descriptor};
use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

/// How soon the agent is started again, in milliseconds: doubled from one to the other.
const FIRST_PAUSE_MS: i64 = 1_000;
const LONGEST_PAUSE_MS: i64 = 15_000;
/// The same for an agent that cannot work on this machine until somebody changes something, as one of another version.
const LONGEST_UNUSABLE_PAUSE_MS: i64 = 300_000;
/// The lease counts as gone so long before its end, in milliseconds.
const MARGIN_MS: i64 = 1_000;
/// How long an agent may take until it has listed all keys.
const BEGIN_MS: i64 = 60_000;
/// Most different lines of agents that go into the log.
const MOST_LINES: usize = 20;

/// The fleet as the daemon has it.
#[derive(Debug, Default)]
pub(super) struct Fleet {
    open: Option<OpenFleet>,
    /// The name of this node.
    node: String,
    /// Why the engine is away. None: it is there.
    fault: Option<String>,
    lines: Vec<(Level, String)>,
}

#[derive(Debug)]
struct OpenFleet {
    config: FleetConfig,
    node: String,
    program: PathBuf,
    /// User id and group id of the agent. None: those of this process.
    account: Option<(u32, u32)>,
    agent: Agent,
    pause_ms: i64,
    /// Since when the engine has been away, milliseconds of the monotonic clock. None: it is there.
    away_since_ms: Option<i64>,
    /// Which ends of connections were logged since the engine went away.
    logged_ends: BTreeSet<EndKind>,
    counts: FleetCounts,
    last_read: u64,
    /// The lines of agents that were logged.
    logged_lines: BTreeSet<String>,
}

/// What is counted of a fleet since the start of the daemon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FleetCounts {
    /// How often the connection to the engine was lost.
    pub(super) losses: u64,
    /// Claims of slots that were made.
    pub(super) won: u64,
    /// Claims that were refused: mostly another node was faster.
    pub(super) refused: u64,
    /// Claims that failed, or whose answer is not known.
    pub(super) failed: u64,
}

#[derive(Debug)]
enum Agent {
    /// It is started at this moment, milliseconds of the monotonic clock.
    Waiting(i64),
    Running(Box<RunningAgent>),
}

#[derive(Debug)]
struct RunningAgent {
    link: Link,
    token: Token,
    is_writing: bool,
    check: AgentCheck,
    /// The requests that are claims and have not been answered.
    claims: BTreeSet<u64>,
    since_ms: i64,
    /// When the lease counts as gone. None: there is none yet.
    lease_until_ms: Option<i64>,
    /// When the lease is to be renewed.
    renew_at_ms: i64,
    /// The member of the engine that answers, and how long that took last, in microseconds.
    member: Option<(String, u64)>,
}

/// Why a connection ends.
#[derive(Debug)]
struct ConnectionEnd {
    kind: EndKind,
    why: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum EndKind {
    /// The engine cannot be reached, or the agent has failed.
    EngineAway,
    /// The agent cannot be started, or does not work with this daemon.
    AgentUnusable,
}

impl ConnectionEnd {
    fn away(why: impl Into<String>) -> ConnectionEnd {
        ConnectionEnd { kind: EndKind::EngineAway, why: why.into() }
    }

    fn unusable(why: String) -> ConnectionEnd {
        ConnectionEnd { kind: EndKind::AgentUnusable, why }
    }
}

/// What the agent has sent, once it is checked.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FleetOutput {
    /// For the scheduler.
    Event(FleetEvent),
    /// Keys that were read. None: they could not be.
    Found(u64, Option<Vec<FleetEntry>>),
}

/// The state of the connection, for those who ask.
#[derive(Debug)]
pub(super) struct FleetStatus<'a> {
    /// Whether the engine is there.
    pub(super) is_connected: bool,
    /// The member of the engine that answers, and how long that took last, in microseconds.
    pub(super) member: Option<&'a (String, u64)>,
    /// Transactions without an answer.
    pub(super) waiting: usize,
    pub(super) counts: FleetCounts,
}

impl Fleet {
    /// The fleet of the configuration. The agent is started by [`Fleet::run_timers`].
    pub(super) fn open(settings: &Settings, zones: &dyn Zones) -> Fleet {
        let Some(config) = &settings.config.fleet else { return Fleet::default() };
        match AgentStart::find(settings, config, zones) {
            Ok(AgentStart { program, account, node }) => {
                let open = OpenFleet {
                    config: config.clone(),
                    node: node.clone(),
                    program,
                    account,
                    agent: Agent::Waiting(0),
                    pause_ms: FIRST_PAUSE_MS,
                    away_since_ms: Some(clock::monotonic_ms()),
                    logged_ends: BTreeSet::new(),
                    counts: FleetCounts::default(),
                    last_read: 0,
                    logged_lines: BTreeSet::new(),
                };
                let fault = Some("it is not connected yet".to_owned());
                Fleet { open: Some(open), node, fault, lines: Vec::new() }
            }
            Err(why) => {
                let text = format!("this machine takes no part in the fleet {}: {why}", config.name);
                let node = node_name(config).unwrap_or_default();
                Fleet { open: None, node, fault: Some(why.to_string()), lines: vec![(Level::Warning, text)] }
            }
        }
    }

    /// The name of this node.
    pub(super) fn node(&self) -> &str {
        &self.node
    }

    /// Why the engine is away. None: it is there.
    pub(super) fn fault(&self) -> Option<&str> {
        self.fault.as_deref()
    }

    /// Whether an agent runs.
    pub(super) fn has_agent(&self) -> bool {
        self.open.as_ref().is_some_and(|open| matches!(open.agent, Agent::Running(_)))
    }

    /// The state of the connection. None: there is no fleet.
    pub(super) fn status(&self) -> Option<FleetStatus<'_>> {
        let open = self.open.as_ref()?;
        let running = match &open.agent {
            Agent::Running(running) => Some(running),
            Agent::Waiting(_) => None,
        };
        Some(FleetStatus {
            is_connected: running.is_some_and(|running| running.check.is_connected()),
            member: running.and_then(|running| running.member.as_ref()),
            waiting: running.map_or(0, |running| running.check.waiting()),
            counts: open.counts,
        })
    }

    /// Sends a request of the scheduler. What cannot be sent is answered at once: it has certainly not been executed.
    pub(super) fn request(&mut self, request: &FleetRequest) -> Option<FleetEvent> {
        let open = self.open.as_mut()?;
        // Without a connection its end has voided the request.
        let Agent::Running(running) = &mut open.agent else { return None };
        let failed = |why: &str| {
            let answer = FleetAnswer::Failed { why: why.to_owned() };
            Some(FleetEvent::Answered { id: request.id, answer })
        };
        let is_claim = is_claim(request);
        if !running.check.has_room_for(request) || running.link.push(&AgentRequest::Transact(request.clone())).is_err()
        {
            open.counts.failed += u64::from(is_claim);
            return failed("more requests wait for the engine than are kept; it is too slow for this fleet");
        }
        running.check.note_transaction(request);
        if is_claim {
            running.claims.insert(request.id);
        }
        None
    }

    /// Has keys read. Returns the number that [`FleetOutput::Found`] will have. None: there is no connection, or too much to do.
    pub(super) fn read(&mut self, prefix: &str, limit: u32) -> Option<u64> {
        let open = self.open.as_mut()?;
        let Agent::Running(running) = &mut open.agent else { return None };
        if !running.check.is_connected() || !running.check.has_room() {
            return None;
        }
        open.last_read += 1;
        let id = open.last_read;
        running.link.push(&AgentRequest::Read { id, prefix: prefix.to_owned(), limit }).ok()?;
        running.check.note_read(id, prefix);
        Some(id)
    }

    /// When [`Fleet::run_timers`] has something to do, milliseconds of the monotonic clock.
    pub(super) fn deadline_ms(&self) -> Option<i64> {
        match &self.open.as_ref()?.agent {
            Agent::Waiting(at) => Some(*at),
            Agent::Running(running) => Some(running.deadline_ms()),
        }
    }

    /// Starts the agent, has the lease renewed, and ends a connection whose lease is gone. `handler` is called when the agent has sent something.
    pub(super) fn run_timers<H: Copy>(
        &mut self,
        now_ms: i64,
        reactor: &mut Reactor<H>,
        handler: H,
    ) -> Vec<FleetOutput> {
        let Some(open) = &mut self.open else { return Vec::new() };
        match &mut open.agent {
            Agent::Waiting(at) if *at <= now_ms => {
                match open.spawn(now_ms, reactor, handler) {
                    Ok(running) => open.agent = Agent::Running(Box::new(running)),
                    Err(why) => {
                        let end = ConnectionEnd::unusable(why);
                        let line = open.note_loss(now_ms, &end);
                        self.lines.extend(line);
                        self.fault = Some(end.why);
                    }
                }
                Vec::new()
            }
            Agent::Waiting(_) => Vec::new(),
            Agent::Running(running) => {
                let end = match running.lease_until_ms {
                    Some(until) => (until <= now_ms).then_some("the lease of this node could not be renewed in time"),
                    None => (running.since_ms + BEGIN_MS <= now_ms).then_some("the agent does not connect"),
                };
                if let Some(why) = end {
                    return self.lose(now_ms, reactor, ConnectionEnd::away(why));
                }
                if running.renew_at_ms <= now_ms && running.check.has_lease() {
                    running.renew_at_ms = now_ms + RENEW_MS;
                    if running.check.note_renewal(now_ms) {
                        // A link that takes nothing more is noticed by the end of the lease.
                        let _ = running.link.push(&AgentRequest::Renew);
                    }
                }
                Vec::new()
            }
        }
    }

    /// Sends what waits for the agent.
    pub(super) fn flush<H: Copy>(&mut self, now_ms: i64, reactor: &mut Reactor<H>) -> Vec<FleetOutput> {
        let Some(Agent::Running(running)) = self.open.as_mut().map(|open| &mut open.agent) else { return Vec::new() };
        if let Err(why) = running.link.flush() {
            // The reason that the agent gives is better than that.
            let reported = running.link.receive().ok().and_then(reported_end);
            let end = reported.unwrap_or_else(|| ConnectionEnd::away(format!("the agent: {why}")));
            return self.lose(now_ms, reactor, end);
        }
        let wants_to_write = running.link.wants_to_write();
        if wants_to_write != running.is_writing
            && reactor.set_writable(&running.link, running.token, wants_to_write).is_ok()
        {
            running.is_writing = wants_to_write;
        }
        Vec::new()
    }

    /// Reads what the agent has sent.
    pub(super) fn handle_agent<H: Copy>(&mut self, now_ms: i64, reactor: &mut Reactor<H>) -> Vec<FleetOutput> {
        let Some(Agent::Running(running)) = self.open.as_mut().map(|open| &mut open.agent) else { return Vec::new() };
        let messages = match running.link.receive() {
            Ok(messages) => messages,
            Err(LinkError::Closed) => return self.lose(now_ms, reactor, ConnectionEnd::away("the agent has ended")),
            Err(why) => return self.lose(now_ms, reactor, ConnectionEnd::away(format!("the agent: {why}"))),
        };
        let mut outputs = Vec::new();
        for message in messages {
            match self.handle_message(now_ms, message, &mut outputs) {
                Ok(()) => {}
                Err(end) => {
                    outputs.extend(self.lose(now_ms, reactor, end));
                    return outputs;
                }
            }
        }
        outputs
    }

    /// Handles a message. Fails with the reason why the connection ends.
    fn handle_message(
        &mut self,
        now_ms: i64,
        message: AgentMessage,
        outputs: &mut Vec<FleetOutput>,
    ) -> Result<(), ConnectionEnd> {
        let Some(open) = &mut self.open else { return Ok(()) };
        let Agent::Running(running) = &mut open.agent else { return Ok(()) };
        running.check.accept(&message, now_ms).map_err(|why| ConnectionEnd::away(format!("the agent: {why}")))?;
        match message {
            AgentMessage::Event(event) => {
                match &event {
                    FleetEvent::Listing { sent_ms, .. } | FleetEvent::Renewed { sent_ms } => {
                        running.lease_until_ms = Some(sent_ms + LEASE_MS - MARGIN_MS);
                    }
                    FleetEvent::Listed => {
                        open.pause_ms = FIRST_PAUSE_MS;
                        self.fault = None;
                        let since = open.away_since_ms.take();
                        let member = running.member.as_ref().map_or("", |(endpoint, _)| endpoint);
                        let after = match since {
                            Some(since) if !std::mem::take(&mut open.logged_ends).is_empty() => {
                                format!(" again after {} s", (now_ms - since) / 1000)
                            }
                            _ => String::new(),
                        };
                        let text = format!(
                            "connected to the engine of the fleet {} as node {}{after}: {}",
                            open.config.name,
                            open.node,
                            one_line(member)
                        );
                        self.lines.push((Level::Info, text));
                    }
                    FleetEvent::Answered { id, answer } if running.claims.remove(id) => match answer {
                        FleetAnswer::Done { .. } => open.counts.won += 1,
                        FleetAnswer::Refused { .. } => open.counts.refused += 1,
                        FleetAnswer::Failed { .. } | FleetAnswer::Unknown => open.counts.failed += 1,
                    },
                    FleetEvent::Answered { .. } | FleetEvent::Entries(_) | FleetEvent::Away => {}
                }
                outputs.push(FleetOutput::Event(event));
            }
            AgentMessage::Found { id, entries } => outputs.push(FleetOutput::Found(id, entries)),
            AgentMessage::Member { endpoint, microseconds } => {
                running.member = Some((one_line(&endpoint), microseconds));
            }
            AgentMessage::Info(text) | AgentMessage::Warning(text) => {
                // The next agent says the same.
                let text = one_line(&text);
                if open.logged_lines.len() < MOST_LINES && open.logged_lines.insert(text.clone()) {
                    self.lines.push((Level::Info, text));
                }
            }
            AgentMessage::Lost(why) => return Err(ConnectionEnd::away(one_line(&why))),
            AgentMessage::NotStarted(why) => return Err(ConnectionEnd::unusable(one_line(&why))),
        }
        Ok(())
    }

    /// Ends the connection, and has the scheduler know if it knows of it.
    fn lose<H: Copy>(&mut self, now_ms: i64, reactor: &mut Reactor<H>, end: ConnectionEnd) -> Vec<FleetOutput> {
        let Some(open) = &mut self.open else { return Vec::new() };
        let Agent::Running(running) = std::mem::replace(&mut open.agent, Agent::Waiting(i64::MAX)) else {
            return Vec::new();
        };
        reactor.remove(&running.link, running.token);
        let line = open.note_loss(now_ms, &end);
        self.lines.extend(line);
        self.fault = Some(end.why);
        // The agent ends when its socket is closed.
        match running.check.has_lease() {
            true => vec![FleetOutput::Event(FleetEvent::Away)],
            false => Vec::new(),
        }
    }

    /// Takes the lines for the log.
    pub(super) fn take_lines(&mut self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.lines)
    }
}

impl RunningAgent {
    fn deadline_ms(&self) -> i64 {
        match self.lease_until_ms {
            Some(until) => until.min(self.renew_at_ms),
            None => self.since_ms + BEGIN_MS,
        }
    }
}

impl OpenFleet {
    /// Starts the agent.
    fn spawn<H: Copy>(&self, now_ms: i64, reactor: &mut Reactor<H>, handler: H) -> Result<RunningAgent, String> {
        let settings = agent_settings(&self.config, &self.node, false).map_err(|why| why.to_string())?;
        let mut spawned = || -> io::Result<(Link, Token)> {
            let (ours, theirs) = descriptor::stream_pair()?;
            let start = AgentStart { program: self.program.clone(), account: self.account, node: String::new() };
            // The loop reaps all children.
            #[allow(clippy::zombie_processes)]
            let _child = start.command(theirs).spawn()?;
            let token = reactor.add(&ours, Interest::Readable, handler)?;
            Ok((Link::new(ours), token))
        };
        let (mut link, token) = spawned().map_err(|why| reason(&why))?;
        link.push(&settings).map_err(|_| "the files of [fleet] are too long".to_owned())?;
        Ok(RunningAgent {
            link,
            token,
            is_writing: false,
            check: AgentCheck::new(now_ms),
            claims: BTreeSet::new(),
            since_ms: now_ms,
            lease_until_ms: None,
            renew_at_ms: now_ms + RENEW_MS,
            member: None,
        })
    }

    /// Has the agent started later. The first end of each kind in an incident is a line for the log.
    fn note_loss(&mut self, now_ms: i64, end: &ConnectionEnd) -> Option<(Level, String)> {
        // All nodes may have lost the engine at once, and are not to come back at once.
        let mut random = [0; 2];
        // Without random numbers they do.
        let _ = files::randomize(&mut random);
        let jitter_ms = self.pause_ms * i64::from(u16::from_ne_bytes(random)) / i64::from(u16::MAX);
        self.agent = Agent::Waiting(now_ms + self.pause_ms / 2 + jitter_ms);
        let longest_ms = match end.kind {
            EndKind::EngineAway => LONGEST_PAUSE_MS,
            EndKind::AgentUnusable => LONGEST_UNUSABLE_PAUSE_MS,
        };
        self.pause_ms = (self.pause_ms * 2).min(longest_ms);
        self.counts.losses += u64::from(self.away_since_ms.is_none());
        self.away_since_ms.get_or_insert(now_ms);
        self.logged_ends.insert(end.kind).then(|| {
            let (fleet, why) = (&self.config.name, &end.why);
            let what = match end.kind {
                EndKind::EngineAway => format!("the engine of the fleet {fleet} is away"),
                EndKind::AgentUnusable => format!("the agent of the fleet {fleet} does not start"),
            };
            (Level::Warning, format!("{what}: {why}; jobs of the fleet run as CRON_FLEET_AWAY says"))
        })
    }
}

/// Whether a request claims a slot.
fn is_claim(request: &FleetRequest) -> bool {
    let claimed = |change: &Change| change.value.as_deref().and_then(Mark::of_text).is_some_and(|mark| mark.is_open());
    request.transaction.changes.iter().filter(|change| change.key.starts_with("mark/")).any(claimed)
}

/// The reason that an agent gives for its end.
fn reported_end(messages: Vec<AgentMessage>) -> Option<ConnectionEnd> {
    messages.into_iter().find_map(|message| match message {
        AgentMessage::Lost(why) => Some(ConnectionEnd::away(one_line(&why))),
        AgentMessage::NotStarted(why) => Some(ConnectionEnd::unusable(one_line(&why))),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agent_that_cannot_work_is_logged_with_its_reason_and_started_less_and_less_often() {
        let config = FleetConfig {
            name: "prod".into(),
            endpoints: vec!["http://a:1".into()],
            ca: None,
            identity: None,
            login: None,
            node: None,
            labels: Vec::new(),
            weight: 1,
            zone: "UTC".into(),
        };
        let mut open = OpenFleet {
            config,
            node: "web1".into(),
            program: "/bin/cronctl".into(),
            account: None,
            agent: Agent::Waiting(0),
            pause_ms: FIRST_PAUSE_MS,
            away_since_ms: None,
            logged_ends: BTreeSet::new(),
            counts: FleetCounts::default(),
            last_read: 0,
            logged_lines: BTreeSet::new(),
        };
        let mut lose = |end: &ConnectionEnd| {
            let line = open.note_loss(0, end).map(|(_, text)| text);
            let Agent::Waiting(at_ms) = open.agent else { panic!("it waits") };
            (line, at_ms)
        };
        let away = ConnectionEnd::away("no connection");
        let begin = "the engine of the fleet prod is away: no connection; ";
        assert!(lose(&away).0.is_some_and(|line| line.starts_with(begin)));
        let most = |lose: &mut dyn FnMut() -> i64| (0..20).map(|_| lose()).max().unwrap();
        assert!(most(&mut || lose(&away).1) <= LONGEST_PAUSE_MS * 3 / 2);
        let unusable = reported_end(vec![AgentMessage::NotStarted("restart the daemon".into())]).unwrap();
        let begin = "the agent of the fleet prod does not start: restart the daemon; ";
        assert!(lose(&unusable).0.is_some_and(|line| line.starts_with(begin)), "although the engine was away before");
        assert!(most(&mut || lose(&unusable).1) > LONGEST_UNUSABLE_PAUSE_MS / 2);
        assert_eq!((lose(&unusable).0, lose(&away).0), (None, None), "each once in an incident");
        assert!(lose(&away).1 <= LONGEST_PAUSE_MS * 3 / 2);
    }
}
