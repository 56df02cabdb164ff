//! The similarity of two words.

/// How many letters have to be put in, left out or replaced to make one word of the other (Levenshtein distance).
pub(super) fn distance(a: &[u8], b: &[u8]) -> usize {
    strsim::generic_levenshtein(&a.to_vec(), &b.to_vec())
}

/// Whether `written` is a misspelling of `known`: other letter case, or one letter swapped with its neighbour,
/// left out, and in names of five letters or more also put in or replaced. Four letters are too few for the latter
/// (`CPATH` and `MATH` are names of their own).
pub(super) fn misspells(written: &[u8], known: &[u8]) -> bool {
    if written.eq_ignore_ascii_case(known) {
        return written != known;
    }
    let same_start = written.iter().zip(known).take_while(|(a, b)| a == b).count();
    let (w, k) = (&written[same_start..], &known[same_start..]);
    let swapped = matches!((w, k), ([a, b, w @ ..], [c, d, k @ ..]) if (a, b) == (d, c) && w == k);
    let left_out = k.get(1..) == Some(w);
    let put_in = w.get(1..) == Some(k);
    let replaced = !w.is_empty() && w.get(1..) == k.get(1..);
    swapped || left_out || (known.len() >= 5 && (put_in || replaced))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_that_differ_are_counted() {
        for (a, b, count) in [
            ("", "", 0),
            ("", "ab", 2),
            ("ab", "", 2),
            ("abc", "abc", 0),
            ("abc", "ac", 1),
            ("abc", "axc", 1),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), count, "{a} {b}");
        }
    }
}
