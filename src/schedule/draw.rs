//! Stable draws: `~` and `RANDOM_DELAY` give the same number on the same host for the same entry, always.

use siphasher::sip::SipHasher13;
use std::hash::Hasher;

/// The host's part of every draw: a hash of machine-id, else of the host name. Made once by the loud half.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct HostKey(pub u64);

/// What identifies one entry for its draws: host, table name, schedule and command, never the line number.
#[derive(Clone, Copy, Debug)]
pub struct Seed<'a> {
    /// The host.
    pub host: HostKey,
    /// The table's name: a user's name, or the path of a system table.
    pub table: &'a str,
    /// The entry's own text: schedule, user where there is one, command; no line number.
    pub entry: &'a [u8],
}

impl HostKey {
    /// Hashes what names this host (the text of machine-id, or a host name; blanks around it do not count).
    pub fn of(identity: &[u8]) -> HostKey {
        let mut hasher = SipHasher13::new();
        hasher.write(identity.trim_ascii());
        HostKey(hasher.finish())
    }
}

impl Seed<'_> {
    /// A number from 0 to `bound - 1`, evenly spread over entries; `what` keeps the draws of one entry apart
    /// (`"minute"`, `"delay"`, ...). 0 when `bound` is 0.
    pub fn draw(&self, what: &str, bound: u32) -> u32 {
        // The host is the key; lengths keep the parts apart; the byte order is fixed, so that a draw outlives a
        // change of machine architecture.
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
        Seed { host: HostKey::of(b"4f1c"), table, entry: entry.as_bytes() }.draw(what, bound)
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
        let elsewhere = Seed { host: HostKey::of(b"other"), table: "alice", entry: b"~ * * * * job" };
        assert_ne!(base, elsewhere.draw("minute", u32::MAX));
    }

    #[test]
    fn the_draw_of_a_known_entry_never_changes() {
        // Recorded: a change here moves every random job of every user.
        assert_eq!(HostKey::of(b"4f1c\n"), HostKey::of(b"4f1c"));
        assert_eq!(draw("alice", "~ * * * * job", "minute", 60), RECORDED_MINUTE);
        assert_eq!(draw("alice", "~ * * * * job", "minute", 0), 0);
    }

    const RECORDED_MINUTE: u32 = 55;
}
