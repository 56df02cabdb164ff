//! `cronctl top`: a live view of what fails, runs and comes next.
//!
//! | file | what |
//! |---|---|
//! | `keys` | keys from the bytes of the terminal |
//! | `state` | what is shown, and what keys do |
//! | `view` | the lines of the screen |
//! | `data` | the daemon's answers, and what is asked of it |
//! | `tty` | the terminal, and that it is given back |
//!
//! Nothing is asked for again and again: events of the daemon say what has changed. The screen is drawn after an event or a key, and each
//! second for the times that count.

mod data;
mod keys;
mod state;
mod tty;
mod view;

use super::cli::{given, value};
use super::connection::Connection;
use super::error::Error;
use super::exit_status::ExitStatus;
use super::output::Output;
use super::screen::{Screen, TextStyle};
use super::system_state::SystemState;
use crate::sys::clock;
use crate::sys::interrupts::{EndRequest, ScreenSignal, ScreenSignals, stop_program};
use crate::sys::poll::Poll;
use crate::varlink::cron::{Filter, ListArguments};
use clap::ArgMatches;
use data::Daemon;
use state::{Action, Page, State};
use std::io::{self, BufRead, IsTerminal};
use tty::Tty;

/// Numbers of descriptors in the epoll set.
const KEYS: u64 = 0;
const SIGNALS: u64 = 1;
const EVENTS: u64 = 2;
const OUTPUT: u64 = 3;

/// How long changes are collected before they are asked for, in milliseconds; and with so many jobs that all have to be examined for it.
const COLLECT_MS: i64 = 200;
const COLLECT_OF_MANY_MS: i64 = 2_000;
/// How long after a refusal it is asked again, in milliseconds.
const RETRY_MS: i64 = 1_000;
/// How often a daemon that is gone is searched for, in milliseconds.
const RECONNECT_MS: i64 = 900;
/// How old the timeline may be, and how old at least before changes make a new one, in milliseconds.
const TIMELINE_MS: i64 = 15_000;
const TIMELINE_LEAST_MS: i64 = 2_000;

pub(super) fn run(matches: &ArgMatches, system: &SystemState, out: &mut Output) -> Result<ExitStatus, Error> {
    let user = value::<String>(matches, "user").cloned();
    if given(matches, "json") {
        let filter = Some(Filter { user, ..Filter::default() });
        Connection::open(system)?.print_more("List", &ListArguments { filter }, out)?;
        return Ok(ExitStatus::Success);
    }
    if !io::stdin().is_terminal() || !out.is_terminal() {
        return Err(Error::NoTerminal);
    }
    let daemon = Daemon::new(Connection::open(system)?, user)?;
    let screen = Screen::of(out, system);
    let signals = ScreenSignals::block().map_err(failed)?;
    let poll = Poll::new().map_err(failed)?;
    poll.add(io::stdin(), KEYS).map_err(failed)?;
    poll.add(&signals, SIGNALS).map_err(failed)?;
    poll.add(&daemon.events, EVENTS).map_err(failed)?;
    let tty = Tty::open(screen.has_colours)?;
    let state = State::default();
    let mut view = View {
        system,
        screen,
        tty,
        signals,
        poll,
        daemon,
        state,
        tried_ms: 0,
        timeline_ms: None,
        timeline_filter: String::new(),
        changed_ms: None,
    };
    let end = view.work();
    // The terminal is given back before anything is said.
    view.tty.give();
    match end? {
        Some(signal) => {
            let View { signals, tty, .. } = view;
            drop((signals, tty));
            signal.end_program();
            Ok(ExitStatus::Faulty)
        }
        None => Ok(ExitStatus::Success),
    }
}

/// The view while it is on the terminal.
struct View<'a> {
    system: &'a SystemState,
    screen: Screen,
    tty: Tty,
    signals: ScreenSignals,
    poll: Poll,
    daemon: Daemon,
    state: State,
    /// When it was tried last to connect anew.
    tried_ms: i64,
    /// When the timeline was last built (milliseconds, like `tried_ms`). None: it has to be built.
    timeline_ms: Option<i64>,
    /// The filter that was set then.
    timeline_filter: String,
    /// When the first of the changes came that have not been asked for.
    changed_ms: Option<i64>,
}

impl View<'_> {
    /// Shows what happens until the user quits, the terminal is gone (None), or a signal asks the program to end.
    fn work(&mut self) -> Result<Option<EndRequest>, Error> {
        // The first answers may take a while.
        self.draw()?;
        loop {
            self.keep_up();
            self.draw()?;
            let ready: Vec<u64> = self.poll.wait::<8>(Some(self.pause_ms())).map_err(failed)?.collect();
            while let Some(signal) = self.signals.arrived() {
                match signal {
                    ScreenSignal::End(request) => return Ok(Some(request)),
                    ScreenSignal::Stop => self.stop()?,
                    ScreenSignal::Continue => self.tty.take()?,
                    ScreenSignal::Resize => {}
                }
            }
            if ready.contains(&EVENTS) {
                let taken = self.daemon.take_events();
                self.note(taken);
            }
            if ready.contains(&OUTPUT)
                && let Page::Log(log) = &mut self.state.page
            {
                let taken = self.daemon.take_output(log);
                if let Err(error) = taken {
                    log.is_lost = true;
                    log.end();
                    self.daemon.output = None;
                    self.state.message = Some((TextStyle::Bad, error.to_string()));
                }
            }
            if ready.contains(&KEYS) && self.take_keys()? {
                return Ok(None);
            }
        }
    }

    /// How long nothing has to be done, in milliseconds: until the next second, or until changes are asked for.
    fn pause_ms(&self) -> u64 {
        let now = clock::wall();
        let to_second = 1_000 - i64::from(now.nanos / 1_000_000);
        let to_changes = self.changed_ms.map_or(to_second, |since| since + self.collect_ms() - clock::monotonic_ms());
        u64::try_from(to_second.min(to_changes)).unwrap_or(0).max(1)
    }

    fn collect_ms(&self) -> i64 {
        let is_slow = self.daemon.is_filtered() && !self.daemon.are_others_wanted(&self.state);
        if is_slow { COLLECT_OF_MANY_MS } else { COLLECT_MS }
    }

    /// Asks for what has changed, and connects anew if the daemon is gone.
    fn keep_up(&mut self) {
        let now_ms = clock::monotonic_ms();
        if self.state.problem.is_some() {
            if now_ms - self.tried_ms >= RECONNECT_MS {
                self.tried_ms = now_ms;
                self.reconnect();
            }
            return;
        }
        if self.daemon.has_changes(&self.state) {
            let since = *self.changed_ms.get_or_insert(now_ms);
            let is_first = self.state.status.is_none() && since <= now_ms;
            if now_ms - since >= self.collect_ms() || is_first {
                self.changed_ms = None;
                let refreshed = self.daemon.refresh(&mut self.state);
                if refreshed.is_err() {
                    // The daemon may be busy. What has changed is asked for again a little later.
                    self.daemon.forget_all();
                    self.changed_ms = Some(now_ms + RETRY_MS);
                }
                self.note(refreshed);
                if self.timeline_ms.is_some_and(|made| now_ms - made >= TIMELINE_LEAST_MS) {
                    self.timeline_ms = None;
                }
            }
        }
        let is_of_filter = self.state.is_filter_typed || self.state.filter == self.timeline_filter;
        let is_old = !is_of_filter || self.timeline_ms.is_none_or(|made| now_ms - made >= TIMELINE_MS);
        let rows = view::timeline_rows(self.tty.size().1);
        if is_old && rows > 0 && self.state.problem.is_none() {
            self.timeline_ms = Some(now_ms);
            self.timeline_filter = self.state.filter.clone();
            let jobs = (!self.state.filter.is_empty()).then(|| self.state.shown().map(|job| job.job.clone()).collect());
            let made = self.daemon.timeline(self.system.now(), self.system.system_zone(), rows, jobs);
            let made = made.map(|(timeline, known_until)| {
                self.state.timeline = Some(timeline);
                self.state.known_until = known_until;
            });
            self.note(made);
        }
    }

    /// Notes that the daemon does not answer. Other errors are shown until the next key.
    fn note(&mut self, result: Result<(), Error>) {
        match result {
            Ok(()) => {}
            Err(error @ (Error::DaemonGone | Error::NoDaemon { .. })) => {
                let since = self.system.system_zone().to_rfc3339(self.system.now());
                let since = since.get(11..19).unwrap_or_default();
                // A connection that has ended stays readable.
                let _ = self.poll.remove(&self.daemon.events);
                self.state.problem = Some(format!("the daemon is gone since {since}, trying again: {error}"));
            }
            Err(error) => self.state.message = Some((TextStyle::Bad, error.to_string())),
        }
    }

    fn reconnect(&mut self) {
        let Ok(daemon) = self.daemon.reconnect() else { return };
        if self.poll.add(&daemon.events, EVENTS).is_ok() {
            if let Page::Log(log) = &mut self.state.page
                && log.is_live
            {
                log.is_lost = true;
                log.end();
                let message = "the connection was lost: there may be more output; q and Enter ask again";
                self.state.message = Some((TextStyle::Bad, message.to_owned()));
            }
            self.daemon = daemon;
            self.state.problem = None;
            self.state.status = None;
            self.timeline_ms = None;
        }
    }

    fn draw(&mut self) -> Result<(), Error> {
        let (width, height) = self.tty.size();
        self.screen.width = Some(width);
        self.screen.now = self.system.now();
        let lines = view::lines(&mut self.state, &self.screen, height);
        self.tty.draw(&lines)
    }

    /// Does what the keys say. Returns whether it is the end.
    fn take_keys(&mut self) -> Result<bool, Error> {
        let mut stdin = io::stdin().lock();
        let bytes = match stdin.fill_buf() {
            Ok(bytes) => bytes.to_vec(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(false),
            // The terminal is gone.
            Err(_) => return Ok(true),
        };
        stdin.consume(bytes.len());
        drop(stdin);
        if bytes.is_empty() {
            return Ok(true);
        }
        for key in keys::keys_of(&bytes) {
            match self.state.press(key) {
                Some(Action::Quit) => return Ok(true),
                Some(action) => self.act(action)?,
                None => {}
            }
        }
        Ok(false)
    }

    fn act(&mut self, action: Action) -> Result<(), Error> {
        let told = match action {
            Action::Quit => return Ok(()),
            Action::Suspend => return self.stop(),
            Action::Redraw => return self.tty.take(),
            Action::CloseLog => {
                self.daemon.output = None;
                return Ok(());
            }
            Action::OpenLog(job) => {
                self.open_log(&job);
                return Ok(());
            }
            Action::Run(job) => self.daemon.run(&job),
            Action::Pause(job) => self.daemon.pause(&job, &self.screen),
            Action::Resume(job) => self.daemon.resume(&job),
            Action::Kill(job, run) => self.daemon.kill(&job, run),
        };
        let noted = told.map(|message| self.state.message = Some(message));
        self.note(noted);
        Ok(())
    }

    fn open_log(&mut self, job: &str) {
        let Some(job) = self.state.shown().find(|known| known.job == job).cloned() else { return };
        let opened = self.daemon.open_log(&job).map(|log| self.state.page = Page::Log(log));
        self.note(opened);
        if let Some(output) = &self.daemon.output
            && let Err(error) = self.poll.add(output, OUTPUT)
        {
            self.state.message = Some((TextStyle::Bad, error.to_string()));
        }
    }

    /// Stops the program as the shell expects, and resumes when it is continued.
    fn stop(&mut self) -> Result<(), Error> {
        self.tty.give();
        stop_program().map_err(failed)?;
        self.tty.take()
    }
}

fn failed(error: io::Error) -> Error {
    Error::Output(error.into())
}
