//! The coming starts of jobs, more of them than one call of `Next` gives.

use crate::schedule::Timestamp;
use crate::varlink::Time;
use crate::varlink::cron::{Filter, NextArguments, NextStart};

/// Starts that one call gives at most.
const STARTS_OF_PAGE: u64 = 10_000;

/// Pages of starts, each asked for from the last start of the one before on.
///
/// ```
/// use cronwheel::control::NextPages;
/// use cronwheel::schedule::Timestamp;
///
/// let mut pages = NextPages::new(None, Timestamp(0), None, 10);
/// while let Some(arguments) = pages.next_page() {
///     // Call Next with these arguments, and for each reply:
///     // if pages.takes(&start) { ... }
///     assert_eq!(arguments.count, Some(10));
/// }
/// assert_eq!(pages.last_if_more(), None);
/// ```
#[derive(Clone, Debug)]
pub struct NextPages {
    filter: Option<Filter>,
    until: Option<Timestamp>,
    /// The next page has starts after this moment.
    after: Timestamp,
    /// Starts that are still wanted.
    left: u64,
    /// Starts at the beginning of the next page that the page before had, too: those of its last second.
    repeated: u64,
    page: Page,
    is_complete: bool,
}

/// What has come of a page.
#[derive(Clone, Copy, Debug, Default)]
struct Page {
    /// How many starts were asked for; 0 before the first page.
    wanted: u64,
    seen: u64,
    last: Option<Timestamp>,
    /// How many starts are at the moment of the last one.
    of_last: u64,
}

impl NextPages {
    /// At most `count` starts after `from` and up to `until`.
    pub fn new(filter: Option<Filter>, from: Timestamp, until: Option<Timestamp>, count: u64) -> NextPages {
        let (page, is_complete) = (Page::default(), false);
        NextPages { filter, until, after: from, left: count, repeated: 0, page, is_complete }
    }

    /// The arguments of the next call. None: all starts that are wanted have come.
    pub fn next_page(&mut self) -> Option<NextArguments> {
        let Page { wanted, seen, last, of_last } = std::mem::take(&mut self.page);
        if wanted > 0 {
            match last {
                Some(last) if seen == wanted => {
                    // More starts in one second than one call gives: the others are left out.
                    let is_one_second = of_last == seen;
                    (self.after, self.repeated) =
                        if is_one_second { (last, 0) } else { (Timestamp(last.0 - 1), of_last) };
                }
                _ => self.is_complete = true,
            }
        }
        if self.is_complete || self.left == 0 {
            return None;
        }
        self.page.wanted = self.left.saturating_add(self.repeated).min(STARTS_OF_PAGE);
        Some(NextArguments {
            filter: self.filter.clone(),
            from: Some(Time::from(self.after).to_string()),
            until: self.until.map(|until| Time::from(until).to_string()),
            count: Some(self.page.wanted),
            per_job: None,
        })
    }

    /// Notes a start that has come. Returns whether it is wanted, and was not on the page before.
    pub fn takes(&mut self, start: &NextStart) -> bool {
        let at = start.at.timestamp();
        let page = &mut self.page;
        page.of_last = if page.last == Some(at) { page.of_last + 1 } else { 1 };
        (page.seen, page.last) = (page.seen + 1, Some(at));
        let is_new = page.seen > self.repeated && self.left > 0;
        self.left -= u64::from(is_new);
        is_new
    }

    /// After the last page: the moment up to which starts have come, if there may be more than were wanted.
    pub fn last_if_more(&self) -> Option<Timestamp> {
        let last = if self.repeated > 0 { Timestamp(self.after.0 + 1) } else { self.after };
        (!self.is_complete).then_some(last)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a daemon with these starts answers.
    fn ask(starts: &[i64], arguments: &NextArguments) -> Vec<NextStart> {
        let moment = |text: &Option<String>| text.as_deref().and_then(Time::parse).map(Time::timestamp);
        let (from, until) = (moment(&arguments.from).unwrap(), moment(&arguments.until));
        let wanted = starts.iter().filter(|at| **at > from.0 && until.is_none_or(|until| **at <= until.0));
        let start = |at: &i64| NextStart {
            at: Timestamp(*at).into(),
            job: "alice:a".to_owned(),
            user: "alice".to_owned(),
            command: String::new(),
            schedule: String::new(),
            zone: String::new(),
            source: String::new(),
            line: 1,
        };
        wanted.take(arguments.count.unwrap() as usize).map(start).collect()
    }

    fn fetched(starts: &[i64], until: Option<i64>, count: u64) -> (Vec<i64>, usize, Option<i64>) {
        let mut pages = NextPages::new(None, Timestamp(0), until.map(Timestamp), count);
        let (mut taken, mut calls) = (Vec::new(), 0);
        while let Some(arguments) = pages.next_page() {
            calls += 1;
            taken.extend(
                ask(starts, &arguments).iter().filter(|start| pages.takes(start)).map(|start| start.at.timestamp().0),
            );
        }
        (taken, calls, pages.last_if_more().map(|last| last.0))
    }

    #[test]
    fn each_start_is_taken_once_over_all_pages() {
        // Three starts a second: a page of 10,000 ends within one.
        let starts: Vec<i64> = (1..=9_000).flat_map(|second| [second; 3]).collect();
        assert_eq!(fetched(&starts, None, 1_000_000), (starts.clone(), 3, None));
        assert_eq!(fetched(&starts, Some(100), 1_000_000), (starts[..300].to_vec(), 1, None));
        assert_eq!(fetched(&starts, None, 15_000), (starts[..15_000].to_vec(), 2, Some(5_000)));
        assert_eq!(fetched(&starts, None, 10), (starts[..10].to_vec(), 1, Some(4)));
        assert_eq!(fetched(&[], None, 10), (vec![], 1, None));
        assert_eq!(fetched(&starts, None, 0), (vec![], 0, Some(0)));
    }

    #[test]
    fn starts_of_one_second_beyond_a_page_are_left_out() {
        let starts: Vec<i64> = std::iter::repeat_n(1, 12_000).chain([2]).collect();
        let (taken, _, more) = fetched(&starts, None, 20_000);
        assert_eq!((taken.len(), taken.last(), more), (10_001, Some(&2), None));
    }
}
