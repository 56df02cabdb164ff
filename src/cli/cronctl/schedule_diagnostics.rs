//! Diagnostics about a schedule on the command line, in the same form as those about crontabs.

use super::stderr::to_stderr;
use crate::crontab::{Diagnostic, Severity};
use crate::schedule::{ScheduleError, ScheduleWarning};

/// The file name in diagnostics about a schedule on the command line.
const NAME: &str = "expr";

/// Prints the error in an expression to standard error.
pub(super) fn print_error(expression: &str, fault: ScheduleError) {
    let message = sentence(&fault);
    print(Diagnostic::new(Severity::Error, 1, expression.as_bytes(), fault.span, &message, fault.help));
}

/// Prints the warnings about an expression to standard error.
pub(super) fn print_warnings(expression: &str, warnings: Vec<ScheduleWarning>) {
    for warning in warnings {
        let ScheduleWarning { span, message, help } = warning;
        print(Diagnostic::new(Severity::Warning, 1, expression.as_bytes(), span, &message, help));
    }
}

/// An error as one sentence.
pub(super) fn sentence(fault: &ScheduleError) -> String {
    format!("expected {}, found {}", fault.expected, fault.found)
}

fn print(diagnostic: Diagnostic) {
    to_stderr(&diagnostic.picture(NAME));
}
