//! What is kept of a run's output: its beginning and its end, with a note of what was cut between.

use std::collections::VecDeque;

/// Bytes kept of the beginning.
const HEAD: usize = 1 << 20;
/// Bytes kept of the end.
const TAIL: usize = 256 << 10;
/// Bytes that all runs together may keep; beyond it a run keeps what it has, and 4 KiB of its end.
const TOGETHER: usize = 256 << 20;
const TAIL_WHEN_SHORT: usize = 4 << 10;

/// How much all runs keep together.
#[derive(Debug, Default)]
pub(super) struct Budget {
    kept: usize,
}

/// The output of one run. Silent, it keeps nothing.
#[derive(Debug, Default)]
pub(super) struct Output {
    head: Vec<u8>,
    tail: VecDeque<u8>,
    total: u64,
}

impl Output {
    /// Takes what the job wrote.
    pub(super) fn push(&mut self, bytes: &[u8], budget: &mut Budget) {
        let before = self.kept();
        self.total += bytes.len() as u64;
        let short = budget.kept >= TOGETHER;
        // Once something was cut, the beginning is closed: nothing may be missing inside it.
        let room = if short || !self.tail.is_empty() { 0 } else { HEAD - self.head.len() };
        let (to_head, to_tail) = bytes.split_at(room.min(bytes.len()));
        self.head.extend_from_slice(to_head);
        let most = if short { TAIL_WHEN_SHORT } else { TAIL };
        let to_tail = to_tail.get(to_tail.len().saturating_sub(most)..).unwrap_or(&[]);
        let surplus = (self.tail.len() + to_tail.len()).saturating_sub(most);
        self.tail.drain(..surplus.min(self.tail.len()));
        self.tail.extend(to_tail);
        budget.kept = (budget.kept + self.kept()).saturating_sub(before);
    }

    /// Gives back what it kept.
    pub(super) fn release(&mut self, budget: &mut Budget) {
        budget.kept = budget.kept.saturating_sub(self.kept());
        *self = Output::default();
    }

    /// How many bytes the job wrote, kept or not.
    pub(super) fn total(&self) -> u64 {
        self.total
    }

    /// The text for mail: beginning, note, end; whole when nothing was cut.
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
        let (mut output, mut budget) = (Output::default(), Budget::default());
        output.push(b"one\n", &mut budget);
        output.push(b"two\n", &mut budget);
        assert_eq!(output.text(), b"one\ntwo\n");
        assert_eq!((output.total(), budget.kept), (8, 8));
        output.release(&mut budget);
        assert_eq!(budget.kept, 0);
    }

    #[test]
    fn output_that_just_fits_is_not_cut() {
        let (mut output, mut budget) = (Output::default(), Budget::default());
        let all: Vec<u8> = (0..HEAD + TAIL).map(|i| (i % 251) as u8).collect();
        all.chunks(60_000).for_each(|chunk| output.push(chunk, &mut budget));
        assert_eq!(output.text(), all);
    }

    #[test]
    fn of_long_output_beginning_and_end_are_kept_and_the_cut_is_told() {
        let (mut output, mut budget) = (Output::default(), Budget::default());
        let all: Vec<u8> = (0..20_000_000_u32).map(|i| (i % 251) as u8).collect();
        all.chunks(65_536).for_each(|chunk| output.push(chunk, &mut budget));
        let text = output.text();
        assert_eq!(text[..HEAD], all[..HEAD]);
        assert_eq!(text[text.len() - TAIL..], all[all.len() - TAIL..]);
        let note = String::from_utf8(text[HEAD..text.len() - TAIL].to_vec()).unwrap();
        assert_eq!(note, format!("\n[... {} bytes of output cut here ...]\n", all.len() - HEAD - TAIL));
        assert_eq!(budget.kept, HEAD + TAIL);
    }

    #[test]
    fn beyond_what_all_may_keep_together_a_run_keeps_a_little_of_its_end() {
        let (mut output, mut budget) = (Output::default(), Budget { kept: TOGETHER });
        output.push(&vec![b'a'; 100_000], &mut budget);
        output.push(b"end", &mut budget);
        let text = output.text();
        assert!(text.ends_with(b"aend") && text.len() < TAIL_WHEN_SHORT + 100);
    }
}
