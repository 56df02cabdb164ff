//! The debug messages of the event loop.

use super::debug::Topic;
use super::event_loop::Daemon;
use crate::crontab::printable;
use crate::schedule::Timestamp;
use crate::scheduler::RunRequest;

impl Daemon {
    /// Tells what is thought of, if that is wanted.
    pub(super) fn debug(&mut self, topic: Topic, text: impl FnOnce() -> String) {
        self.settings.debug.tell(&mut self.log, topic, text);
    }

    /// What the clock was told to wait for.
    pub(super) fn debug_next(&mut self, due: Option<Timestamp>) {
        self.debug(Topic::Schedule, || due.map_or_else(|| "nothing due".to_owned(), |due| format!("next due {due}")));
        if self.settings.debug.has(Topic::Extended) {
            let state = self.state();
            self.debug(Topic::Schedule, || state);
        }
    }

    /// A job that is handed to the executor.
    pub(super) fn debug_start(&mut self, start: &RunRequest) {
        self.debug(Topic::Processes, || {
            let (run, user, command) = (start.run.0, &start.user, printable(&start.command));
            format!("run {run} of {}:{} as {user}: {command}", start.source.path, start.line)
        });
    }
}
