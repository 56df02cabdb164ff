//! `-x FLAGS`: a daemon that tells what it does, in lines `(CRON) DEBUG (TOPIC: ...)` of its log, which is then standard error.
//!
//! The flags are the reference implementations' (cronie's macros.h); what is told is ours, since it tells of our own insides.

use super::load_event::LoadEvent;
use crate::crontab::{Crontab, printable};
use crate::report::{Log, Record};

/// What can be told, or with `test` be left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// More about the other topics.
    Extended,
    /// When something is due next.
    Schedule,
    /// Jobs handed over, started, ended.
    Processes,
    /// Every entry of a table that was read.
    Parsing,
    /// Tables read and dropped.
    Loading,
    /// Signals, and the state of everything.
    Other,
    /// No job is started.
    Test,
    /// Nothing, as with cronie.
    Bits,
}

/// Every flag, as it is written.
const FLAGS: [(&str, Topic); 8] = [
    ("ext", Topic::Extended),
    ("sch", Topic::Schedule),
    ("proc", Topic::Processes),
    ("pars", Topic::Parsing),
    ("load", Topic::Loading),
    ("misc", Topic::Other),
    ("test", Topic::Test),
    ("bit", Topic::Bits),
];

/// The flags' names, for the command line.
pub fn names() -> impl Iterator<Item = &'static str> {
    FLAGS.iter().map(|(name, _)| *name)
}

/// What is to be told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debug(u8);

impl Debug {
    /// Those flags; unknown ones are the command line's business.
    pub fn of<'a>(given: impl Iterator<Item = &'a str>) -> Debug {
        let bit = |name| FLAGS.iter().find(|(known, _)| *known == name).map_or(0, |(_, topic)| 1 << *topic as u8);
        Debug(given.fold(0, |bits, name| bits | bit(name)))
    }

    /// Whether that one is among them.
    pub fn has(self, topic: Topic) -> bool {
        self.0 & 1 << topic as u8 != 0
    }

    /// Whether any is.
    pub fn is_on(self) -> bool {
        self.0 != 0
    }

    /// Writes a line about that topic, if it was asked for.
    pub(super) fn log(self, log: &mut Log, topic: Topic, text: impl FnOnce() -> String) {
        if !self.has(topic) {
            return;
        }
        let name = FLAGS.iter().find(|(_, known)| *known == topic).map_or("", |(name, _)| *name);
        log.write(&Record::daemon("DEBUG", format!("{name}: {}", text()).as_bytes()));
    }

    /// What happened to a table.
    pub(super) fn log_load_event(self, log: &mut Log, event: &LoadEvent) {
        match event {
            LoadEvent::Load { source, table } => {
                self.log(log, Topic::Loading, || {
                    format!("read {}: {} entries, {} settings", source.path, table.entries.len(), table.settings.len())
                });
                if self.has(Topic::Parsing) {
                    self.log_entries(log, &source.path, table);
                }
            }
            LoadEvent::Unload { path } => self.log(log, Topic::Loading, || format!("dropped {path}")),
            LoadEvent::SystemZone(_) => {
                self.log(log, Topic::Schedule, || "the system's time zone is another one".to_owned())
            }
            LoadEvent::Log(_) => {}
        }
    }

    fn log_entries(self, log: &mut Log, path: &str, table: &Crontab) {
        if self.has(Topic::Extended) {
            for setting in &table.settings {
                let (name, value) = (printable(&setting.name), printable(&setting.value));
                self.log(log, Topic::Parsing, || format!("{path}:{}: {name}={value}", setting.line));
            }
        }
        for entry in &table.entries {
            let user = entry.user.as_ref().map(|user| format!(" {}", printable(user.as_bytes()))).unwrap_or_default();
            let (schedule, command) = (printable(&entry.timing.text), printable(&entry.command));
            self.log(log, Topic::Parsing, || format!("{path}:{}: {schedule}{user} {command}", entry.line));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_flag_is_its_own_topic() {
        for (name, topic) in FLAGS {
            let only = Debug::of([name].into_iter());
            for (_, other) in FLAGS {
                assert_eq!(only.has(other), other == topic, "{name} {other:?}");
            }
        }
        assert!(!Debug::of(std::iter::empty()).is_on());
        assert!(Debug::of(names()).has(Topic::Test));
    }
}
