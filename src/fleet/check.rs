//! Checks of what an agent says: each message at its time, each answer to what was asked.

use super::message::{AgentMessage, LONGEST_KEY, LONGEST_VALUE};
use crate::scheduler::{FleetAnswer, FleetEntry, FleetEvent, FleetRequest, Transaction};
use std::collections::{BTreeMap, HashMap};

/// Most transactions and reads that wait for an answer, and of these transactions for the jobs of one user.
const MOST_REQUESTS: usize = 20_000;
const MOST_REQUESTS_OF_USER: usize = 10_000;

/// How far a connection has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Connecting,
    Listing,
    Listed,
}

/// What was asked of an agent, and how far the connection has come.
#[derive(Debug)]
pub struct AgentCheck {
    stage: Stage,
    /// When the agent was started, milliseconds of the monotonic clock.
    since_ms: i64,
    /// When the renewal was asked for that has not been answered.
    renewal_ms: Option<i64>,
    /// The transactions that have not been answered, with their users.
    transactions: BTreeMap<u64, (String, Transaction)>,
    /// How many there are of each user.
    of_users: HashMap<String, usize>,
    /// The keys that are being read, with their beginnings.
    reads: BTreeMap<u64, String>,
}

/// A message that the agent must not send.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("it has sent {0}")]
pub struct Unexpected(&'static str);

impl AgentCheck {
    /// For an agent that was started at this moment, milliseconds of the monotonic clock.
    pub fn new(since_ms: i64) -> AgentCheck {
        AgentCheck {
            stage: Stage::Connecting,
            since_ms,
            renewal_ms: None,
            transactions: BTreeMap::new(),
            of_users: HashMap::new(),
            reads: BTreeMap::new(),
        }
    }

    /// Whether another read may be sent.
    pub fn has_room(&self) -> bool {
        self.transactions.len() + self.reads.len() < MOST_REQUESTS
    }

    /// Whether a transaction may be sent: neither all users nor its own have too many that wait.
    pub fn has_room_for(&self, request: &FleetRequest) -> bool {
        self.has_room() && self.of_users.get(&request.user()).is_none_or(|count| *count < MOST_REQUESTS_OF_USER)
    }

    /// How many transactions have not been answered.
    pub fn waiting(&self) -> usize {
        self.transactions.len()
    }

    /// Whether all keys have been listed.
    pub fn is_connected(&self) -> bool {
        self.stage == Stage::Listed
    }

    /// Whether there is a lease that can be renewed.
    pub fn has_lease(&self) -> bool {
        self.stage != Stage::Connecting
    }

    /// Notes that a transaction is asked for.
    pub fn note_transaction(&mut self, request: &FleetRequest) {
        let user = request.user();
        *self.of_users.entry(user.clone()).or_default() += 1;
        self.transactions.insert(request.id, (user, request.transaction.clone()));
    }

    /// Notes that keys are read.
    pub fn note_read(&mut self, id: u64, prefix: &str) {
        self.reads.insert(id, prefix.to_owned());
    }

    /// Notes that a renewal is asked for. False: an earlier one has not been answered.
    pub fn note_renewal(&mut self, now_ms: i64) -> bool {
        let is_first = self.renewal_ms.is_none();
        self.renewal_ms.get_or_insert(now_ms);
        is_first
    }

    /// Checks a message.
    ///
    /// # Errors
    /// The agent is not to be believed.
    pub fn accept(&mut self, message: &AgentMessage, now_ms: i64) -> Result<(), Unexpected> {
        match message {
            AgentMessage::Event(event) => self.accept_event(event, now_ms),
            AgentMessage::Found { id, entries } => {
                let prefix = self.reads.remove(id).ok_or(Unexpected("keys that were not asked for"))?;
                let is_asked_for = |entry: &FleetEntry| entry.key.starts_with(&prefix) && is_sound(entry);
                let are_sound = entries.iter().flatten().all(is_asked_for);
                are_sound.then_some(()).ok_or(Unexpected("other keys than were asked for"))
            }
            AgentMessage::Member { .. }
            | AgentMessage::Info(_)
            | AgentMessage::Warning(_)
            | AgentMessage::Lost(_)
            | AgentMessage::NotStarted(_) => Ok(()),
        }
    }

    fn accept_event(&mut self, event: &FleetEvent, now_ms: i64) -> Result<(), Unexpected> {
        match event {
            FleetEvent::Listing { lease, sent_ms } => {
                let is_in_time = (self.since_ms..=now_ms).contains(sent_ms);
                if self.stage != Stage::Connecting || *lease == 0 || !is_in_time {
                    return Err(Unexpected("a lease at a wrong time"));
                }
                self.stage = Stage::Listing;
                Ok(())
            }
            FleetEvent::Entries(entries) => {
                // How many of them are kept is limited by the scheduler.
                if self.stage == Stage::Connecting {
                    return Err(Unexpected("keys without a listing"));
                }
                let are_sound = entries.iter().all(is_sound);
                are_sound.then_some(()).ok_or(Unexpected("a key or value that is too long"))
            }
            FleetEvent::Listed => {
                if self.stage != Stage::Listing {
                    return Err(Unexpected("the end of a listing without its begin"));
                }
                self.stage = Stage::Listed;
                Ok(())
            }
            FleetEvent::Renewed { sent_ms } => {
                let asked_ms = self.renewal_ms.take().ok_or(Unexpected("a renewal that was not asked for"))?;
                let is_in_time = (asked_ms..=now_ms).contains(sent_ms);
                is_in_time.then_some(()).ok_or(Unexpected("a renewal at a wrong time"))
            }
            FleetEvent::Answered { id, answer } => {
                let (user, asked) =
                    self.transactions.remove(id).ok_or(Unexpected("an answer that was not asked for"))?;
                if let Some(count) = self.of_users.get_mut(&user) {
                    *count -= 1;
                    if *count == 0 {
                        self.of_users.remove(&user);
                    }
                }
                accept_answer(&asked, answer)
            }
            FleetEvent::Away => Err(Unexpected("the word of main")),
        }
    }
}

fn accept_answer(asked: &Transaction, answer: &FleetAnswer) -> Result<(), Unexpected> {
    match answer {
        FleetAnswer::Done { revision: 0 } => Err(Unexpected("an answer without a revision")),
        FleetAnswer::Refused { found } => {
            let keys = asked.compares.iter().map(|compare| &compare.key);
            let is_asked_for = found.len() == asked.compares.len()
                && found.iter().zip(keys).all(|(entry, key)| entry.key == *key && is_sound(entry));
            // Somebody must be different from what was expected.
            let holds = asked.compares.iter().zip(found).all(|(compare, entry)| compare.value == entry.value);
            match is_asked_for && !holds {
                true => Ok(()),
                false => Err(Unexpected("an answer about other keys than were asked for")),
            }
        }
        FleetAnswer::Done { .. } | FleetAnswer::Failed { .. } | FleetAnswer::Unknown => Ok(()),
    }
}

fn is_sound(entry: &FleetEntry) -> bool {
    entry.key.len() <= LONGEST_KEY && entry.value.as_ref().is_none_or(|value| value.len() <= LONGEST_VALUE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scheduler::Compare;

    fn event(event: FleetEvent) -> AgentMessage {
        AgentMessage::Event(event)
    }

    fn entry(key: &str, value: Option<&str>) -> FleetEntry {
        FleetEntry { key: key.to_owned(), value: value.map(str::to_owned), revision: 7 }
    }

    fn connected() -> AgentCheck {
        let mut check = AgentCheck::new(1_000);
        for said in [FleetEvent::Listing { lease: 5, sent_ms: 1_100 }, FleetEvent::Listed] {
            assert_eq!(check.accept(&event(said), 1_200), Ok(()));
        }
        check
    }

    #[test]
    fn a_connection_has_its_stages() {
        let entries = || FleetEvent::Entries(vec![entry("mark/a", Some("1"))]);
        for wrong in [
            FleetEvent::Listed,
            entries(),
            FleetEvent::Listing { lease: 0, sent_ms: 1_100 },
            FleetEvent::Listing { lease: 5, sent_ms: 999 },
            FleetEvent::Listing { lease: 5, sent_ms: 1_201 },
            FleetEvent::Renewed { sent_ms: 1_100 },
            FleetEvent::Away,
        ] {
            assert!(AgentCheck::new(1_000).accept(&event(wrong.clone()), 1_200).is_err(), "{wrong:?}");
        }
        let mut check = connected();
        assert!(check.is_connected() && check.accept(&event(entries()), 1_200).is_ok());
        for wrong in [FleetEvent::Listed, FleetEvent::Listing { lease: 6, sent_ms: 1_100 }] {
            assert!(check.accept(&event(wrong), 1_200).is_err());
        }
        let long = FleetEvent::Entries(vec![entry(&"k".repeat(LONGEST_KEY + 1), None)]);
        assert!(check.accept(&event(long), 1_200).is_err());
    }

    #[test]
    fn a_renewal_is_one_that_was_asked_for_and_no_younger_than_its_request() {
        let mut check = connected();
        assert!(check.note_renewal(2_000) && !check.note_renewal(2_500));
        assert_eq!(check.accept(&event(FleetEvent::Renewed { sent_ms: 2_000 }), 2_600), Ok(()));
        assert!(check.accept(&event(FleetEvent::Renewed { sent_ms: 2_000 }), 2_600).is_err());
        assert!(check.note_renewal(3_000));
        assert!(check.accept(&event(FleetEvent::Renewed { sent_ms: 2_999 }), 3_100).is_err());
        assert!(check.note_renewal(4_000));
        assert!(check.accept(&event(FleetEvent::Renewed { sent_ms: 4_101 }), 4_100).is_err());
    }

    #[test]
    fn an_answer_is_about_what_was_asked_and_comes_once() {
        let compares = vec![Compare { key: "mark/a".into(), value: Some("1".into()) }];
        let request = |id| FleetRequest {
            id,
            expires_ms: 0,
            transaction: Transaction { compares: compares.clone(), changes: Vec::new() },
        };
        let answered = |id, answer| event(FleetEvent::Answered { id, answer });
        let refused = |found| FleetAnswer::Refused { found };
        let mut check = connected();
        assert!(check.accept(&answered(1, FleetAnswer::Unknown), 0).is_err());
        for (id, answer, is_good) in [
            (1, FleetAnswer::Done { revision: 3 }, true),
            (2, FleetAnswer::Done { revision: 0 }, false),
            (3, refused(vec![entry("mark/a", Some("2"))]), true),
            (4, refused(vec![entry("mark/a", None)]), true),
            (5, refused(vec![entry("mark/a", Some("1"))]), false),
            (6, refused(vec![entry("mark/b", Some("2"))]), false),
            (7, refused(vec![]), false),
            (8, FleetAnswer::Failed { why: String::new() }, true),
        ] {
            check.note_transaction(&request(id));
            assert_eq!(check.accept(&answered(id, answer.clone()), 0).is_ok(), is_good, "{answer:?}");
            assert!(check.accept(&answered(id, answer), 0).is_err(), "twice");
        }
        assert_eq!((check.waiting(), check.of_users.len()), (0, 0));
    }

    #[test]
    fn a_user_who_asks_for_too_much_leaves_room_for_others() {
        let mut check = connected();
        let request = |id: u64, user: &str| {
            let compares = vec![Compare { key: format!("mark/{user}:job"), value: None }];
            FleetRequest { id, expires_ms: 0, transaction: Transaction { compares, changes: Vec::new() } }
        };
        let sent = (0..30_000).take_while(|id| {
            let request = request(*id, "mallory");
            let has_room = check.has_room_for(&request);
            if has_room {
                check.note_transaction(&request);
            }
            has_room
        });
        assert_eq!(sent.count(), MOST_REQUESTS_OF_USER);
        assert!(check.has_room_for(&request(30_000, "alice")) && check.has_room());
    }

    #[test]
    fn keys_that_are_read_are_those_that_were_asked_for() {
        let mut check = connected();
        let found = |key: &str| AgentMessage::Found { id: 1, entries: Some(vec![entry(key, Some("x"))]) };
        assert!(check.accept(&found("outcome/a/01"), 0).is_err());
        check.note_read(1, "outcome/a/");
        assert!(check.accept(&found("outcome/a/01"), 0).is_ok());
        check.note_read(1, "outcome/a/");
        assert!(check.accept(&found("outcome/b/01"), 0).is_err());
    }
}
