//! `-e`: lets the caller edit a copy as often as it takes, and loses none of her keystrokes.

use super::editor;
use super::failure::Failure;
use super::label::CallersContext;
use super::list::shown_part;
use super::prompt;
use super::replace::{NewTable, Then, check_and_install};
use super::scratch::Scratch;
use super::session::Session;
use crate::spool::Stamp;

/// Edits the user's table.
pub fn edit(session: &Session<'_>, then: Then) -> Result<(), Failure> {
    let user = &session.user;
    session.log("BEGIN EDIT", &user.name);
    let standing = session.read_table()?;
    let base = standing.as_ref().map(|standing| standing.stamp);
    let mut before = match standing {
        Some(standing) => shown_part(session, &standing.bytes).to_vec(),
        None => {
            eprintln!("no crontab for {} - using an empty one", user.name);
            session.words.first_text.as_bytes().to_vec()
        }
    };
    before.extend(session.context.as_ref().map(CallersContext::level_setting).unwrap_or_default());
    let scratch = Scratch::new(session, &before)?;
    loop {
        if let Err(failure) = editor::edit(session, scratch.path()) {
            return Err(after_editor_failure(session, scratch, &before, failure));
        }
        let text = scratch.read(session)?;
        if text == before {
            tell_unchanged(session);
            break;
        }
        match install(session, &scratch, text, base, then) {
            Ok(()) => break,
            Err(Failure::Faulty { closing }) => {
                eprintln!("{closing}");
                if !wants_to_retry(session) {
                    tell_kept(session, scratch);
                    break;
                }
            }
            // The editor's work must not go with the error.
            Err(failure) => {
                tell_kept(session, scratch);
                return Err(failure);
            }
        }
    }
    session.log("END EDIT", &user.name);
    Ok(())
}

fn install(
    session: &Session<'_>,
    scratch: &Scratch,
    text: Vec<u8>,
    base: Option<Stamp>,
    then: Then,
) -> Result<(), Failure> {
    eprintln!("{}: installing new crontab", session.program);
    let user = &session.user.name;
    let table = NewTable { text, file: scratch.path().to_string_lossy().into_owned() };
    if session.with_spool(|spool| spool.stamp(user))? != base {
        return Err(Failure::ChangedMeanwhile { program: session.program.to_owned(), user: user.clone() });
    }
    check_and_install(session, &table, then)
}

fn tell_unchanged(session: &Session<'_>) {
    let words = session.words;
    if words.names_itself_unchanged {
        eprintln!("{}: {}", session.program, words.unchanged);
    } else {
        eprintln!("{}", words.unchanged);
    }
}

fn wants_to_retry(session: &Session<'_>) -> bool {
    let question = format!("Do you want to retry the same edit? {} ", session.words.retry_choices);
    prompt::yes_or_no(&question, true, "Enter Y or N\n")
}

/// An editor that says no has dropped its text; what one left that was killed is kept.
fn after_editor_failure(session: &Session<'_>, scratch: Scratch, before: &[u8], failure: Failure) -> Failure {
    let killed = matches!(failure, Failure::EditorSignal { .. });
    if killed && scratch.read(session).is_ok_and(|text| text != before) {
        tell_kept(session, scratch);
    }
    failure
}

fn tell_kept(session: &Session<'_>, scratch: Scratch) {
    eprintln!("{}: edits left in {}", session.program, scratch.keep().display());
}
