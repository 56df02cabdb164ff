//! Keys, from the bytes that a terminal sends.

/// A key that `cronctl top` uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    Enter,
    Escape,
    Backspace,
    /// Ctrl-C
    Interrupt,
    /// Ctrl-Z
    Suspend,
    /// Ctrl-L
    Redraw,
    Character(char),
}

/// The sequences of keys without a character, behind ESC.
const SEQUENCES: [(&[u8], Key); 16] = [
    (b"[A", Key::Up),
    (b"OA", Key::Up),
    (b"[B", Key::Down),
    (b"OB", Key::Down),
    (b"[5~", Key::PageUp),
    (b"[6~", Key::PageDown),
    (b"[H", Key::Home),
    (b"OH", Key::Home),
    (b"[1~", Key::Home),
    (b"[7~", Key::Home),
    (b"[F", Key::End),
    (b"OF", Key::End),
    (b"[4~", Key::End),
    (b"[8~", Key::End),
    (b"OM", Key::Enter),
    (b"[3~", Key::Backspace),
];

/// The keys in what was read. Sequences that have no meaning here are left out, so that their characters are not taken for keys.
pub(super) fn keys_of(bytes: &[u8]) -> Vec<Key> {
    let (mut keys, mut rest) = (Vec::new(), bytes);
    while let Some((first, after)) = rest.split_first() {
        if *first == 0x1b {
            let known = SEQUENCES.iter().find_map(|(sequence, key)| Some((*key, after.strip_prefix(*sequence)?)));
            rest = match known {
                Some((key, after)) => {
                    keys.push(key);
                    after
                }
                None if after.is_empty() || after.first() == Some(&0x1b) => {
                    keys.push(Key::Escape);
                    after
                }
                None => skip_sequence(after),
            };
            continue;
        }
        rest = after;
        match first {
            b'\r' | b'\n' => keys.push(Key::Enter),
            0x03 => keys.push(Key::Interrupt),
            0x1a => keys.push(Key::Suspend),
            0x0c => keys.push(Key::Redraw),
            0x7f | 0x08 => keys.push(Key::Backspace),
            first if first.is_ascii() => {
                keys.extend((!first.is_ascii_control()).then(|| Key::Character(char::from(*first))));
            }
            _ => {
                let (character, after) = character_of(*first, after);
                keys.extend(character.map(Key::Character));
                rest = after;
            }
        }
    }
    keys
}

/// What follows a sequence that is not known: CSI sequences end with a character or `~`, others are one byte.
fn skip_sequence(bytes: &[u8]) -> &[u8] {
    let parameters = match bytes.split_first() {
        Some((b'[' | b'O', parameters)) => parameters,
        Some((_, after)) => return after,
        None => return bytes,
    };
    let end = parameters.iter().position(|byte| (0x40..=0x7e).contains(byte));
    end.and_then(|end| parameters.get(end + 1..)).unwrap_or_default()
}

/// A character of several bytes, and what follows.
fn character_of(first: u8, after: &[u8]) -> (Option<char>, &[u8]) {
    let more = match first {
        0xc0..=0xdf => 1,
        0xe0..=0xef => 2,
        0xf0..=0xf7 => 3,
        _ => 0,
    };
    let mut bytes = vec![first];
    bytes.extend(after.iter().take(more));
    let character = std::str::from_utf8(&bytes).ok().and_then(|text| text.chars().next());
    let rest = if character.is_some() { after.get(more..).unwrap_or_default() } else { after };
    (character.filter(|character| !character.is_control()), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_characters_and_sequences() {
        use Key::*;
        for (bytes, keys) in [
            (&b"q"[..], &[Character('q')][..]),
            (b"\x1b[A\x1b[Bk", &[Up, Down, Character('k')]),
            (b"\x1b", &[Escape]),
            (b"\x1b\x1b[6~", &[Escape, PageDown]),
            (b"\x1b[1;5Cx", &[Character('x')]),
            (b"\x1b[200~kill", &[Character('k'), Character('i'), Character('l'), Character('l')]),
            (b"\r\x7f\x03\x1a\x0c", &[Enter, Backspace, Interrupt, Suspend, Redraw]),
            ("ä日".as_bytes(), &[Character('ä'), Character('日')]),
            (b"\xffa\xc3", &[Character('a')]),
            (b"", &[]),
        ] {
            assert_eq!(keys_of(bytes), keys, "{bytes:?}");
        }
    }
}
