//! The cases of Vixie cron's rule for changes of the clock.

/// What a change of the local clock by `d` minutes means; the table in [`super::wall`] says what follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClockStep {
    /// The next minute, or up to four missed ones: everything in between is due.
    Small,
    /// Forward by up to three hours.
    Forward,
    /// Back by less than three hours.
    Back,
    /// A larger change: the clock was corrected. Nothing is made up and nothing is held back.
    Jump,
}

impl ClockStep {
    /// The case of a change by `d` minutes.
    pub fn of(d: i64) -> ClockStep {
        match d {
            1..=5 => ClockStep::Small,
            6..=180 => ClockStep::Forward,
            -179..=0 => ClockStep::Back,
            _ => ClockStep::Jump,
        }
    }
}
