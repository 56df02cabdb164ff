//! Writes numbers with their nouns in singular or plural.

use std::fmt::Display;

/// Formats a number of things: `1 entry`, `3 entries`.
pub fn format_count<N: Display + PartialEq + From<u8>>(number: N, one: &str, many: &str) -> String {
    format!("{number} {}", if number == N::from(1) { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_thing_is_singular() {
        let entries = |number: usize| format_count(number, "entry", "entries");
        assert_eq!([0, 1, 2].map(entries), ["0 entries", "1 entry", "2 entries"]);
    }
}
