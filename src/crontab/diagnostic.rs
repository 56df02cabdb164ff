//! Diagnostics: messages about a line, with their place in it.

use super::excerpt::{Excerpt, characters};
use super::line::Line;
use crate::schedule::printable;
use std::ops::Range;

/// The severity of a diagnostic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Probably not what was meant; the line works.
    Warning,
    /// The line does not run, and `crontab` refuses the table.
    Error,
}

/// Formats it as `error` or `warning`.
impl std::fmt::Display for Severity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Severity::Warning => "warning",
            Severity::Error => "error",
        })
    }
}

/// What is wrong with one line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// The severity of a diagnostic.
    pub severity: Severity,
    /// The number of the line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1, a tab being one.
    pub column: usize,
    /// Characters marked, at least 1.
    pub width: usize,
    /// `expected an hour from 0 to 23, found 24`. Printable, one line.
    pub message: String,
    /// A suggestion, if there is one.
    pub help: Option<String>,
    /// What both reference implementations say in such a case: `bad hour`.
    pub reference_message: Option<&'static str>,
    /// Whether only the author of the line needs it: the line means the same to every cron. Such a warning is not logged.
    pub is_not_logged: bool,
    excerpt: Excerpt,
}

/// What is wrong with a piece of a line. It becomes a diagnostic with a line number and a severity.
#[derive(Clone, Debug)]
pub(super) struct LineProblem {
    /// The bytes of the line it is about.
    pub span: Range<usize>,
    /// The message, without position and severity.
    pub message: String,
    /// A suggestion, if there is one.
    pub help: Option<String>,
    /// What both reference implementations say in such a case.
    pub reference_message: Option<&'static str>,
    /// Whether it is left out of the log; see [`Diagnostic::is_not_logged`].
    pub is_not_logged: bool,
}

impl LineProblem {
    /// A problem without a suggestion.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> LineProblem {
        LineProblem { span, message: message.into(), help: None, reference_message: None, is_not_logged: false }
    }

    /// Adds a suggestion of what to do.
    pub fn help(mut self, help: impl Into<String>) -> LineProblem {
        self.help = Some(help.into());
        self
    }

    /// Adds the words of the reference implementations.
    pub fn reference_message(mut self, words: &'static str) -> LineProblem {
        self.reference_message = Some(words);
        self
    }

    /// Leaves it out of the log; see [`Diagnostic::is_not_logged`].
    pub fn without_log(self) -> LineProblem {
        LineProblem { is_not_logged: true, ..self }
    }

    /// The problem about a piece of a line as one about the line, in which the piece begins at that byte.
    pub fn moved(mut self, by: usize) -> LineProblem {
        self.span.start += by;
        self.span.end += by;
        self
    }

    /// Makes a diagnostic of it, for this line.
    pub fn at(self, severity: Severity, line: &Line<'_>) -> Diagnostic {
        let bare = Diagnostic::new(severity, line.number, line.text, self.span, &self.message, self.help);
        Diagnostic { reference_message: self.reference_message, is_not_logged: self.is_not_logged, ..bare }
    }
}

impl Diagnostic {
    /// A diagnostic about the bytes `span` of the line `text`, whose number is `line`.
    pub fn new(
        severity: Severity,
        line: u32,
        text: &[u8],
        span: Range<usize>,
        message: &str,
        help: Option<String>,
    ) -> Diagnostic {
        let start = span.start.min(text.len());
        let end = span.end.clamp(start, text.len());
        Diagnostic {
            severity,
            line: line as usize,
            column: characters(&text[..start]) + 1,
            width: characters(&text[start..end]).max(1),
            message: printable(message.as_bytes()),
            help: help.map(|help| printable(help.as_bytes())),
            reference_message: None,
            is_not_logged: false,
            excerpt: Excerpt::of(text, &(start..end)),
        }
    }

    /// One line for a log: `FILE:7:3: error: MESSAGE`.
    pub fn one_line(&self, file: &str) -> String {
        let file = printable(file.as_bytes());
        format!("{file}:{}:{}: {}: {}", self.line, self.column, self.severity, self.message)
    }

    /// The message with the line, a caret and the help, several lines. It ends with a newline.
    pub fn picture(&self, file: &str) -> String {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len() + 2);
        let Excerpt { text, caret, marks } = &self.excerpt;
        let mut picture = format!(
            "{}\n  {number} | {text}\n{gutter} | {}{}\n",
            self.one_line(file),
            " ".repeat(*caret),
            "^".repeat(*marks)
        );
        if let Some(help) = &self.help {
            picture.push_str(&format!("{gutter} = help: {help}\n"));
        }
        picture
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(line: u32, text: &str, span: Range<usize>, help: Option<&str>) -> Diagnostic {
        let message = "expected an hour from 0 to 23, found 24";
        Diagnostic::new(Severity::Error, line, text.as_bytes(), span, message, help.map(str::to_owned))
    }

    #[test]
    fn the_picture_is_the_one_the_interface_shows() {
        let diagnostic = sample(7, "0 24 * * * root /usr/local/bin/backup", 2..4, Some("midnight is hour 0"));
        assert_eq!(
            diagnostic.picture("/etc/cron.d/backup"),
            "/etc/cron.d/backup:7:3: error: expected an hour from 0 to 23, found 24\n\
             \x20 7 | 0 24 * * * root /usr/local/bin/backup\n\
             \x20   |   ^^\n\
             \x20   = help: midnight is hour 0\n"
        );
    }

    #[test]
    fn the_gutter_is_as_wide_as_the_line_number() {
        let picture = sample(1234, "0 24 * * * x", 2..4, None).picture("f");
        let lines: Vec<&str> = picture.lines().skip(1).collect();
        assert_eq!(lines, ["  1234 | 0 24 * * * x", "       |   ^^"]);
    }

    #[test]
    fn tabs_and_accents_do_not_move_the_caret() {
        let text = "\u{e9}\t24 x";
        let diagnostic = sample(1, text, 3..5, None);
        assert_eq!((diagnostic.column, diagnostic.width), (3, 2));
        assert_eq!(diagnostic.picture("f").lines().skip(1).collect::<Vec<_>>(), ["  1 | \u{e9} 24 x", "    |   ^^"]);
    }

    #[test]
    fn a_diagnostic_is_always_one_line_for_the_log() {
        let diagnostic = Diagnostic::new(Severity::Warning, 1, b"x", 0..1, "bad\n\x1b[2J", None);
        assert_eq!(diagnostic.one_line("a\nb"), "a\\nb:1:1: warning: bad\\n\\x1b[2J");
    }
}
