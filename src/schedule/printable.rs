//! How text from crontabs, jobs and other programs is shown to people: nothing in it can steer a terminal, split a line, or hide.
//!
//! This is the one rule for messages, listings, the terminal view and the web page. Where text goes into a format, the format has rules of its own,
//! which follow this one or stand in its place:
//!
//! | where | rule, and why it is another one |
//! |---|---|
//! | `report::log::line` | bytes as `^X` and `\ooo`: both reference implementations write records so, and log readers know it |
//! | `timeline::svg_parts`, `web::site` | the text is made printable, then escaped as XML and HTML ask for |
//! | `web::calendar` | the text is made printable, then escaped as TEXT of RFC 5545 |
//! | `web::metrics` | values of labels are compared by programs: escaped as OpenMetrics asks for, and only what splits lines is replaced |

use super::odd_character::character_name;

/// The escape in place of a character that must not be shown as it is: control and direction characters, and others that cannot be seen.
pub fn escape_of(character: char) -> Option<String> {
    Some(match character {
        ' '..='~' => return None,
        '\0' => "\\0".to_owned(),
        '\t' => "\\t".to_owned(),
        '\r' => "\\r".to_owned(),
        '\n' => "\\n".to_owned(),
        c if c.is_ascii_control() => format!("\\x{:02x}", u32::from(c)),
        c if c.is_control() || character_name(c).is_some() => format!("\\u{{{:x}}}", u32::from(c)),
        _ => return None,
    })
}

/// The text on one line, without anything that a terminal or a log would interpret: control and direction characters and bytes that are not UTF-8
/// become escapes like `\x1b`, a tab becomes a blank.
pub fn printable(text: &[u8]) -> String {
    printable_but(text, |c| (c == '\t').then_some(' '))
}

/// The same for a text of several lines: line ends and tabs stay.
pub fn printable_lines(text: &[u8]) -> String {
    printable_but(text, |c| matches!(c, '\n' | '\t').then_some(c))
}

fn printable_but(text: &[u8], stands_for: impl Fn(char) -> Option<char>) -> String {
    let mut shown = String::with_capacity(text.len());
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match stands_for(c) {
                Some(other) => shown.push(other),
                None => match escape_of(c) {
                    Some(escape) => shown.push_str(&escape),
                    None => shown.push(c),
                },
            }
        }
        chunk.invalid().iter().for_each(|byte| shown.push_str(&escape_of_byte(*byte)));
    }
    shown
}

/// The escape in place of a byte that is not UTF-8.
pub fn escape_of_byte(byte: u8) -> String {
    format!("\\x{byte:02x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_printable_can_steer_a_terminal() {
        for (raw, shown) in [
            (&b"plain"[..], "plain"),
            (b"a\tb", "a b"),
            (b"a\x1b[31mb", "a\\x1b[31mb"),
            (b"a\0b\r\n", "a\\0b\\r\\n"),
            (b"caf\xc3\xa9", "caf\u{e9}"),
            (b"caf\xe9!", "caf\\xe9!"),
            ("x\u{202e}y\u{feff}".as_bytes(), "x\\u{202e}y\\u{feff}"),
            ("0\u{a0}3".as_bytes(), "0\\u{a0}3"),
            ("\u{85}".as_bytes(), "\\u{85}"),
            ("\u{61c}\u{115f}\u{1160}\u{3164}".as_bytes(), "\\u{61c}\\u{115f}\\u{1160}\\u{3164}"),
            ("\u{ffa0}\u{180e}\u{fff9}\u{fffb}".as_bytes(), "\\u{ffa0}\\u{180e}\\u{fff9}\\u{fffb}"),
            ("\u{e0000}\u{e007f}".as_bytes(), "\\u{e0000}\\u{e007f}"),
        ] {
            assert_eq!(printable(raw), shown);
        }
        for (raw, shown) in [
            (&b"a\tb\r\nc\x07\n"[..], "a\tb\\r\nc\\x07\n"),
            (b"rm\r# nothing\x08\n", "rm\\r# nothing\\x08\n"),
            ("\u{9b}31m \u{17c}\u{f3}\u{142}w\n".as_bytes(), "\\u{9b}31m \u{17c}\u{f3}\u{142}w\n"),
        ] {
            assert_eq!(printable_lines(raw), shown);
        }
    }
}
