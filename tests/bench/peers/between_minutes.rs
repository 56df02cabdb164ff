//! Measurements that need no full minute, made while other daemons wait for one.

use crate::common::clock;
use crate::report::{Part, Report};
use crate::tables;
use std::collections::VecDeque;

/// Measurements that are still to be made.
#[derive(Default)]
pub struct WorkBetweenMinutes<'a>(VecDeque<Work<'a>>);

struct Work<'a> {
    part: Part,
    seconds: i64,
    measure: Box<dyn FnOnce(&mut Report) + 'a>,
}

impl<'a> WorkBetweenMinutes<'a> {
    /// Adds a measurement that takes at most `seconds`.
    pub fn add(&mut self, part: Part, seconds: i64, measure: impl FnOnce(&mut Report) + 'a) {
        self.0.push_back(Work { part, seconds, measure: Box::new(measure) });
    }

    /// Makes the measurements that fit before `until` (seconds of UTC), then waits until then.
    pub fn fill(&mut self, until: i64, report: &mut Report) {
        while let Some(fits) = self.0.iter().position(|work| tables::now() + work.seconds < until) {
            self.0.remove(fits).into_iter().for_each(|work| work.perform(report));
        }
        clock::wait_until(until as u64);
    }

    /// Makes all remaining measurements.
    pub fn finish(self, report: &mut Report) {
        self.0.into_iter().for_each(|work| work.perform(report));
    }
}

impl Work<'_> {
    fn perform(self, report: &mut Report) {
        report.within(self.part, self.measure);
    }
}
