//! Names of characters that cannot be seen or look like a blank, for messages.

/// What a message calls the character, if it would show nothing or a blank by itself.
pub fn character_name(character: char) -> Option<&'static str> {
    Some(match character {
        '\u{a0}' => "a no-break space (U+00A0)",
        '\u{ad}' => "a soft hyphen (U+00AD)",
        '\u{200b}' => "a zero width space (U+200B)",
        '\u{202f}' => "a narrow no-break space (U+202F)",
        '\u{2028}' => "a line separator (U+2028)",
        '\u{2029}' => "a paragraph separator (U+2029)",
        '\u{3000}' => "an ideographic space (U+3000)",
        '\u{feff}' => "a byte order mark (U+FEFF)",
        '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{205f}' => "a space that is no ASCII blank",
        '\u{200c}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' => "an invisible character",
        // The Arabic letter mark, fillers of Hangul, the Mongolian vowel separator, interlinear annotations, and tags.
        '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{180e}' | '\u{3164}' | '\u{ffa0}' => "an invisible character",
        '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}' => "an invisible character",
        _ => return None,
    })
}

/// The first of these characters in a text: where it begins, its length in bytes, and its name.
pub fn find_odd_character(text: &[u8]) -> Option<(usize, usize, &'static str)> {
    if text.is_ascii() {
        return None;
    }
    let mut at = 0;
    for chunk in text.utf8_chunks() {
        for (offset, character) in chunk.valid().char_indices() {
            if let Some(name) = character_name(character) {
                return Some((at + offset, character.len_utf8(), name));
            }
        }
        at += chunk.valid().len() + chunk.invalid().len();
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_odd_character_is_found_at_its_byte() {
        for (text, found) in [
            (&b"plain"[..], None),
            ("caf\u{e9}".as_bytes(), None),
            ("0\u{a0}3".as_bytes(), Some((1, 2, "a no-break space (U+00A0)"))),
            ("\u{feff}0".as_bytes(), Some((0, 3, "a byte order mark (U+FEFF)"))),
            (b"\xff\xc2\xa0", Some((1, 2, "a no-break space (U+00A0)"))),
            (b"\xff\xff", None),
            ("a\u{115e}\u{1161}\u{fff8}\u{fffc}\u{e0080}".as_bytes(), None),
            ("a\u{e0041}".as_bytes(), Some((1, 4, "an invisible character"))),
        ] {
            assert_eq!(find_odd_character(text), found, "{text:?}");
        }
    }
}
