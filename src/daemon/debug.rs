//! `-x FLAGS`: lines `(CRON) DEBUG (TOPIC: ...)` about what the daemon does, in its log, which is standard error then.
//!
//! The flags are those of cronie (macros.h). The texts are cronwheel's, as they are about its internals.

use super::load_event::LoadEvent;
use crate::crontab::{Crontab, printable};
use crate::report::{Log, LogRecord, format_count};

/// A topic of debug lines, or with `test` a part of the daemon's work that is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Topic {
    /// More details of the other topics.
    Extended,
    /// When the next job is due.
    Schedule,
    /// Jobs that are passed to the executor, start or end.
    Processes,
    /// Every entry of a crontab that was read.
    Parsing,
    /// Crontabs that are loaded or unloaded.
    Loading,
    /// Signals that the daemon has received.
    Other,
    /// No job is started; everything else is done.
    Test,
    /// Accepted without effect, as by cronie.
    Bits,
}

/// The flags and their topics.
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

/// The names of the flags.
pub fn names() -> impl Iterator<Item = &'static str> {
    FLAGS.iter().map(|(name, _)| *name)
}

/// The topics whose debug messages are printed, as a set of bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Debug(u8);

impl Debug {
    /// The topics of those flags. Unknown flags are ignored, as the command line has rejected them.
    pub fn of<'a>(given: impl Iterator<Item = &'a str>) -> Debug {
        let bit = |name| FLAGS.iter().find(|(known, _)| *known == name).map_or(0, |(_, topic)| 1 << *topic as u8);
        Debug(given.fold(0, |bits, name| bits | bit(name)))
    }

    /// Whether a topic is in the set.
    pub fn has(self, topic: Topic) -> bool {
        self.0 & 1 << topic as u8 != 0
    }

    /// Whether there is any topic.
    pub fn is_on(self) -> bool {
        self.0 != 0
    }

    /// Writes a line about that topic, if it was asked for.
    pub(super) fn log(self, log: &mut Log, topic: Topic, text: impl FnOnce() -> String) {
        if !self.has(topic) {
            return;
        }
        let name = FLAGS.iter().find(|(_, known)| *known == topic).map_or("", |(name, _)| *name);
        log.write(&LogRecord::daemon("DEBUG", format!("{name}: {}", text()).as_bytes()));
    }

    /// Writes lines about a load event.
    pub(super) fn log_load_event(self, log: &mut Log, event: &LoadEvent) {
        match event {
            LoadEvent::Load { source, table } => {
                self.log(log, Topic::Loading, || {
                    let entries = format_count(table.entries.len(), "entry", "entries");
                    let settings = format_count(table.settings.len(), "setting", "settings");
                    format!("read {}: {entries}, {settings}", source.path)
                });
                if self.has(Topic::Parsing) {
                    self.log_entries(log, &source.path, table);
                }
            }
            LoadEvent::Unload { path } => self.log(log, Topic::Loading, || format!("dropped {path}")),
            LoadEvent::SystemZone(_) => {
                self.log(log, Topic::Schedule, || "the system's time zone has changed".to_owned())
            }
            LoadEvent::Calendars(_) => self.log(log, Topic::Loading, || "read the calendars".to_owned()),
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
            let (schedule, command) = (printable(&table.timing(entry).text), printable(table.command(entry)));
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
