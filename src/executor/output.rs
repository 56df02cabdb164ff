//! The output of a run that is kept in memory: its beginning and its end, with a note about what was cut out.

use super::owner::{MemoryBudget, OwnerKey};
use crate::scheduler::OutputCounts;
use siphasher::sip::SipHasher24;
use std::collections::VecDeque;
use std::hash::Hasher;

/// Bytes that are kept of the beginning of the output for a mail or the log.
const HEAD: usize = 1 << 20;
/// Bytes that are kept of the end of the output for a mail or the log.
const TAIL: usize = 256 << 10;
/// Most bytes that the history gets of the beginning, and of the end.
const MOST_IN_EXCERPT: usize = TAIL;
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

/// How many bytes of a run's output are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OutputLimits {
    head: u32,
    tail: u32,
}

impl OutputLimits {
    /// The limits for output that may be mailed or logged.
    pub(super) const OF_MAIL: OutputLimits = OutputLimits { head: HEAD as u32, tail: TAIL as u32 };

    /// The limits for output of which only excerpts are needed: that many bytes of its beginning and its end for the history, and that many
    /// of its end for hooks.
    pub(super) fn of_excerpts(history: u32, hooks: usize) -> OutputLimits {
        let [history, hooks] = [history as usize, hooks].map(|bytes| bytes.min(MOST_IN_EXCERPT) as u32);
        OutputLimits { head: history, tail: history.max(hooks) }
    }
}

impl Default for OutputLimits {
    fn default() -> OutputLimits {
        OutputLimits::OF_MAIL
    }
}

/// The beginning and the end of a run's output, as the history keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    pub(super) head: Vec<u8>,
    pub(super) tail: Vec<u8>,
    /// The number of bytes between the two that are left out.
    pub(super) cut: u64,
}

/// The output of one run. It uses no memory until the job writes something.
#[derive(Debug, Default)]
pub(super) struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    limits: OutputLimits,
    total: u64,
    /// Bytes that came from a pipe of standard error.
    of_error: u64,
    /// Of everything that was written, where a digest is wanted.
    hasher: Option<SipHasher24>,
}

impl Output {
    /// No output yet. What is kept of it is within these limits.
    pub(super) fn with_limits(limits: OutputLimits) -> Output {
        Output { limits, ..Output::default() }
    }

    /// Output with a digest of everything that is written.
    pub(super) fn with_digest(self) -> Output {
        Output { hasher: Some(SipHasher24::new()), ..self }
    }

    /// The limits of what is kept.
    pub(super) fn limits(&self) -> OutputLimits {
        self.limits
    }

    /// At most that many bytes of the beginning, and as many of the end. None if nothing was written or nothing is wanted.
    pub(super) fn excerpt(&self, most: u32) -> Option<Excerpt> {
        let most = (most as usize).min(MOST_IN_EXCERPT);
        if self.total == 0 || most == 0 {
            return None;
        }
        let head = copy([self.head.get(..most).unwrap_or(&self.head)]);
        let rest = usize::try_from(self.total - head.len() as u64).unwrap_or(usize::MAX);
        let tail = self.tail(most.min(rest));
        let cut = self.total - (head.len() + tail.len()) as u64;
        Some(Excerpt { head, tail, cut })
    }

    /// The output of which this is an excerpt, to be continued with what is written from now on. Its owner is charged for the copy.
    pub(super) fn from_excerpt(excerpt: &Excerpt, most: u32, owner: &OwnerKey, budget: &mut MemoryBudget) -> Output {
        let Excerpt { head, tail, cut } = excerpt;
        budget.take(owner, head.len() + tail.len());
        Output {
            head: head.clone(),
            tail: tail.clone().into(),
            total: (head.len() + tail.len()) as u64 + cut,
            ..Output::with_limits(OutputLimits::of_excerpts(most, 0))
        }
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
        let head = head.get(head.len().saturating_sub(from_head)..).unwrap_or(&[]);
        let (first, second) = self.tail.as_slices();
        let skipped = self.tail.len().saturating_sub(most);
        let first_of_tail = first.get(skipped.min(first.len())..).unwrap_or(&[]);
        copy([head, first_of_tail, second.get(skipped.saturating_sub(first.len())..).unwrap_or(&[])])
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
        let has_gap = !self.tail.is_empty() || self.total > (before + bytes.len()) as u64;
        let for_head =
            if is_short || has_gap { 0 } else { (self.limits.head as usize).saturating_sub(self.head.len()) };
        let for_head = if self.head.try_reserve(for_head.min(bytes.len())).is_ok() { for_head } else { 0 };
        let (to_head, to_tail) = bytes.split_at(for_head.min(bytes.len()));
        self.head.extend_from_slice(to_head);
        let tail = self.limits.tail as usize;
        let most = if is_short { tail.min(TAIL_WHEN_SHORT) } else { tail };
        let to_tail = to_tail.get(to_tail.len().saturating_sub(most)..).unwrap_or(&[]);
        let surplus = (self.tail.len() + to_tail.len()).saturating_sub(most);
        self.tail.drain(..surplus.min(self.tail.len()));
        if self.tail.try_reserve(to_tail.len()).is_ok() {
            self.tail.extend(to_tail);
        } else {
            // Without memory the kept end stays as long as it is: it must have no gap either.
            self.tail.clear();
            let most = self.tail.capacity().min(most);
            self.tail.extend(to_tail.get(to_tail.len().saturating_sub(most)..).unwrap_or(&[]));
        }
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
        *self = Output::with_limits(self.limits);
    }

    /// The number of bytes that the job wrote, including those that were not kept.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The number of bytes that the job wrote, and the number that were not kept.
    pub(super) fn counts(&self) -> OutputCounts {
        OutputCounts { bytes: self.total, dropped_bytes: self.total - self.kept() as u64, stderr_bytes: self.of_error }
    }

    /// The text for the mail: beginning, note and end, or everything if nothing was cut. Without memory for it, the note alone.
    pub(super) fn text(&self) -> Vec<u8> {
        let note_of = |cut: u64| format!("\n[... {cut} bytes of output cut here ...]\n");
        let cut = self.total - self.kept() as u64;
        let note = if cut > 0 { note_of(cut) } else { String::new() };
        let (first, second) = self.tail.as_slices();
        let text = copy([&self.head, note.as_bytes(), first, second]);
        if text.is_empty() && self.total > 0 { note_of(self.total).into_bytes() } else { text }
    }

    fn kept(&self) -> usize {
        self.head.len() + self.tail.len()
    }
}

/// Joins these parts. The result is empty if there is no memory for it.
fn copy<const COUNT: usize>(parts: [&[u8]; COUNT]) -> Vec<u8> {
    let mut text = Vec::new();
    if text.try_reserve_exact(parts.iter().map(|part| part.len()).sum()).is_ok() {
        parts.iter().for_each(|part| text.extend_from_slice(part));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_finds_no_memory_is_cut_and_the_cut_is_told() {
        use crate::sys::allocator_tests::failing;
        let lines: Vec<String> = (0..400).map(|line| format!("{line} {}\n", "x".repeat(4000))).collect();
        let total = lines.iter().map(String::len).sum::<usize>() as u64;
        let collect = |budget: &mut MemoryBudget| {
            let mut output = Output::default();
            lines.iter().for_each(|line| output.push(line.as_bytes(), &"alice".into(), budget));
            let (text, tail, excerpt) = (output.text(), output.tail(100_000), output.excerpt(50_000));
            let kept = output.kept() as u64;
            assert_eq!((output.total(), output.counts().dropped_bytes), (total, total - kept));
            output.release(&"alice".into(), budget);
            (text, tail, excerpt.unwrap())
        };
        let mut budget = budget();
        let sound = collect(&mut budget);
        let last = lines.last().unwrap().as_bytes();
        let mut failures = 0;
        for number in 1.. {
            let (text, tail, excerpt) = failing(number, 1 << 12, || collect(&mut budget));
            assert_eq!(budget.total(), 0);
            assert!(text.windows(20).any(|part| part == b" bytes of output cut"), "{number}");
            // The end is the end, or there is none.
            assert!(
                text.ends_with(last) || text.ends_with(b"cut here ...]\n") || last.ends_with(&text[text.len() - 100..])
            );
            assert!(tail.is_empty() || tail.ends_with(&last[last.len() - 100..]), "{number}");
            assert_eq!(excerpt.cut, total - (excerpt.head.len() + excerpt.tail.len()) as u64);
            if (text, tail, excerpt) == sound {
                break;
            }
            failures += 1;
        }
        assert!(failures > 5, "{failures} allocations failed");
    }

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
            let mut output = Output::default().with_digest();
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
    fn an_excerpt_is_the_beginning_and_the_end_whatever_else_is_kept() {
        let owner = "alice".into();
        let all: Vec<u8> = (0..100_000_u32).map(|i| (i % 251) as u8).collect();
        let excerpt_of = |limits, written: usize, budget: &mut MemoryBudget| {
            let mut output = Output::with_limits(limits);
            all[..written].chunks(7_000).for_each(|chunk| output.push(chunk, &owner, budget));
            output.excerpt(10_000)
        };
        for limits in
            [OutputLimits::OF_MAIL, OutputLimits::of_excerpts(10_000, 0), OutputLimits::of_excerpts(10_000, 12_000)]
        {
            let mut budget = budget();
            assert_eq!(excerpt_of(limits, 0, &mut budget), None);
            for (written, head, tail) in
                [(5, 5, 0), (10_000, 10_000, 0), (15_000, 10_000, 5_000), (20_000, 10_000, 10_000)]
            {
                let excerpt = excerpt_of(limits, written, &mut budget).unwrap();
                assert_eq!((excerpt.head, excerpt.cut), (all[..head].to_vec(), 0));
                assert_eq!(excerpt.tail, all[written - tail..written]);
            }
            let excerpt = excerpt_of(limits, 100_000, &mut budget).unwrap();
            let cut = Excerpt { head: all[..10_000].to_vec(), tail: all[90_000..].to_vec(), cut: 80_000 };
            assert_eq!(excerpt, cut);
        }
        let mut output = Output::with_limits(OutputLimits::of_excerpts(0, 0));
        output.push(&all, &owner, &mut budget());
        assert_eq!((output.counts().dropped_bytes, output.kept(), output.excerpt(0)), (100_000, 0, None));
    }

    #[test]
    fn an_excerpt_is_continued_with_later_output() {
        let (owner, mut budget) = ("alice".into(), budget());
        let all: Vec<u8> = (0..50_000_u32).map(|i| (i % 251) as u8).collect();
        for first in [3, 10_000, 15_000, 20_000, 45_000] {
            let mut output = Output::default();
            output.push(&all[..first], &owner, &mut budget);
            let excerpt = output.excerpt(10_000).unwrap();
            output.release(&owner, &mut budget);
            let mut continued = Output::from_excerpt(&excerpt, 10_000, &owner, &mut budget);
            assert_eq!(continued.excerpt(10_000), Some(excerpt));
            continued.push(&all[first..], &owner, &mut budget);
            let end = continued.excerpt(10_000).unwrap();
            assert_eq!(end, Excerpt { head: all[..10_000].to_vec(), tail: all[40_000..].to_vec(), cut: 30_000 });
            continued.release(&owner, &mut budget);
            assert_eq!(budget.total(), 0);
        }
    }

    #[test]
    fn what_is_kept_when_memory_was_short_keeps_its_order() {
        let (owner, mut output, mut budget) = ("alice".into(), Output::default(), budget());
        budget.take(&owner, PER_OWNER);
        output.push(b"one\n", &owner, &mut budget);
        budget.give_back(&owner, PER_OWNER / 2);
        output.push(b"two\n", &owner, &mut budget);
        assert_eq!(output.text(), b"one\ntwo\n");
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
