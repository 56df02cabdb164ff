//! The command of an entry: where it ends and its standard input begins.

/// What `\\` in front of the first `%` means: the one difference between the reference implementations' `%` rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backslash {
    /// Debian's cron: `\\` becomes `\`.
    Halved,
    /// cronie: `\\` is kept as it is.
    Kept,
}

/// A command split at its first unescaped `%`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// What the shell gets, `\%` turned into `%`.
    pub shell: Vec<u8>,
    /// What the command reads on standard input: `%` turned into newlines, a newline at the end; none without `%`.
    pub stdin: Option<Vec<u8>>,
}

impl Command {
    /// Splits the raw text of an entry's command (crontab(5); do_command.c, child_process, of both reference implementations).
    /// Shell quotes do not protect a `%`.
    pub fn split(raw: &[u8], backslash: Backslash) -> Command {
        match first_percent(raw) {
            Some(at) => {
                Command { shell: unescape_shell(&raw[..at], backslash), stdin: Some(unescape_stdin(&raw[at + 1..])) }
            }
            None => Command { shell: unescape_shell(raw, backslash), stdin: None },
        }
    }
}

/// Where the first `%` stands that no backslash escapes. A backslash escapes whatever follows it, another backslash too.
pub(super) fn first_percent(raw: &[u8]) -> Option<usize> {
    memchr::memchr(b'%', raw)?; // almost every command ends here
    let mut escaped = false;
    raw.iter().position(|&byte| {
        let found = byte == b'%' && !escaped;
        escaped = byte == b'\\' && !escaped;
        found
    })
}

/// `\%` becomes `%`, and on Debian `\\` becomes `\`; any other backslash is left to the shell.
fn unescape_shell(text: &[u8], backslash: Backslash) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            out.push(byte);
            continue;
        }
        match bytes.next() {
            Some(b'%') => out.push(b'%'),
            Some(b'\\') if backslash == Backslash::Halved => out.push(b'\\'),
            Some(other) => out.extend([b'\\', other]),
            None => out.push(b'\\'),
        }
    }
    out
}

/// `%` becomes a newline, `\%` a `%`, and the last line gets its newline. A backslash is kept unless a `%` follows it
/// directly: here, unlike in the command, `\\%` is a backslash and a percent sign.
fn unescape_stdin(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 1);
    for (at, &byte) in text.iter().enumerate() {
        let after_backslash = at > 0 && text[at - 1] == b'\\';
        match byte {
            b'%' if after_backslash => {
                out.pop();
                out.push(b'%');
            }
            b'%' => out.push(b'\n'),
            _ => out.push(byte),
        }
    }
    if out.last().is_some_and(|&last| last != b'\n') {
        out.push(b'\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// raw, shell on Debian, shell in cronie, standard input in both
    type Row = (&'static str, &'static str, &'static str, Option<&'static str>);

    const ROWS: &[Row] = &[
        ("true", "true", "true", None),
        ("", "", "", None),
        ("date +\\%s", "date +%s", "date +%s", None),
        ("cat%hello", "cat", "cat", Some("hello\n")),
        ("cat%", "cat", "cat", Some("")),
        ("cat%%", "cat", "cat", Some("\n")),
        ("cat%a%b%c", "cat", "cat", Some("a\nb\nc\n")),
        ("cat%a%", "cat", "cat", Some("a\n")),
        ("cat%100\\% sure", "cat", "cat", Some("100% sure\n")),
        ("echo a\\\\nb", "echo a\\nb", "echo a\\\\nb", None),
        ("echo a\\\\%x", "echo a\\", "echo a\\\\", Some("x\n")),
        ("echo \\n", "echo \\n", "echo \\n", None),
        ("echo end\\", "echo end\\", "echo end\\", None),
        ("echo '%'", "echo '", "echo '", Some("'\n")),
        ("cat%a\\\\b", "cat", "cat", Some("a\\\\b\n")),
        ("cat%a\\\\%b", "cat", "cat", Some("a\\%b\n")),
        ("cat%a\\", "cat", "cat", Some("a\\\n")),
        ("\\%\\%%\\%\\%", "%%", "%%", Some("%%\n")),
        ("%in", "", "", Some("in\n")),
        ("  spaced  ", "  spaced  ", "  spaced  ", None),
        ("echo caf\u{e9}\\%", "echo caf\u{e9}%", "echo caf\u{e9}%", None),
    ];

    #[test]
    fn a_command_ends_at_its_first_bare_percent_sign() {
        for &(raw, debian, cronie, stdin) in ROWS {
            for (backslash, shell) in [(Backslash::Halved, debian), (Backslash::Kept, cronie)] {
                let split = Command::split(raw.as_bytes(), backslash);
                assert_eq!(String::from_utf8_lossy(&split.shell), shell, "{raw} {backslash:?}");
                assert_eq!(
                    split.stdin.as_deref().map(String::from_utf8_lossy).as_deref(),
                    stdin,
                    "{raw} {backslash:?}"
                );
            }
        }
    }
}
