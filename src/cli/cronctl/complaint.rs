//! Complaints about a schedule that stands alone, in the form that tables have them.

use super::stderr::to_stderr;
use crate::crontab::{Diagnostic, Severity};
use crate::schedule::{Caution, Fault};

/// What a schedule on the command line is called where a table would have its file name.
const NAME: &str = "expr";

/// Says what is wrong with an expression.
pub(super) fn tell_fault(expression: &str, fault: Fault) {
    let message = said(&fault);
    tell(Diagnostic::new(Severity::Error, 1, expression.as_bytes(), fault.span, &message, fault.help));
}

/// Says what is odd about an expression.
pub(super) fn tell_cautions(expression: &str, cautions: Vec<Caution>) {
    for caution in cautions {
        let Caution { span, message, help } = caution;
        tell(Diagnostic::new(Severity::Warning, 1, expression.as_bytes(), span, &message, help));
    }
}

/// A fault in one sentence.
pub(super) fn said(fault: &Fault) -> String {
    format!("expected {}, found {}", fault.expected, fault.found)
}

fn tell(diagnostic: Diagnostic) {
    to_stderr(&diagnostic.picture(NAME));
}
