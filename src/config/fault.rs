//! What is wrong with a configuration file, in words: the places, the values as they are written, and the keys that may have been meant.

use crate::crontab;
use std::ops::Range;

/// Most edits between an unknown key and a known one that may have been meant. In a short name two edits leave too little of it.
fn most_edits(name: &str) -> usize {
    if name.chars().count() <= 4 { 1 } else { 2 }
}

/// Most characters of a wrong value that a message repeats.
const MOST_SHOWN: usize = 40;

/// The expected value of a key, for a message.
#[derive(Debug)]
pub(super) struct Expected(pub(super) &'static str);

/// The message about a key that is not among those that are known.
pub(super) fn unknown_key(name: &str, known: &[&'static str]) -> String {
    let distance = |known: &&str| strsim::damerau_levenshtein(&name.replace('_', "-").to_ascii_lowercase(), known);
    let nearest = known.iter().copied().min_by_key(distance).filter(|known| distance(known) <= most_edits(name));
    let advice = match nearest {
        Some(known) => format!("did you mean {known}?"),
        None => format!("the keys are {}", known.join(", ")),
    };
    format!("unknown key {}; {advice}", printable(name))
}

/// A value as it is written, in one short line.
pub(super) fn shown(text: &str, span: Range<usize>) -> String {
    printable(text.get(span).unwrap_or_default())
}

/// The beginning of a text, as one line without control characters.
fn printable(text: &str) -> String {
    let short: String = text.chars().take(MOST_SHOWN).collect();
    let cut = if short.len() < text.len() { "..." } else { "" };
    format!("{}{cut}", crontab::printable(short.as_bytes()))
}

/// Line and column of a byte, counted from 1.
pub(super) fn position(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |end| end + 1);
    (before.matches('\n').count() + 1, before.get(line_start..).unwrap_or_default().chars().count() + 1)
}
