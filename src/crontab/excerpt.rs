//! The piece of a line that a diagnostic shows: printable, not too long, with the place of its caret.

use crate::schedule::{escape_of, escape_of_byte, find_odd_character, printable};
use std::ops::Range;

/// Most characters of a line that are shown.
const WIDEST: usize = 120;
/// Of a longer line: most characters shown in front of the caret.
const BEFORE: usize = 50;
/// Bytes that surely hold [`WIDEST`] characters and one cut in two.
const ENOUGH: usize = 4 * WIDEST + 4;

/// A shown piece of a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Excerpt {
    /// The piece, without control characters; `...` where the line was cut.
    pub text: String,
    /// Terminal cells in front of the first marked one.
    pub caret: usize,
    /// Marked cells, at least 1.
    pub marks: usize,
}

impl Excerpt {
    /// Shows `line` around the bytes of `span`. Costs the same for any length of line.
    pub fn of(line: &[u8], span: &Range<usize>) -> Excerpt {
        let start = span.start.min(line.len());
        let end = span.end.clamp(start, line.len());
        let (mut before, cut_before) = cells_at_the_end(&line[..start]);
        let (mut after, mut cut_after) = cells_at_the_start(&line[start..]);
        let mut dots_before = cut_before;
        if cut_before || cut_after || before.len() + after.len() > WIDEST {
            if before.len() > BEFORE {
                before.drain(..before.len() - BEFORE);
                dots_before = true;
            }
            let room = WIDEST - before.len();
            cut_after |= after.len() > room;
            after.truncate(room);
        }
        let marked = characters(&line[start..end.min(start + ENOUGH)]).clamp(1, after.len().max(1));
        let lead = if dots_before { "..." } else { "" };
        let mut text = String::from(lead);
        text.extend(before.iter().chain(&after).map(|cell| cell.shown.as_str()));
        if cut_after {
            text.push_str("...");
        }
        Excerpt {
            text,
            caret: lead.len() + before.iter().map(|cell| cell.width).sum::<usize>(),
            marks: after.iter().take(marked).map(|cell| cell.width).sum::<usize>().max(1),
        }
    }
}

/// How many characters there are in a text; a byte that is not UTF-8 counts as one.
pub(super) fn characters(text: &[u8]) -> usize {
    text.utf8_chunks().map(|chunk| chunk.valid().chars().count() + chunk.invalid().len()).sum()
}

/// How many cells of a terminal a text takes that [`printable`] has made.
pub fn terminal_width(text: &str) -> usize {
    text.chars().map(cells_of).sum()
}

/// A text that [`printable`] has made, cut to at most so many cells of a terminal. Where something is left out, `ellipsis` says so.
pub fn fit_width(text: &str, width: usize, ellipsis: char) -> String {
    if terminal_width(text) <= width {
        return text.to_owned();
    }
    let room = width.saturating_sub(cells_of(ellipsis));
    let mut used = 0;
    let fits = |letter: &char| {
        used += cells_of(*letter);
        used <= room
    };
    text.chars().take_while(fits).chain([ellipsis]).collect()
}

/// One character as it is shown.
struct Cell {
    shown: String,
    /// The width of the text in terminal cells.
    width: usize,
}

impl Cell {
    fn of(c: char) -> Cell {
        match c {
            '\t' => Cell { shown: ' '.into(), width: 1 },
            c => match escape_of(c) {
                Some(escape) => Cell::escape(escape),
                None => Cell { shown: c.into(), width: cells_of(c) },
            },
        }
    }

    fn byte(byte: u8) -> Cell {
        Cell::escape(escape_of_byte(byte))
    }

    fn escape(shown: String) -> Cell {
        Cell { width: shown.len(), shown }
    }
}

fn cells(text: &[u8]) -> impl Iterator<Item = Cell> {
    text.utf8_chunks().flat_map(|chunk| {
        chunk.valid().chars().map(Cell::of).chain(chunk.invalid().iter().map(|&byte| Cell::byte(byte)))
    })
}

/// The first characters of a text, and whether there are more.
fn cells_at_the_start(text: &[u8]) -> (Vec<Cell>, bool) {
    let shown: Vec<Cell> = cells(&text[..text.len().min(ENOUGH)]).take(WIDEST + 1).collect();
    let more = shown.len() > WIDEST || (shown.len() == WIDEST && text.len() > ENOUGH);
    (shown, more)
}

/// The last characters of a text, and whether there are more.
fn cells_at_the_end(text: &[u8]) -> (Vec<Cell>, bool) {
    let mut from = text.len().saturating_sub(ENOUGH);
    let cut = from > 0;
    // Do not begin in the middle of a character.
    while cut && from < text.len() && text[from] & 0b1100_0000 == 0b1000_0000 && text.len() - from > ENOUGH - 4 {
        from += 1;
    }
    let mut shown: Vec<Cell> = cells(&text[from..]).collect();
    let more = cut || shown.len() > WIDEST;
    shown.drain(..shown.len().saturating_sub(WIDEST));
    (shown, more)
}

/// Terminal cells of a visible character: the broad blocks of Unicode's East Asian Width, combining marks none.
fn cells_of(c: char) -> usize {
    match c {
        '\u{300}'..='\u{36f}' => 0,
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f900}'..='\u{1f9ff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// A found text for a message: printable, and cut when it is long. A character that would look like nothing or a blank has its name.
pub(super) fn found(text: &[u8]) -> String {
    const MOST: usize = 40;
    match text {
        b" " => return "a blank".to_owned(),
        b"\t" => return "a tab".to_owned(),
        _ => {}
    }
    if let Some((0, length, name)) = find_odd_character(text)
        && length == text.len()
    {
        return name.to_owned();
    }
    let shown = printable(&text[..text.len().min(4 * MOST)]);
    match shown.char_indices().nth(MOST) {
        Some((cut, _)) => format!("{}...", &shown[..cut]),
        None if text.is_empty() => "the end of the line".to_owned(),
        None => shown,
    }
}

/// A value for a message, which may be a part of a line: its end is not the end of the line.
pub(super) fn found_value(value: &[u8]) -> String {
    if value.is_empty() { "nothing".to_owned() } else { found(value) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn characters_are_counted_not_bytes() {
        for (text, count) in [(&b""[..], 0), (b"abc", 3), (b"a\tb", 3), (b"caf\xc3\xa9", 4), (b"\xff\xfe\xe9", 3)] {
            assert_eq!(characters(text), count, "{text:?}");
        }
    }

    #[test]
    fn a_long_line_is_shown_around_the_caret() {
        let line = [b"x".repeat(1_000_000), b"HERE".to_vec(), b"y".repeat(1_000_000)].concat();
        let shown = Excerpt::of(&line, &(1_000_000..1_000_004));
        assert!(shown.text.chars().count() <= WIDEST + 6, "{}", shown.text);
        assert_eq!(&shown.text[shown.caret..shown.caret + shown.marks], "HERE");
        assert!(shown.text.starts_with("...x") && shown.text.ends_with("y..."));
    }

    #[test]
    fn the_caret_stands_under_its_character_at_any_place_of_any_line() {
        for character in ["x", "\u{e9}", "\u{1f600}"] {
            for len in [1, 30, 119, 120, 121, 130, 1000] {
                let line = character.repeat(len);
                for place in [0, len / 2, len - 1] {
                    let from = place * character.len();
                    let shown = Excerpt::of(line.as_bytes(), &(from..from + character.len()));
                    let width = cells_of(character.chars().next().unwrap_or('x'));
                    assert_eq!(shown.marks, width);
                    assert!(!shown.text.contains('\\'), "cut in the middle of a character: {}", shown.text);
                    let cells: usize = shown.text.chars().map(cells_of).sum();
                    assert!(shown.caret + shown.marks <= cells, "{character} {len} {place}: {shown:?}");
                }
            }
        }
    }

    #[test]
    fn a_span_beyond_the_line_marks_one_cell_after_it() {
        let shown = Excerpt::of(b"0 3 * * *", &(9..9));
        assert_eq!((shown.caret, shown.marks), (9, 1));
        let shown = Excerpt::of(b"abc", &(50..60));
        assert_eq!((shown.caret, shown.marks), (3, 1));
    }
}
