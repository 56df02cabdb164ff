//! The agent: one connection to the engine, from the lease to its end.
//!
//! The thread that reads what main sends passes it on to others: some for transactions, one for renewals, and one watches the keys. When the
//! connection is lost, or main has closed its end, the process ends.

use super::batch;
use super::connection::{Connection, Read, Task, write};
use super::etcd::{Etcd, KeyValue, StreamMessage, WatchAnswer, end_of_prefix};
use super::fault;
use super::http::{RequestError, Stream};
use super::message::{
    AgentMessage, AgentRequest, AgentSettings, LONGEST_KEY, LONGEST_LINE, LONGEST_WATCHED, MainVersion, PROTOCOL,
};
use crate::scheduler::{FleetAnswer, FleetEntry, FleetEvent, FleetKey, FleetRequest, LEASE_MS};
use crate::sys::clock;
use crate::sys::descriptor;
use crate::sys::error::OsError;
use std::collections::VecDeque;
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

/// What comes before the name of a fleet in each key.
const ROOT: &str = "/cronwheel/";
/// How many requests with transactions are on their way at once.
const WORKERS: usize = 4;
/// Keys of a page of the listing, at first.
const PAGE: u32 = 500;
/// The pause before a request is sent again.
const PAUSE: Duration = Duration::from_millis(200);
/// The lease counts as gone so long before its end, in milliseconds.
const MARGIN_MS: i64 = 1_000;
/// How long the begin of a connection may take.
const BEGIN_MS: i64 = 10_000;
/// When no member serves a watch for so long, the connection is lost. Milliseconds.
const WATCH_MS: i64 = 10_000;
/// Most keys of an answer to a read.
const MOST_READ: u32 = 1_000;

/// Why the agent ends with a failure.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// Main has not sent what it begins with.
    #[error("this is started by crond")]
    NotStartedByMain,
    /// Main is of another version, which the agent has reported to it.
    #[error("this agent uses version {PROTOCOL} of the protocol, the daemon version {protocol}")]
    OtherVersion {
        /// The version of main.
        protocol: u32,
    },
    /// A system call failed.
    #[error("{0}")]
    Io(#[source] OsError),
}

impl From<io::Error> for AgentError {
    fn from(error: io::Error) -> AgentError {
        AgentError::Io(error.into())
    }
}

/// An agent that knows its settings and has not connected yet.
pub struct Prepared {
    settings: AgentSettings,
    main: OwnedFd,
    requests: BufReader<UnixStream>,
}

/// Reads what main begins with.
///
/// # Errors
/// This process was not started by main.
pub fn prepare(main: OwnedFd) -> Result<Prepared, AgentError> {
    descriptor::set_nonblocking(main.as_fd(), false)?;
    let mut requests = BufReader::new(UnixStream::from(main.try_clone()?));
    let line = read_line(&mut requests)?.ok_or(AgentError::NotStartedByMain)?;
    let MainVersion { protocol, version } = MainVersion::of_settings(&line).ok_or(AgentError::NotStartedByMain)?;
    if protocol != PROTOCOL {
        let theirs = if version.is_empty() { "unknown" } else { &version };
        let why = format!(
            "the installed cronctl has version {} (agent protocol {PROTOCOL}), the running daemon version {theirs} \
             (protocol {protocol}): restart the daemon",
            env!("CARGO_PKG_VERSION")
        );
        write(&main, &AgentMessage::NotStarted(why))?;
        return Err(AgentError::OtherVersion { protocol });
    }
    let settings = serde_json::from_slice(&line).map_err(|_| AgentError::NotStartedByMain)?;
    Ok(Prepared { settings, main, requests })
}

/// The next line. None: the other end is closed.
fn read_line(from: &mut impl BufRead) -> io::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    from.take(LONGEST_LINE as u64).read_until(b'\n', &mut line)?;
    match line.last() {
        None => Ok(None),
        Some(b'\n') => Ok(Some(line)),
        Some(_) => Err(io::ErrorKind::InvalidData.into()),
    }
}

impl Prepared {
    /// The ports of the engine's members, which the agent connects to.
    pub fn ports(&self) -> Vec<u16> {
        self.settings.endpoints.iter().map(|endpoint| port(endpoint)).collect()
    }

    /// Says something that is to be logged as information.
    ///
    /// # Errors
    /// Main is gone.
    pub fn inform(&self, text: String) -> Result<(), AgentError> {
        Ok(write(&self.main, &AgentMessage::Info(text))?)
    }

    /// Connects, and serves main until one of the ends is closed.
    ///
    /// # Errors
    /// Main is gone, or a thread cannot be started.
    pub fn run(self) -> Result<(), AgentError> {
        let Prepared { settings, main, mut requests } = self;
        let engine = match Etcd::new(&settings) {
            Ok(engine) => engine,
            Err(why) => return Ok(write(&main, &AgentMessage::Lost(format!("[fleet] {why}")))?),
        };
        if settings.only_checks {
            for problem in fault::find_problems(&engine, &settings, &prefix_of(&settings.name)) {
                write(&main, &AgentMessage::Warning(problem))?;
            }
            return Ok(());
        }
        let Granted { lease, sent_ms } = match begin(&engine) {
            Ok(granted) => granted,
            Err(why) => return Ok(write(&main, &AgentMessage::Lost(why))?),
        };
        let prefix = prefix_of(&settings.name);
        let connection = Arc::new(Connection::new(engine, prefix, settings.node, lease, main));
        // The revision up to which main knows the keys.
        let known = Arc::new(AtomicU64::new(0));
        for worker in 0..WORKERS {
            let connection = Arc::clone(&connection);
            start(&format!("transact-{worker}"), move || work(&connection))?;
        }
        let (renewing, seen) = (Arc::clone(&connection), Arc::clone(&known));
        start("renew", move || renew(&renewing, sent_ms, &seen))?;
        let watching = Arc::clone(&connection);
        start("watch", move || list_and_watch(&watching, sent_ms, &known))?;
        serve(&connection, &mut requests);
        connection.end();
        Ok(())
    }
}

fn start(name: &str, body: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(body).map(drop)
}

fn prefix_of(name: &str) -> String {
    format!("{ROOT}{name}/")
}

/// The port of an address.
fn port(endpoint: &str) -> u16 {
    let usual = if endpoint.starts_with("https:") { 443 } else { 80 };
    // In an address of IPv6 without a port, what is behind the last colon is no number of a port.
    let number = endpoint.rsplit_once(':').filter(|(before, _)| !before.contains('[') || before.ends_with(']'));
    number.and_then(|(_, number)| number.parse().ok()).unwrap_or(usual)
}

/// A lease, and when the request for it was sent, milliseconds of the monotonic clock.
struct Granted {
    lease: u64,
    sent_ms: i64,
}

/// Logs in and asks for a lease, of each member in turn.
fn begin(engine: &Etcd) -> Result<Granted, String> {
    let until_ms = clock::monotonic_ms() + BEGIN_MS;
    let mut failures = Vec::new();
    for _ in 0..engine.members.count() {
        let sent_ms = clock::monotonic_ms();
        if sent_ms > until_ms {
            break;
        }
        let granted = engine.log_in().and_then(|()| engine.grant((LEASE_MS / 1000).unsigned_abs()));
        match granted {
            Ok(lease) if lease > 0 => return Ok(Granted { lease, sent_ms }),
            Ok(_) => failures.push(format!("{}: it has given no lease", engine.members.current())),
            Err(why) => {
                let is_definite = why.is_definite();
                failures.push(why.to_string());
                if is_definite {
                    break;
                }
            }
        }
    }
    Err(failures.join("; "))
}

/// Lists all keys, and then passes on what changes.
fn list_and_watch(connection: &Connection, sent_ms: i64, known: &AtomicU64) {
    match list(connection, sent_ms) {
        Ok(revision) => {
            known.store(revision, Ordering::Relaxed);
            watch(connection, known);
        }
        Err(why) => connection.lose(why.to_string()),
    }
}

/// Lists all keys. Returns the revision that they have.
fn list(connection: &Connection, sent_ms: i64) -> Result<u64, RequestError> {
    let Connection { engine, lease, .. } = connection;
    let mut revision = put_clock(connection)?;
    connection.say(&AgentMessage::Event(FleetEvent::Listing { lease: *lease, sent_ms }));
    say_member(connection, sent_ms);
    for kind in FleetKey::WATCHED {
        let begin = format!("{}{kind}", connection.prefix).into_bytes();
        let end = end_of_prefix(&begin);
        let (mut from, mut limit, mut failures) = (begin, PAGE, 0);
        loop {
            let page = match engine.range(&from, &end, limit, revision) {
                Ok(page) => page,
                Err(RequestError::TooLong { .. }) if limit > 1 => {
                    limit /= 2;
                    continue;
                }
                Err(why) if !why.is_definite() && failures < engine.members.count() => {
                    failures += 1;
                    thread::sleep(PAUSE);
                    continue;
                }
                Err(why) => return Err(why),
            };
            revision = if revision == 0 { page.header.revision } else { revision };
            if let Some(last) = page.kvs.last() {
                // The next key in order.
                from = [&last.key[..], &[0]].concat();
            }
            let is_last = !page.more || page.kvs.is_empty();
            connection.say_entries(page.kvs.into_iter().filter_map(|kv| entry(connection, kv, false)).collect());
            if is_last {
                break;
            }
        }
    }
    connection.say(&AgentMessage::Event(FleetEvent::Listed));
    Ok(revision)
}

/// A key as main knows it. None: it is not one of those that are watched, or longer than any that a node writes.
fn entry(connection: &Connection, kv: KeyValue, is_deleted: bool) -> Option<FleetEntry> {
    let key = connection.own_key(&kv.key).filter(|key| key.len() <= LONGEST_KEY)?;
    if !FleetKey::WATCHED.iter().any(|kind| key.starts_with(kind)) {
        return None;
    }
    if kv.value.len() > LONGEST_WATCHED {
        connection.say(&AgentMessage::Warning(format!(
            "the key {}{key} has a value of {} bytes, which no node writes: it is not used, and its job is not run",
            connection.prefix,
            kv.value.len()
        )));
    }
    let value = (!is_deleted).then(|| batch::watched_text(kv.value));
    Some(FleetEntry { key: key.to_owned(), value, revision: kv.mod_revision })
}

/// Writes the clock of this node under its lease. Returns the revision.
fn put_clock(connection: &Connection) -> Result<u64, RequestError> {
    let key = format!("{}{}", connection.prefix, FleetKey::Clock(connection.node.clone()));
    let value = clock::wall_ms().to_string();
    Ok(connection.engine.put(key.as_bytes(), value.as_bytes(), connection.lease)?.revision)
}

fn say_member(connection: &Connection, sent_ms: i64) {
    let milliseconds = (clock::monotonic_ms() - sent_ms).max(0).unsigned_abs();
    let endpoint = connection.engine.members.current().to_owned();
    connection.say(&AgentMessage::Member { endpoint, microseconds: milliseconds * 1000 });
}

/// Reads what main asks for, until it closes its end or this agent ends.
fn serve(connection: &Connection, requests: &mut impl BufRead) {
    while let Ok(Some(line)) = read_line(requests) {
        match serde_json::from_slice(&line) {
            Ok(AgentRequest::Transact(request)) => connection.add_transaction(request),
            Ok(AgentRequest::Renew) => connection.add_renewal(),
            Ok(AgentRequest::Read { id, prefix, limit }) => connection.add_read(Read { id, prefix, limit }),
            // The program was replaced while the daemon runs.
            Err(_) => return connection.lose("the agent and the daemon are of different versions".to_owned()),
        }
    }
}

/// Does what main asks for, until the agent ends.
fn work(connection: &Connection) {
    while let Some(task) = connection.next_task() {
        match task {
            Task::Transact(requests) => transact(connection, requests),
            Task::Read(Read { id, prefix, limit }) => {
                connection.say_found(id, read(connection, &prefix, limit));
            }
        }
    }
}

fn read(connection: &Connection, prefix: &str, limit: u32) -> Option<Vec<FleetEntry>> {
    let begin = format!("{}{prefix}", connection.prefix).into_bytes();
    let end = end_of_prefix(&begin);
    let range = |_| connection.engine.range(&begin, &end, limit.clamp(1, MOST_READ), 0).ok();
    let found = (0..=connection.engine.members.count()).find_map(range)?;
    let entry = |kv: KeyValue| {
        let key = connection.own_key(&kv.key).filter(|key| key.len() <= LONGEST_KEY)?.to_owned();
        Some(FleetEntry { key, value: Some(batch::text(kv.value)), revision: kv.mod_revision })
    };
    Some(found.kvs.into_iter().filter_map(entry).collect())
}

/// A request whose answer is not known yet.
struct Pending {
    request: FleetRequest,
    /// Whether an execution of it may have been, or may still be on its way.
    is_uncertain: bool,
}

/// Executes transactions until there is an answer to each, or the time for it is over.
///
/// A request without an answer may still be executed later. It is sent again as it is, since main makes each so that a second execution changes
/// nothing. What failed is reported as failed only if no execution of it can have happened.
fn transact(connection: &Connection, requests: Vec<FleetRequest>) {
    let pending = |request| Pending { request, is_uncertain: false };
    let mut groups: VecDeque<Vec<Pending>> = [requests.into_iter().map(pending).collect()].into();
    while let Some(group) = groups.pop_front() {
        let now_ms = clock::monotonic_ms();
        let (group, expired): (Vec<Pending>, Vec<Pending>) =
            group.into_iter().partition(|pending| pending.request.expires_ms > now_ms);
        expired.into_iter().for_each(|pending| answer_failure(connection, &pending, "there was no answer in time"));
        if group.is_empty() {
            continue;
        }
        if connection.has_ended() {
            return;
        }
        let requests: Vec<FleetRequest> = group.iter().map(|pending| pending.request.clone()).collect();
        let sent = connection.engine.transact(&batch::request(&connection.prefix, &requests));
        match sent {
            Ok(answer) => match batch::answers(&requests, answer) {
                Some(answers) => {
                    for (request, answer) in requests.iter().zip(answers) {
                        connection.say(&AgentMessage::Event(FleetEvent::Answered { id: request.id, answer }));
                    }
                }
                None => {
                    let why = format!(
                        "{}: its answer to a transaction is not that of etcd",
                        connection.engine.members.current()
                    );
                    return connection.lose(why);
                }
            },
            Err(why) if why.is_overload() => {
                thread::sleep(PAUSE);
                groups.push_back(group);
            }
            // One of several may be what was refused: each is tried alone.
            Err(why) if why.is_definite() && group.len() > 1 => {
                groups.extend(group.into_iter().map(|pending| vec![pending]));
            }
            Err(why) if why.is_definite() => {
                if why.is_lease_gone() {
                    connection.lose("the lease of this node is gone".to_owned());
                    return;
                }
                for pending in group {
                    if pending.is_uncertain {
                        thread::sleep(PAUSE);
                        groups.push_back(vec![pending]);
                    } else {
                        answer_failure(connection, &pending, &why.to_string());
                    }
                }
            }
            Err(_) => {
                thread::sleep(PAUSE);
                let uncertain = |pending: Pending| Pending { is_uncertain: true, ..pending };
                groups.push_back(group.into_iter().map(uncertain).collect());
            }
        }
    }
}

fn answer_failure(connection: &Connection, pending: &Pending, why: &str) {
    let answer = match pending.is_uncertain {
        true => FleetAnswer::Unknown,
        false => FleetAnswer::Failed { why: why.to_owned() },
    };
    connection.say(&AgentMessage::Event(FleetEvent::Answered { id: pending.request.id, answer }));
}

/// Renews the lease whenever main wants it. When it cannot be renewed before its end, the connection is lost.
fn renew(connection: &Connection, granted_ms: i64, seen: &AtomicU64) {
    let mut renewed_ms = granted_ms;
    while connection.next_renewal() {
        loop {
            let sent_ms = clock::monotonic_ms();
            if sent_ms > renewed_ms + LEASE_MS - MARGIN_MS {
                return connection.lose("the lease could not be renewed in time".to_owned());
            }
            // The write also shows that a majority of the members still knows the lease: one that is cut off cannot answer it.
            let renewed = connection.engine.keep_alive(connection.lease).and_then(|is_alive| match is_alive {
                true => put_clock(connection).map(Some),
                false => Ok(None),
            });
            match renewed {
                Ok(Some(revision)) if revision < seen.load(Ordering::Relaxed) => {
                    return connection.lose("the engine has gone back to an earlier state".to_owned());
                }
                Ok(Some(_)) => {
                    renewed_ms = sent_ms;
                    connection.say(&AgentMessage::Event(FleetEvent::Renewed { sent_ms }));
                    say_member(connection, sent_ms);
                    break;
                }
                Ok(None) => return connection.lose("the lease of this node is gone".to_owned()),
                Err(why) if why.is_lease_gone() => return connection.lose("the lease of this node is gone".to_owned()),
                Err(why) if why.is_definite() && !why.is_overload() => {
                    return connection.lose(format!("the lease is not renewed: {why}"));
                }
                Err(_) => thread::sleep(PAUSE),
            }
            if connection.has_ended() {
                return;
            }
        }
    }
}

/// Passes on what changes after the revision `known`, without a gap, from one member or another.
fn watch(connection: &Connection, known: &AtomicU64) {
    let mut broken_since_ms = None;
    while !connection.has_ended() {
        let before = known.load(Ordering::Relaxed);
        let why = match connection.engine.watch(connection.prefix.as_bytes(), before + 1) {
            Ok(stream) => {
                let endpoint = stream.endpoint.clone();
                let why = follow(connection, stream, known);
                connection.engine.members.leave(&endpoint);
                why
            }
            Err(why) if why.is_definite() && !why.is_overload() => {
                return connection.lose(format!("the keys cannot be watched: {why}"));
            }
            Err(why) => {
                connection.engine.members.leave(connection.engine.members.current());
                Ok(why.to_string())
            }
        };
        match why {
            Ok(why) => {
                let now_ms = clock::monotonic_ms();
                if known.load(Ordering::Relaxed) > before {
                    broken_since_ms = None;
                }
                if now_ms - *broken_since_ms.get_or_insert(now_ms) > WATCH_MS {
                    return connection.lose(format!("the keys cannot be watched: {why}"));
                }
            }
            Err(why) => return connection.lose(why),
        }
        thread::sleep(PAUSE);
    }
}

/// Follows a watch. Returns why it has ended.
///
/// # Errors
/// The changes since what is known cannot be had any more.
fn follow(connection: &Connection, mut stream: Stream, known: &AtomicU64) -> Result<String, String> {
    loop {
        let message: StreamMessage<WatchAnswer> = match stream.next() {
            Ok(Some(message)) => message,
            Ok(None) => return Ok(format!("{}: it has ended the watch", stream.endpoint)),
            Err(why) => return Ok(why.to_string()),
        };
        let Some(answer) = message.result else { return Ok(format!("{}: it has ended the watch", stream.endpoint)) };
        if answer.canceled {
            return Err(format!("the watch was ended: {}", answer.cancel_reason));
        }
        let latest = answer.events.iter().map(|event| event.kv.mod_revision).max();
        let entries = answer.events.into_iter().filter_map(|event| {
            let is_deleted = event.kind == "DELETE";
            entry(connection, event.kv, is_deleted)
        });
        connection.say_entries(entries.collect());
        if let Some(latest) = latest {
            known.fetch_max(latest, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_port() {
        for (endpoint, expected) in [
            ("https://a:2379", 2379),
            ("https://a", 443),
            ("http://a", 80),
            ("http://[::1]:2379", 2379),
            ("http://[fe80::2379]", 80),
        ] {
            assert_eq!(port(endpoint), expected, "{endpoint}");
        }
    }
}
