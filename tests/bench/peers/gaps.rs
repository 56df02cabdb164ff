//! Work that is bound to no minute, done while everybody else waits for one.

use crate::common::clock;
use crate::report::{Part, Report};
use crate::tables;
use std::collections::VecDeque;

/// What is still to be done.
#[derive(Default)]
pub struct Gaps<'a>(VecDeque<Work<'a>>);

struct Work<'a> {
    part: Part,
    seconds: i64,
    measure: Box<dyn FnOnce(&mut Report) + 'a>,
}

impl<'a> Gaps<'a> {
    /// Has something done that takes so many seconds at most.
    pub fn add(&mut self, part: Part, seconds: i64, measure: impl FnOnce(&mut Report) + 'a) {
        self.0.push_back(Work { part, seconds, measure: Box::new(measure) });
    }

    /// Does what there is time for until then, and waits for the rest of it.
    pub fn fill(&mut self, until: i64, report: &mut Report) {
        while let Some(fits) = self.0.iter().position(|work| tables::now() + work.seconds < until) {
            self.0.remove(fits).into_iter().for_each(|work| work.perform(report));
        }
        clock::wait_until(until as u64);
    }

    /// Does all that is left.
    pub fn finish(self, report: &mut Report) {
        self.0.into_iter().for_each(|work| work.perform(report));
    }
}

impl Work<'_> {
    fn perform(self, report: &mut Report) {
        report.within(self.part, self.measure);
    }
}
