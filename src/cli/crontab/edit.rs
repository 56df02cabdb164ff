//! `-e`: lets the caller edit a copy until it is valid. An edit that is not installed is kept, and its path is printed.

use super::check::{Warnings, has_unlisted_warnings, lines_of};
use super::editor;
use super::failure::Failure;
use super::list::shown_part;
use super::messages;
use super::next_runs;
use super::prompt::{self, Answer};
use super::replace::{AfterCheck, NewTable, check_new, finish};
use super::scratch::Scratch;
use super::selinux::CallersContext;
use super::session::Session;
use crate::sys::descriptor::StandardStream;
use crate::sys::interrupts::{EndRequest, EndRequests};
use crate::sys::stamp::Stamp;
use crate::sys::{descriptor, files};
use std::collections::HashSet;

/// The result of an edit without errors.
enum Outcome {
    /// The edited crontab has been installed.
    Installed,
    /// The new crontab was only to be checked, and is valid.
    Checked,
    /// The editor did not change the text.
    Unchanged,
    /// The new crontab is faulty, and the user does not want to edit it again.
    GivenUp,
    /// A signal asked the program to terminate.
    Ended(EndRequest),
}

/// The result of checking and installing an edit.
enum Attempt {
    /// It is installed, or was only to be checked.
    Done,
    /// It is to be edited again, from this line on, or is left.
    NotInstalled { line: Option<usize> },
    /// A signal asked the program to terminate.
    Ended(EndRequest),
}

/// Lets the caller edit the user's crontab and installs the result.
pub fn edit(session: &Session<'_>, after: AfterCheck) -> Result<(), Failure> {
    let user = &session.user;
    session.log("BEGIN EDIT", &user.name);
    let standing = session.read_table()?;
    let base = standing.as_ref().map(|standing| standing.stamp);
    let mut before = match standing {
        Some(standing) => shown_part(session, &standing.bytes).to_vec(),
        None => {
            messages::warn(&format!("no crontab for {} - using an empty one", user.name));
            session.words.first_text.as_bytes().to_vec()
        }
    };
    before.extend(session.context.as_ref().map(CallersContext::level_setting).unwrap_or_default());
    // From here on, only SIGKILL ends the program before the copy is installed, kept or removed.
    let signals = EndRequests::block()
        .map_err(|source| Failure::Signals { program: session.program.to_owned(), source: source.into() })?;
    let scratch = Scratch::new(session, &before)?;
    let outcome = rounds(session, &signals, &scratch, &before, base, after);
    finish_edit(session, &signals, scratch, &before, outcome)
}

/// Edits and checks until the crontab is installed or the user gives up.
fn rounds(
    session: &Session<'_>,
    signals: &EndRequests,
    scratch: &Scratch,
    before: &[u8],
    base: Option<Stamp>,
    after: AfterCheck,
) -> Result<Outcome, Failure> {
    let mut line = None;
    loop {
        let end = editor::edit(session, scratch.path(), line);
        signals.forget_terminal();
        if let Some(request) = signals.arrived() {
            return Ok(Outcome::Ended(request));
        }
        end?;
        let text = scratch.read(session)?;
        if text == before {
            return Ok(Outcome::Unchanged);
        }
        match install(session, signals, scratch, text, before, base, after)? {
            Attempt::Done if after == AfterCheck::Nothing => return Ok(Outcome::Checked),
            Attempt::Done => return Ok(Outcome::Installed),
            Attempt::Ended(request) => return Ok(Outcome::Ended(request)),
            Attempt::NotInstalled { line: found } => line = found,
        }
        match ask_whether_to_retry(session, signals) {
            Answer::Yes => {}
            Answer::No => return Ok(Outcome::GivenUp),
            Answer::Ended(request) => return Ok(Outcome::Ended(request)),
        }
    }
}

/// Removes the copy if it is equal to the crontab, and prints its path otherwise. Then reports the result of the edit.
fn finish_edit(
    session: &Session<'_>,
    signals: &EndRequests,
    scratch: Scratch,
    before: &[u8],
    outcome: Result<Outcome, Failure>,
) -> Result<(), Failure> {
    let user = &session.user.name;
    match outcome {
        Ok(Outcome::Installed) => {
            scratch.remove();
            session.log("END EDIT", user);
            Ok(())
        }
        Ok(Outcome::Unchanged) => {
            scratch.remove();
            print_unchanged(session);
            session.log("END EDIT", user);
            Ok(())
        }
        Ok(Outcome::Checked) => {
            keep(session, scratch);
            session.log("END EDIT", user);
            Ok(())
        }
        Ok(Outcome::GivenUp) => {
            keep(session, scratch);
            session.log("END EDIT", user);
            Err(Failure::Reported)
        }
        Ok(Outcome::Ended(request)) => {
            keep_edit(session, scratch, before);
            request.end_program();
            Err(Failure::Reported)
        }
        Err(failure) => {
            messages::warn(&failure.to_string());
            if matches!(failure, Failure::EditorWait { .. }) {
                // The editor may still be running.
                keep(session, scratch);
            } else {
                keep_edit(session, scratch, before);
            }
            if let Some(request) = signals.arrived() {
                request.end_program();
            }
            Err(Failure::Reported)
        }
    }
}

fn install(
    session: &Session<'_>,
    signals: &EndRequests,
    scratch: &Scratch,
    text: Vec<u8>,
    before: &[u8],
    base: Option<Stamp>,
    after: AfterCheck,
) -> Result<Attempt, Failure> {
    messages::warn(&format!("{}: installing new crontab", session.program));
    let table = NewTable { text, file: scratch.path().to_string_lossy().into_owned() };
    refuse_if_changed(session, base)?;
    let warnings = match check_new(session, &table) {
        Ok(warnings) => warnings,
        Err(Failure::Faulty { closing, line }) => {
            messages::warn(&closing);
            return Ok(Attempt::NotInstalled { line });
        }
        Err(failure) => return Err(failure),
    };
    if after != AfterCheck::Nothing
        && can_ask()
        && let Some(line) = doubtful_line(&warnings, &table.text, before, || has_unlisted_warnings(session, before))
    {
        match prompt::confirm("There are warnings. Install anyway? (y/n) ", signals) {
            Answer::Yes => refuse_if_changed(session, base)?,
            Answer::No => return Ok(Attempt::NotInstalled { line: Some(line) }),
            Answer::Ended(request) => return Ok(Attempt::Ended(request)),
        }
    }
    finish(session, &table, after)?;
    if after != AfterCheck::Nothing {
        next_runs::print(session, before, &table.text);
    }
    Ok(Attempt::Done)
}

/// Fails if somebody else has changed the crontab since the edit began.
fn refuse_if_changed(session: &Session<'_>, base: Option<Stamp>) -> Result<(), Failure> {
    let user = &session.user.name;
    match session.with_spool(|spool| spool.stamp(user))? == base {
        true => Ok(()),
        false => Err(Failure::ChangedMeanwhile { program: session.program.to_owned(), user: user.clone() }),
    }
}

/// Whether there is somebody who can read a question and answer it. Scripts are not asked anything new.
fn can_ask() -> bool {
    files::is_terminal(descriptor::standard(StandardStream::Input))
        && files::is_terminal(descriptor::standard(StandardStream::Error))
}

/// The first line with a warning that this edit has written. Lines that were there before have been accepted once. Where only a part of the
/// warnings is listed, new ones may be among the others unless there were too many before, too; `had_more` says whether there were.
fn doubtful_line(warnings: &Warnings, text: &[u8], before: &[u8], had_more: impl FnOnce() -> bool) -> Option<usize> {
    let (old, lines): (HashSet<&[u8]>, _) = (lines_of(before).into_iter().collect(), lines_of(text));
    let is_new = |line: &&usize| lines.get(line.saturating_sub(1)).is_none_or(|line| !old.contains(line));
    let new = warnings.lines.iter().find(is_new).copied();
    new.or_else(|| warnings.lines.first().copied().filter(|_| warnings.has_more && !had_more()))
}

fn print_unchanged(session: &Session<'_>) {
    let words = session.words;
    if words.unchanged_has_prefix {
        messages::warn(&format!("{}: {}", session.program, words.unchanged));
    } else {
        messages::warn(words.unchanged);
    }
}

fn ask_whether_to_retry(session: &Session<'_>, signals: &EndRequests) -> Answer {
    let question = format!("Do you want to retry the same edit? {} ", session.words.retry_choices);
    prompt::yes_or_no(&question, true, "Enter Y or N\n", Some(signals))
}

/// Keeps the copy if it contains an edit.
fn keep_edit(session: &Session<'_>, scratch: Scratch, before: &[u8]) {
    if scratch.is_dispensable(session, before) {
        scratch.remove();
    } else {
        keep(session, scratch);
    }
}

/// Leaves the copy in place and reports its path on standard error or the terminal, and in the log, in case both are gone.
fn keep(session: &Session<'_>, scratch: Scratch) {
    let path = scratch.path().display().to_string();
    messages::warn_or_use_terminal(&format!("{}: edits left in {path}", session.program));
    session.log("EDITS LEFT", &path);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_edit_has_written_is_doubtful() {
        let before = b"a\nb\nc\n";
        for (lines, has_more, had_more, text, wanted) in [
            (&[1, 2][..], false, false, &b"a\nb\nd\n"[..], None),
            (&[1, 3], false, false, b"a\nb\nd\n", Some(3)),
            (&[1, 2], true, true, b"a\nb\nd\n", None),
            (&[1, 3], true, true, b"a\nb\nd\n", Some(3)),
            (&[1, 2], true, false, b"a\nb\nd\n", Some(1)),
            (&[], false, false, b"a\nb\nd\n", None),
        ] {
            let warnings = Warnings { lines: lines.to_vec(), has_more };
            assert_eq!(doubtful_line(&warnings, text, before, || had_more), wanted, "{warnings:?} {had_more}");
        }
    }
}
