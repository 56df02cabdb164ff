//! The calendar under random fire: what `schedule` promises, held against slower and simpler ways to say the same.
//!
//! Every property runs over at least a million cases from a fixed seed, which a failure prints together with the case.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests, though not inside a #[test].

#[cfg(test)]
mod english;
#[cfg(test)]
mod goldens;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod reference;
#[cfg(test)]
mod spec;
#[cfg(test)]
mod transitions;
#[cfg(test)]
mod zones;
