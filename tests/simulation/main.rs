//! The scheduler under an invented clock: steps, sleeps, late loops, restarts, reloads, gaps and folds, held against the rule.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests, though not inside a #[test].

mod absences;
mod after;
mod begin;
mod clock;
mod crashes;
mod fleet;
mod fleet_engine;
mod histories;
mod machine;
mod names;
mod outcomes;
mod past_complaints;
mod pauses;
mod policies;
mod policy_edits;
mod policy_model;
mod policy_pairs;
mod random;
mod reference;
mod reload;
mod setup;
