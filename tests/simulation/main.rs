//! The plan under an invented clock: steps, sleeps, late loops, restarts, reloads, gaps and folds, held against the rule.

mod begin;
mod clock;
mod random;
mod reference;
mod reload;
mod setup;
