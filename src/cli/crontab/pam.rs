//! Checks the caller's account with PAM, as cronie does.

use super::failure::Failure;
use super::session::Session;
use crate::profile::ProfileName;
use crate::sys::pam;
use std::ffi::CString;

/// Refuses a caller whose account PAM refuses (expired, not in access.conf(5)). Debian's crontab does not check this. Root
/// is not checked, and without PAM or a PAM service nobody is.
pub fn check_account(session: &Session<'_>) -> Result<(), Failure> {
    let service = session.profile.pam_service;
    let asked = session.profile.profile == ProfileName::Cronie && !session.identity.is_root();
    if !asked || !pam::has_service(service) {
        return Ok(());
    }
    let (Ok(service), Ok(user)) = (CString::new(service), CString::new(session.caller.as_str())) else {
        return Err(refused(session));
    };
    // PAM modules read files that only root may read.
    let answer = session.raised(|| {
        let Some(library) = pam::Library::open() else { return Ok(()) };
        let mut transaction = pam::Session::begin(&library, &service)?;
        transaction.set_user(&user)?;
        transaction.set_terminal(c"cron")?;
        transaction.account()
    })?;
    answer.map_err(|_| refused(session))
}

fn refused(session: &Session<'_>) -> Failure {
    Failure::RefusedByPam { user: session.caller.clone(), program: session.program.to_owned() }
}
