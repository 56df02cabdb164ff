//! Followers: requests of a main for the output of a run while it is written.
//!
//! A job is never delayed by a follower: its pipes are read as they are without one, and parts that main does not read are left out.

use super::queued_bytes::QueuedBytes;
use crate::executor::link::Link;
use crate::executor::output::Excerpt;
use crate::executor::wire::{ExecutorEvent, OutputStream};
use crate::scheduler::RunId;
use std::collections::BTreeMap;

/// Maximum number of followers of all runs together.
const MOST: usize = 64;
/// Maximum number of bytes that are queued for one follower. More are left out.
const QUEUED: usize = 256 << 10;
/// Parts are queued again for a follower for which some were left out when only that many bytes are queued.
const QUEUED_AGAIN: usize = QUEUED / 2;
/// Maximum number of bytes in a part.
const PART: usize = 16 << 10;
/// What a part counts beside its bytes.
const OVERHEAD: usize = 128;
/// Bytes that a follower gets of the beginning of what was written before, and of its end. Both fit into the queue.
pub(super) const SO_FAR: u32 = 96 << 10;

/// A main's request for the output of a run.
#[derive(Debug)]
struct Follower {
    run: RunId,
    queued: QueuedBytes,
    /// Bytes that were left out since the last part.
    skipped: u64,
}

/// The followers by their numbers.
#[derive(Debug, Default)]
pub(super) struct Followers {
    of_number: BTreeMap<u64, Follower>,
}

impl Followers {
    pub(super) fn is_empty(&self) -> bool {
        self.of_number.is_empty()
    }

    /// Adds a follower and sends it what was written before.
    pub(super) fn add(&mut self, link: &mut Link, number: u64, run: RunId, so_far: Option<Excerpt>) {
        self.of_number.remove(&number);
        if self.of_number.len() >= MOST {
            return refuse(link, number);
        }
        let mut follower = Follower { run, queued: QueuedBytes::new(QUEUED), skipped: 0 };
        if let Some(Excerpt { head, tail, cut }) = so_far {
            follower.send(link, number, OutputStream::Output, &head);
            follower.skipped += cut;
            follower.send(link, number, OutputStream::Output, &tail);
        }
        self.of_number.insert(number, follower);
        self.report_skipped(link);
    }

    /// Removes a follower and sends it its last part.
    pub(super) fn remove(&mut self, link: &mut Link, number: u64) {
        if let Some(mut follower) = self.of_number.remove(&number) {
            follower.push(link, number, OutputStream::Output, &[], true);
        }
    }

    /// Sends output of a run to its followers.
    pub(super) fn send(&mut self, link: &mut Link, run: RunId, stream: OutputStream, bytes: &[u8]) {
        for (number, follower) in self.of_number.iter_mut().filter(|(_, follower)| follower.run == run) {
            follower.send(link, *number, stream, bytes);
        }
    }

    /// Sends the last part to the followers of a run.
    pub(super) fn end(&mut self, link: &mut Link, run: RunId) {
        self.of_number.retain(|number, follower| {
            let is_other = follower.run != run;
            if !is_other {
                follower.push(link, *number, OutputStream::Output, &[], true);
            }
            is_other
        });
    }

    /// Notes which parts have been sent, and reports what was left out where that is possible again.
    pub(super) fn forget_sent(&mut self, link: &mut Link) {
        let sent = link.sent();
        self.of_number.values_mut().for_each(|follower| follower.queued.forget_sent(sent));
        self.report_skipped(link);
    }

    fn report_skipped(&mut self, link: &mut Link) {
        for (number, follower) in self.of_number.iter_mut().filter(|(_, follower)| follower.skipped > 0) {
            if follower.has_room(0) {
                follower.push(link, *number, OutputStream::Output, &[], false);
            }
        }
    }
}

impl Follower {
    fn has_room(&self, bytes: usize) -> bool {
        self.queued.has_room(bytes + OVERHEAD) && (self.skipped == 0 || self.queued.bytes() <= QUEUED_AGAIN)
    }

    fn send(&mut self, link: &mut Link, number: u64, stream: OutputStream, bytes: &[u8]) {
        for part in bytes.chunks(PART) {
            if self.has_room(part.len()) {
                self.push(link, number, stream, part, false);
            } else {
                self.skipped += part.len() as u64;
            }
        }
    }

    fn push(&mut self, link: &mut Link, follower: u64, stream: OutputStream, part: &[u8], is_end: bool) {
        let skipped = std::mem::take(&mut self.skipped);
        // A part is far shorter than the longest message.
        if let Ok(message) =
            link.push(&ExecutorEvent::OutputPart { follower, stream, skipped, data: part.to_vec(), is_end })
        {
            self.queued.add(message, part.len() + OVERHEAD);
        }
    }
}

/// Tells main that there is nothing to be followed, or that there are too many followers.
pub(super) fn refuse(link: &mut Link, follower: u64) {
    let stream = OutputStream::Output;
    // A part is far shorter than the longest message.
    let _ = link.push(&ExecutorEvent::OutputPart { follower, stream, skipped: 0, data: Vec::new(), is_end: true });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::descriptor;

    fn pair() -> (Link, Link) {
        let (a, b) = descriptor::stream_pair().unwrap();
        (Link::new(a), Link::new(b))
    }

    /// All parts that arrive: skipped bytes, data, and whether it is the last one.
    fn read(followers: &mut Followers, (here, there): &mut (Link, Link), number: u64) -> Vec<(u64, Vec<u8>, bool)> {
        let mut parts = Vec::new();
        loop {
            here.flush().unwrap();
            followers.forget_sent(here);
            there.fill().unwrap();
            let before = parts.len();
            while let Some(event) = there.take().unwrap() {
                let ExecutorEvent::OutputPart { follower, skipped, data, is_end, .. } = event else { panic!() };
                assert!(data.len() <= PART);
                if follower == number {
                    parts.push((skipped, data, is_end));
                }
            }
            if parts.len() == before && !here.wants_to_write() {
                return parts;
            }
        }
    }

    #[test]
    fn a_follower_gets_what_was_there_and_what_comes_and_the_end() {
        let (mut followers, mut pair) = (Followers::default(), pair());
        let so_far = Excerpt { head: vec![1; 20_000], tail: vec![2; 5], cut: 7 };
        followers.add(&mut pair.0, 9, RunId(1), Some(so_far));
        followers.add(&mut pair.0, 10, RunId(2), None);
        followers.send(&mut pair.0, RunId(1), OutputStream::Error, b"new");
        followers.send(&mut pair.0, RunId(2), OutputStream::Output, b"other");
        followers.end(&mut pair.0, RunId(1));
        followers.send(&mut pair.0, RunId(1), OutputStream::Output, b"late");
        assert_eq!(
            read(&mut followers, &mut pair, 9),
            [
                (0, vec![1; PART], false),
                (0, vec![1; 20_000 - PART], false),
                (7, vec![2; 5], false),
                (0, b"new".to_vec(), false),
                (0, Vec::new(), true)
            ]
        );
        followers.remove(&mut pair.0, 10);
        assert!(followers.is_empty());
    }

    #[test]
    fn a_follower_that_does_not_read_gets_a_bounded_amount_and_the_number_of_bytes_left_out() {
        let (mut followers, mut pair) = (Followers::default(), pair());
        followers.add(&mut pair.0, 1, RunId(1), None);
        for number in 0..1_000_u32 {
            followers.send(&mut pair.0, RunId(1), OutputStream::Output, &vec![number as u8; 10_000]);
            pair.0.flush().unwrap();
            followers.forget_sent(&mut pair.0);
        }
        let waiting: usize = followers.of_number.values().map(|follower| follower.queued.bytes()).sum();
        assert!(waiting <= QUEUED, "{waiting}");
        let parts = read(&mut followers, &mut pair, 1);
        let (skipped, got) = parts.iter().fold((0, 0), |sum, part| (sum.0 + part.0, sum.1 + part.1.len() as u64));
        assert_eq!(skipped + got, 10_000_000);
        assert!((200_000..1_000_000).contains(&got), "{got}");
        assert!(parts.last().is_some_and(|(skipped, data, _)| *skipped > 0 && data.is_empty()));
        followers.send(&mut pair.0, RunId(1), OutputStream::Output, b"again");
        assert_eq!(read(&mut followers, &mut pair, 1), [(0, b"again".to_vec(), false)]);
    }

    #[test]
    fn more_followers_than_the_limit_are_refused() {
        let (mut followers, mut pair) = (Followers::default(), pair());
        (0..=MOST as u64).for_each(|number| followers.add(&mut pair.0, number, RunId(1), None));
        // A follower with the number of another takes its place.
        followers.add(&mut pair.0, 0, RunId(2), None);
        assert_eq!(followers.of_number.len(), MOST);
        assert_eq!(read(&mut followers, &mut pair, MOST as u64), [(0, Vec::new(), true)]);
    }
}
