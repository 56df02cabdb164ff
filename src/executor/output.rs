//! The output of a run that is kept in memory: its beginning and its end, with a note about what was cut out.

use super::owner::{MemoryBudget, OwnerKey};
use crate::scheduler::OutputCounts;
use siphasher::sip::SipHasher24;
use std::collections::VecDeque;
use std::hash::Hasher;

/// Bytes that are kept of the beginning of the output.
const HEAD: usize = 1 << 20;
/// Bytes that are kept of the end of the output.
const TAIL: usize = 256 << 10;
/// Bytes that are kept of the end when the budget is used up. What the run has kept before stays.
const TAIL_WHEN_SHORT: usize = 4 << 10;
/// Limits of the output and mails of one owner, and of all owners together, in bytes. The output of one run is kept whatever other runs
/// have.
const PER_OWNER: usize = 16 << 20;
const TOGETHER: usize = 64 << 20;

/// The memory budget for all output.
pub(super) fn budget() -> MemoryBudget {
    MemoryBudget::new(PER_OWNER, TOGETHER, HEAD + TAIL)
}

/// The output of one run. It uses no memory until the job writes something.
#[derive(Debug, Default)]
pub(super) struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
    /// Bytes that came from a pipe of standard error.
    of_error: u64,
    /// Of everything that was written, where a digest is wanted.
    hasher: Option<SipHasher24>,
}

impl Output {
    /// The same, with a digest of everything that is written.
    pub(super) fn with_digest() -> Output {
        Output { hasher: Some(SipHasher24::new()), ..Output::default() }
    }

    /// The digest of everything that was written. None: nothing was, or no digest is wanted.
    pub(super) fn digest(&self) -> Option<u64> {
        self.hasher.as_ref().filter(|_| self.total > 0).map(SipHasher24::finish)
    }

    /// At most that many bytes of the end, as far as it was kept.
    pub(super) fn tail(&self, most: usize) -> Vec<u8> {
        let from_head = most.saturating_sub(self.tail.len());
        // What was cut out before the end does not belong to it.
        let head = if self.total > self.kept() as u64 { &[] } else { self.head.as_slice() };
        let mut text = head.get(head.len().saturating_sub(from_head)..).unwrap_or(&[]).to_vec();
        text.extend(self.tail.iter().skip(self.tail.len().saturating_sub(most)));
        text
    }

    /// Appends output, as far as it is to be kept.
    pub(super) fn push(&mut self, bytes: &[u8], owner: &OwnerKey, budget: &mut MemoryBudget) {
        let before = self.kept();
        self.total += bytes.len() as u64;
        if let Some(hasher) = &mut self.hasher {
            hasher.write(bytes);
        }
        let is_short = !budget.has_capacity(owner, bytes.len());
        // Once something was cut, nothing is appended to the beginning: it must have no gaps.
        let for_head = if is_short || !self.tail.is_empty() { 0 } else { HEAD - self.head.len() };
        let (to_head, to_tail) = bytes.split_at(for_head.min(bytes.len()));
        self.head.extend_from_slice(to_head);
        let most = if is_short { TAIL_WHEN_SHORT } else { TAIL };
        let to_tail = to_tail.get(to_tail.len().saturating_sub(most)..).unwrap_or(&[]);
        let surplus = (self.tail.len() + to_tail.len()).saturating_sub(most);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend(to_tail);
        match self.kept().checked_sub(before) {
            Some(more) => budget.take(owner, more),
            None => budget.give_back(owner, before - self.kept()),
        }
    }

    /// Counts bytes that came from a pipe of standard error.
    pub(super) fn count_error(&mut self, bytes: usize) {
        self.of_error += bytes as u64;
    }

    /// Drops the text and gives its bytes back to the budget.
    pub(super) fn release(&mut self, owner: &OwnerKey, budget: &mut MemoryBudget) {
        budget.give_back(owner, self.kept());
        *self = Output::default();
    }

    /// The number of bytes that the job wrote, including those that were not kept.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The number of bytes that the job wrote, and the number that were not kept.
    pub(super) fn counts(&self) -> OutputCounts {
        OutputCounts { bytes: self.total, dropped_bytes: self.total - self.kept() as u64, stderr_bytes: self.of_error }
    }

    /// The text for the mail: beginning, note and end, or everything if nothing was cut.
    pub(super) fn text(&self) -> Vec<u8> {
        let mut text = self.head.clone();
        let cut = self.total - self.kept() as u64;
        if cut > 0 {
            let note = format!("\n[... {cut} bytes of output cut here ...]\n");
            text.extend_from_slice(note.as_bytes());
        }
        text.extend(&self.tail);
        text
    }

    fn kept(&self) -> usize {
        self.head.len() + self.tail.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_output_is_kept_whole() {
        let (mut output, mut budget) = (Output::default(), budget());
        output.push(b"one\n", &"alice".into(), &mut budget);
        output.push(b"two\n", &"alice".into(), &mut budget);
        assert_eq!(output.text(), b"one\ntwo\n");
        assert_eq!((output.total(), budget.total()), (8, 8));
        assert_eq!(output.counts(), OutputCounts { bytes: 8, dropped_bytes: 0, stderr_bytes: 0 });
        assert_eq!(output.tail(6), b"e\ntwo\n");
        output.release(&"alice".into(), &mut budget);
        assert_eq!(budget.total(), 0);
    }

    #[test]
    fn the_digest_is_of_everything_that_was_written_however_it_came() {
        let (owner, mut budget) = ("alice".into(), budget());
        let digest = |pieces: &[&[u8]], budget: &mut MemoryBudget| {
            let mut output = Output::with_digest();
            pieces.iter().for_each(|piece| output.push(piece, &owner, budget));
            output.digest()
        };
        let once = digest(&[b"one\ntwo\n"], &mut budget);
        assert!(once.is_some() && once == digest(&[b"one\n", b"two\n"], &mut budget));
        assert_ne!(once, digest(&[b"one\ntwo"], &mut budget));
        assert_eq!(digest(&[], &mut budget), None);
    }

    #[test]
    fn the_end_of_cut_output_does_not_begin_before_the_cut() {
        let (mut output, mut budget) = (Output::default(), budget());
        output.push(&vec![b'a'; HEAD], &"alice".into(), &mut budget);
        output.push(&vec![b'b'; TAIL + 1], &"alice".into(), &mut budget);
        assert_eq!(output.tail(10_000), [b'b'; 10_000]);
        assert_eq!(output.tail(TAIL + 100), vec![b'b'; TAIL]);
    }

    #[test]
    fn output_that_just_fits_is_not_cut() {
        let (mut output, mut budget) = (Output::default(), budget());
        let all: Vec<u8> = (0..HEAD + TAIL).map(|i| (i % 251) as u8).collect();
        all.chunks(60_000).for_each(|chunk| output.push(chunk, &"alice".into(), &mut budget));
        assert_eq!(output.text(), all);
    }

    #[test]
    fn of_long_output_beginning_and_end_are_kept_and_the_cut_is_told() {
        let (mut output, mut budget) = (Output::default(), budget());
        let all: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
        all.chunks(65_536).for_each(|chunk| output.push(chunk, &"alice".into(), &mut budget));
        let text = output.text();
        assert_eq!(text[..HEAD], all[..HEAD]);
        assert_eq!(text[text.len() - TAIL..], all[all.len() - TAIL..]);
        let note = String::from_utf8(text[HEAD..text.len() - TAIL].to_vec()).unwrap();
        assert_eq!(note, format!("\n[... {} bytes of output cut here ...]\n", all.len() - HEAD - TAIL));
        assert_eq!(budget.total(), HEAD + TAIL);
    }

    #[test]
    fn beyond_what_its_owner_may_keep_a_run_keeps_a_little_of_its_end() {
        let (mut output, mut budget) = (Output::default(), budget());
        budget.take(&"alice".into(), PER_OWNER);
        output.push(&vec![b'a'; 100_000], &"alice".into(), &mut budget);
        output.push(b"end", &"alice".into(), &mut budget);
        let text = output.text();
        assert!(text.ends_with(b"aend") && text.len() < TAIL_WHEN_SHORT + 100);
    }
}
