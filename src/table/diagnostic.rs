//! A complaint with its place.

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Probably not what was meant; the line works.
    Warning,
    /// The line does not run, and `crontab` refuses the table.
    Error,
}

/// What is wrong with one line of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1, a tab being one.
    pub column: usize,
    /// Characters marked, at least 1.
    pub width: usize,
    /// `expected an hour from 0 to 23, found 24`.
    pub message: String,
    /// The likely intention.
    pub help: Option<String>,
    /// The line itself, made printable, for the picture under the message.
    pub text: String,
}

impl Diagnostic {
    /// One line for a log: `FILE:7:3: error: MESSAGE`.
    pub fn one_line(&self, file: &str) -> String {
        let _ = file;
        todo!()
    }
    /// The whole picture with caret and help, as in the interface's section on diagnostics; ends with a newline.
    pub fn picture(&self, file: &str) -> String {
        let _ = file;
        todo!()
    }
}
