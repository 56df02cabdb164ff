//! How a schedule behaves when the clock jumps or a zone's offset changes.

/// How a schedule is treated when the clock jumps or a zone's offset changes (Vixie cron's rule, crontab(5)).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DstPolicy {
    /// The minute or the hour field begins with `*` (`@hourly` and sub-minute schedules too): due whenever the local clock
    /// shows a matching time. Runs that a jump skips are not made up.
    Wildcard,
    /// Any other schedule: runs skipped by a jump of at most three hours forward are made up, and a jump of less than three
    /// hours back does not repeat runs.
    Fixed,
}
