//! The executor's journal of runs and the socket for later mains.

use super::context::{Context, EventSource, token};
use crate::executor::config::JournalLocation;
use crate::executor::journal::Journal;
use crate::executor::run_directory::{ExecutorFiles, RunDirectoryError};
use crate::report::Level;
use crate::scheduler::RunRequest;
use crate::sys::clock;
use crate::sys::error::os_at;
use crate::sys::host;
use crate::sys::local_socket::Listener;
use std::fs::File;

/// The journal and its location.
#[derive(Debug)]
pub(super) struct RunJournal {
    place: JournalLocation,
    /// The file without a name, until the journal has been begun.
    memory: Option<File>,
    /// The paths of the journal and the socket, if the location is a directory.
    files: Option<ExecutorFiles>,
    journal: Journal,
    /// Beginning the journal has been attempted.
    has_begun: bool,
    /// Whether it has been logged that the journal cannot be written.
    has_logged_error: bool,
}

impl RunJournal {
    pub(super) fn new(place: JournalLocation, memory: Option<File>) -> RunJournal {
        RunJournal {
            place,
            memory,
            files: None,
            journal: Journal::default(),
            has_begun: false,
            has_logged_error: false,
        }
    }

    /// The journal, to add records that may be written a little later.
    pub(super) fn journal(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// Records that these runs are about to be started. The records have been written when this returns.
    pub(super) fn note_intents<'a>(&mut self, context: &mut Context, starts: impl Iterator<Item = &'a RunRequest>) {
        let now = clock::wall().seconds;
        starts.for_each(|start| self.journal.intend(start, now));
        self.flush(context);
    }

    /// Begins the journal with the first start, so that an executor that starts nothing leaves no files. Returns the socket for later mains
    /// the first time.
    pub(super) fn begin(&mut self, context: &mut Context) -> Option<Listener> {
        if std::mem::replace(&mut self.has_begun, true) {
            return None;
        }
        let boot_id = host::boot().id;
        let begun = match &self.place {
            JournalLocation::Nowhere => return None,
            JournalLocation::Memory => Journal::begin(self.memory.take()?, &boot_id)
                .map_err(|source| RunDirectoryError::Journal { path: "in memory".into(), source }),
            JournalLocation::Directory(directory) => {
                let files = ExecutorFiles::own(directory);
                let begun = files.begin_journal(&boot_id);
                self.files = Some(files);
                begun
            }
        };
        let listening = begun.and_then(|journal| {
            self.journal = journal;
            self.listen(context)
        });
        listening.unwrap_or_else(|error| {
            self.log_error(context, &error);
            None
        })
    }

    fn listen(&self, context: &Context) -> Result<Option<Listener>, RunDirectoryError> {
        let Some(files) = &self.files else { return Ok(None) };
        let listener = files.listen(&context.threads)?;
        context
            .poll
            .add(&listener, token(EventSource::Listener, 0))
            .map_err(os_at("waiting for connections to", &files.socket()))?;
        Ok(Some(listener))
    }

    /// Writes the collected records. If the journal cannot be written, jobs are started nevertheless.
    pub(super) fn flush(&mut self, context: &mut Context) {
        let path = || self.files.as_ref().map_or_else(|| "in memory".into(), ExecutorFiles::journal);
        if let Err(source) = self.journal.flush() {
            let error = RunDirectoryError::Journal { path: path(), source };
            self.log_error(context, &error);
        }
        if self.journal.is_worth_compacting() {
            self.compact(context);
        }
    }

    fn compact(&mut self, context: &mut Context) {
        let now = clock::wall().seconds;
        let RunJournal { files, journal, .. } = self;
        let compacted = match files {
            Some(files) => files.compact(journal, now),
            None => journal
                .compacted(now)
                .and_then(|compacted| journal.rewrite(&compacted.bytes).map(|()| compacted))
                .map_err(|source| RunDirectoryError::Journal { path: "in memory".into(), source }),
        };
        match compacted {
            Ok(compacted) if compacted.lost_starts => {
                let detail = "the journal of runs is too long: a restart within the next minutes may repeat starts";
                context.log.own(Level::Warning, "WARNING", detail);
            }
            Ok(_) => {}
            Err(error) => {
                // Compacting is not retried at each start, but after the journal has grown further.
                self.journal.postpone_compacting();
                self.log_error(context, &error);
            }
        }
    }

    fn log_error(&mut self, context: &mut Context, error: &RunDirectoryError) {
        if !std::mem::replace(&mut self.has_logged_error, true) {
            let detail = format!("{error}: after a restart, starts may be repeated and running jobs are not known");
            context.log.own(Level::Error, "ERROR", &detail);
        }
    }
}
