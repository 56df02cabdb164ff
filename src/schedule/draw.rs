//! Stable draws: `~` and `RANDOM_DELAY` give the same number on the same host for the same entry, always.

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
    /// Hashes what names this host (the text of machine-id, or a host name).
    pub fn of(identity: &[u8]) -> HostKey {
        let _ = identity;
        todo!()
    }
}

impl Seed<'_> {
    /// A number from 0 to `bound - 1`, evenly spread over entries; `what` keeps the draws of one entry apart
    /// (`"minute"`, `"delay"`, ...). 0 when `bound` is 0.
    pub fn draw(&self, what: &str, bound: u32) -> u32 {
        let _ = (what, bound);
        todo!()
    }
}
