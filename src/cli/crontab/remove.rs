//! Removes a crontab (`-r`), with `-i` after a question.

use super::backup;
use super::failure::Failure;
use super::prompt::{self, Answer};
use super::session::Session;
use crate::profile::ProfileName;

/// Removes the user's crontab (`-r`), after a question where `-i` asks for one.
pub fn remove(session: &Session<'_>, ask_first: bool, keep_backup: bool) -> Result<(), Failure> {
    if ask_first && !wanted(session) {
        return Ok(());
    }
    let name = &session.user.name;
    // Debian's crontab logs after the removal, cronie's before it.
    let tells_before = session.profile.profile == ProfileName::Cronie;
    if tells_before {
        session.log("DELETE", name);
    }
    if keep_backup {
        backup::keep(session)?.ok_or_else(|| Failure::NoTable { user: name.clone() })?;
    }
    let was_there = session.with_spool(|spool| spool.remove(name))?;
    if !was_there {
        return Err(Failure::NoTable { user: name.clone() });
    }
    session.wake_daemon();
    if !tells_before {
        session.log("DELETE", name);
    }
    Ok(())
}

fn wanted(session: &Session<'_>) -> bool {
    let question = format!("crontab: really delete {}'s crontab? {}", session.user.name, session.words.remove_choices);
    match session.profile.profile {
        ProfileName::Debian => prompt::yes_or_no(&question, false, "Please enter Y or N: ", None) == Answer::Yes,
        // Any answer other than yes counts as no.
        ProfileName::Cronie => {
            prompt::ask(&question).is_some_and(|answer| matches!(prompt::first(&answer), b'y' | b'Y'))
        }
    }
}
