//! Crontabs and lines that the daemon does not read, where a job is asked for that it does not have.

use super::source;
use super::stderr::to_stderr;
use super::system_state::SystemState;
use crate::crontab::{Diagnostic, Severity, printable};
use crate::scheduler::{Owner, Source};
use crate::spool::{Found, Refusal, TableFile, Visitor};
use crate::sys::stamp::Stamp;
use crate::users::WaitingUsers;
use memchr::memmem;

/// Most errors of a crontab that are printed.
const MOST_PRINTED: usize = 5;
/// Most reasons that are printed: there may be many tables of users who are gone.
const MOST_REASONS: usize = 20;

/// Prints to standard error what could be the reason why there is no job of that name, as far as the caller may read it: files that are not read,
/// and the errors of crontabs in which the name stands. Whether there was something.
pub(super) fn print_reasons(job: &str, system: &SystemState) -> bool {
    let (user, name) = job.rsplit_once(':').map_or((None, job), |(user, name)| (Some(user), name));
    let mut reasons = Reasons { user, name, system, count: 0 };
    let errors = source::finder(system).scan(&mut WaitingUsers::default(), &mut reasons);
    // Where the caller may not read the spool, crontab(1) may. It shows the text to its owner only.
    let is_spool_closed = errors.iter().any(|error| error.path == system.settings.places.spool);
    let is_own = user.is_none_or(|user| user == system.caller());
    if is_spool_closed
        && is_own
        && let Ok(Some(own)) = source::own_by_crontab(system)
    {
        reasons.print_errors(&own.name, &own.diagnostics);
    }
    reasons.count > 0
}

/// A scan for the reasons.
struct Reasons<'a> {
    /// The user of the job, if the caller has named one.
    user: Option<&'a str>,
    name: &'a str,
    system: &'a SystemState,
    /// How many reasons were found.
    count: usize,
}

impl Reasons<'_> {
    fn print_errors(&mut self, path: &str, diagnostics: &[Diagnostic]) {
        let errors = || diagnostics.iter().filter(|diagnostic| diagnostic.severity == Severity::Error);
        for error in errors().take(MOST_PRINTED) {
            self.print(&error.picture(path));
        }
        let more = errors().count().saturating_sub(MOST_PRINTED);
        if more > 0 {
            self.print(&format!("{}: {more} more lines with errors\n", printable(path.as_bytes())));
        }
    }

    fn print(&mut self, text: &str) {
        self.count += 1;
        if self.count <= MOST_REASONS {
            to_stderr(text);
        }
    }

    /// Whether a crontab of that user may have the job.
    fn may_belong_to(&self, owner: &Owner) -> bool {
        match (owner, self.user) {
            (Owner::User { name, .. }, Some(user)) => name == user,
            (Owner::User { .. } | Owner::System | Owner::Caller, _) => true,
        }
    }

    /// Prints the errors of a crontab if the name stands in it.
    fn read(&mut self, source: &Source, file: TableFile) -> Result<(), Refusal> {
        let mut text = Vec::new();
        let listed = source::read(source.clone(), &file, self.system, &mut |piece| text.extend_from_slice(piece))?;
        if memmem::find(&text, self.name.as_bytes()).is_some() {
            self.print_errors(&listed.name, &listed.diagnostics);
        }
        Ok(())
    }
}

impl Visitor for Reasons<'_> {
    fn has(&mut self, _: &str, _: &Stamp) -> bool {
        false
    }

    fn found(&mut self, Found { source, content, .. }: Found) {
        if !self.may_belong_to(&source.owner) {
            return;
        }
        if let Err(refusal) = content.and_then(|file| self.read(&source, file))
            && (self.system.is_root() || !source::is_closed(&refusal))
            && let Some(text) = refusal.text()
        {
            self.print(&format!("{}: not read: {}\n", printable(source.path.as_bytes()), printable(text.as_bytes())));
        }
    }

    fn skipped(&mut self, path: &str, rule: &'static str) {
        if path.rsplit('/').next().is_some_and(|file| file.contains(self.name)) {
            self.print(&format!("{}: not read: {rule}\n", printable(path.as_bytes())));
        }
    }
}
