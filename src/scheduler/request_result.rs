//! What became of a request of somebody.

use super::event::RunId;
use super::jobs::{Killed, RefusedRun};

/// What became of the last request of [`super::Event::RunByHand`], [`super::Event::Kill`] or [`super::Event::KillRun`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestResult {
    /// The run by hand was accepted. None: it waits, and has no number yet.
    Accepted(Option<RunId>),
    /// The run by hand was refused.
    Refused(RefusedRun),
    /// What was ended or cancelled.
    Killed(Killed),
}
