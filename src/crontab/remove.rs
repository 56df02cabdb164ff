//! `-r`, with `-i` after a question.

use super::backup;
use super::failure::Failure;
use super::prompt;
use super::session::Session;
use crate::site::Profile;

/// Removes the table.
pub fn remove(session: &Session<'_>, ask_first: bool, keep_backup: bool) -> Result<(), Failure> {
    if ask_first && !wanted(session) {
        return Ok(());
    }
    let name = &session.user.name;
    session.log("DELETE", name);
    if keep_backup {
        backup::keep(session)?.ok_or_else(|| Failure::NoTable { user: name.clone() })?;
    }
    let was_there = session.with_spool(|spool| spool.remove(name))?;
    if was_there { Ok(()) } else { Err(Failure::NoTable { user: name.clone() }) }
}

fn wanted(session: &Session<'_>) -> bool {
    let question = format!("crontab: really delete {}'s crontab? {}", session.user.name, session.words.remove_choices);
    match session.site.profile {
        Profile::Debian => prompt::yes_or_no(&question, false, "Please enter Y or N: "),
        // Anything but a yes is a no.
        Profile::Cronie => prompt::ask(&question).is_some_and(|answer| matches!(prompt::first(&answer), b'y' | b'Y')),
    }
}
