//! The command of an entry: where it ends and its standard input begins.

/// What `\\` in front of the first `%` means: the one difference between the incumbents' `%` rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backslash {
    /// Debian's cron: `\\` becomes `\`.
    Halved,
    /// cronie: `\\` stays.
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
    /// Splits the raw text of an entry's command.
    pub fn split(raw: &[u8], backslash: Backslash) -> Command {
        let _ = (raw, backslash);
        todo!()
    }
}
