//! Stable random numbers for `~` and `RANDOM_DELAY`: an entry always gets the same number on the same host.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// The hash key of this host, made from machine-id, or from the host name if there is none. The caller computes it once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HostKey(pub u64);

/// What an entry's random numbers depend on: host, crontab, schedule and command. They do not depend on the line number, so
/// they survive edits elsewhere in the file.
#[derive(Clone, Copy, Debug)]
pub struct JitterKey<'a> {
    /// The key of the host.
    pub host: HostKey,
    /// The name of the crontab: a user's name, or the path of a system crontab.
    pub table: &'a str,
    /// The text of the entry: schedule, user (if there is one) and command.
    pub entry: &'a [u8],
}

/// Values of one field that are drawn for each entry (`~`), as they are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RandomValues {
    /// The name of the field: `minute`.
    pub unit: &'static str,
    /// The lowest value that can be drawn.
    pub low: u32,
    /// The highest value that can be drawn.
    pub high: u32,
    /// The distance of several values, of which the first is drawn.
    pub step: Option<u32>,
    /// Whether nothing else is in the field.
    pub is_alone: bool,
    /// The lowest value of the field.
    pub(super) min: u32,
    /// The number of values of the field.
    pub(super) count: u32,
    /// The names of the values from `min` on.
    pub(super) names: &'static [&'static str],
}

impl RandomValues {
    /// Whether this one value is all that the field of this name has.
    pub(super) fn is_only_value_of(&self, unit: &str) -> bool {
        self.unit == unit && self.is_alone && self.step.is_none()
    }

    /// Whether it is drawn from all values.
    pub(super) fn is_any(&self) -> bool {
        self.high - self.low + 1 >= self.count
    }

    /// A value as it is written: its name, if it has one.
    pub(super) fn name(&self, value: u32) -> String {
        let name = value.checked_sub(self.min).and_then(|nth| self.names.get(nth as usize));
        name.map_or_else(|| value.to_string(), |name| (*name).to_owned())
    }
}

impl HostKey {
    /// Hashes the identity of this host (the text of machine-id, or a host name). Leading and trailing whitespace is
    /// ignored.
    pub fn of(identity: &[u8]) -> HostKey {
        let mut hasher = SipHasher13::new();
        hasher.write(identity.trim_ascii());
        HostKey(hasher.finish())
    }
}

impl JitterKey<'_> {
    /// A number from 0 to `bound - 1`, uniformly distributed over entries; 0 if `bound` is 0. `what` (`"minute"`, `"delay"`,
    /// ...) makes the numbers of one entry independent of each other.
    pub fn jitter(&self, what: &str, bound: u32) -> u32 {
        // The length before each part prevents different parts from hashing alike. The byte order is fixed, so that the
        // result does not depend on the machine's architecture.
        let mut hasher = SipHasher13::new_with_keys(self.host.0, 0);
        for part in [self.table.as_bytes(), self.entry, what.as_bytes()] {
            hasher.write(&(part.len() as u64).to_le_bytes());
            hasher.write(part);
        }
        ((u128::from(hasher.finish()) * u128::from(bound)) >> 64) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(table: &str, entry: &str, what: &str, bound: u32) -> u32 {
        JitterKey { host: HostKey::of(b"4f1c"), table, entry: entry.as_bytes() }.jitter(what, bound)
    }

    #[test]
    fn draws_are_spread_evenly_over_entries() {
        let mut counts = [0u32; 60];
        for entry in 0..60_000 {
            counts[draw("alice", &format!("~ * * * * job{entry}"), "minute", 60) as usize] += 1;
        }
        // 1,000 expected in each; the standard deviation is 31.
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }

    #[test]
    fn a_draw_depends_on_every_part_and_on_nothing_else() {
        let base = draw("alice", "~ * * * * job", "minute", u32::MAX);
        assert_eq!(base, draw("alice", "~ * * * * job", "minute", u32::MAX));
        assert_ne!(base, draw("bob", "~ * * * * job", "minute", u32::MAX));
        assert_ne!(base, draw("alice", "~ * * * * other", "minute", u32::MAX));
        assert_ne!(base, draw("alice", "~ * * * * job", "hour", u32::MAX));
        assert_ne!(draw("ab", "c", "minute", u32::MAX), draw("a", "bc", "minute", u32::MAX));
        let elsewhere = JitterKey { host: HostKey::of(b"other"), table: "alice", entry: b"~ * * * * job" };
        assert_ne!(base, elsewhere.jitter("minute", u32::MAX));
    }

    #[test]
    fn the_draw_of_a_known_entry_never_changes() {
        // Recorded value: a change of it moves every random job of every user.
        assert_eq!(HostKey::of(b"4f1c\n"), HostKey::of(b"4f1c"));
        assert_eq!(draw("alice", "~ * * * * job", "minute", 60), RECORDED_MINUTE);
        assert_eq!(draw("alice", "~ * * * * job", "minute", 0), 0);
    }

    const RECORDED_MINUTE: u32 = 55;
}
