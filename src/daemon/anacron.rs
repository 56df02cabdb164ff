//! Anacron's work where no anacron is installed: the plan says what is due, this reads the table and the stamps, hands jobs
//! out, and writes a stamp when a job has ended.

use super::debug::Topic;
use super::event_loop::{Daemon, now};
use super::settings::Settings;
use super::stamps::Stamps;
use super::tables::Told;
use crate::crontab::{Anacrontab, Severity, Unlisted};
use crate::profile::shared;
use crate::schedule::{Day, HostKey, Timestamp, Zones};
use crate::scheduler::{
    Action, Anacron, Evidence, Occasion, Owner, RunId, RunOutcome, RunRequest, Running, Scheduler, anacron_source,
};
use crate::spool::{Found, Refusal, unreadable};
use crate::sys::files;
use crate::sys::host::{self, Boot};
use crate::sys::power;
use crate::sys::state_file;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What is remembered of a running job across a restart: its name in the run directory.
const MEMORY: &str = "crond.anacron";
/// Most bytes of it.
const MEMORY_LIMIT: usize = 64 << 10;

/// Most bytes of /etc/anacrontab. Each job keeps the settings above it, so that a table of this size makes some ten megabytes.
const LARGEST_TABLE: usize = 64 << 10;
/// Most bytes of what is remembered of a running job, and of the reference implementations' settings.
const LARGEST_FILE: usize = 64 << 10;

/// Everything that is kept between two looks.
#[derive(Debug)]
pub struct Work {
    plan: Anacron,
    table: PathBuf,
    stamps: Stamps,
    memory: PathBuf,
    boot: String,
    host: HostKey,
    /// What the table held when it was last read.
    content: Option<Vec<u8>>,
    /// Why it was refused, as it was said.
    refusal: Option<String>,
    /// A job that an earlier daemon has started, as a process.
    inherited: Option<(u32, String)>,
    wanted: Option<Occasion>,
    /// Whether the last look was left out for the battery's sake.
    on_battery: bool,
}

impl Work {
    /// For the system's daemon; nobody else does anacron's work.
    pub fn new(settings: &Settings, host: HostKey, boot: &Boot) -> Option<Work> {
        let wanted = !settings.is_standalone() && !settings.debug.has(Topic::Test);
        wanted.then(|| Work {
            plan: Anacron::default(),
            table: settings.config.anacrontab.clone(),
            stamps: Stamps::new(&settings.config.anacron_stamps),
            memory: settings.config.run_dir.join(MEMORY),
            boot: boot.id.clone(),
            host,
            content: None,
            refusal: None,
            inherited: None,
            wanted: Some(Occasion::Regular),
            on_battery: false,
        })
    }

    /// When something is to be done next.
    pub fn wake_at(&self) -> Option<Timestamp> {
        self.plan.wake_at()
    }

    /// Whether a look was asked for, or it is time for something.
    fn has_to_do(&self, moment: Timestamp) -> bool {
        self.wanted.is_some() || self.wake_at().is_some_and(|at| at <= moment)
    }

    /// Asks for a look. One after a jump does all that one after a change does.
    pub fn ask_for_look(&mut self, occasion: Occasion) {
        if occasion != Occasion::Change || self.wanted.is_none() {
            self.wanted = Some(occasion);
        }
    }

    /// Finds a job that an earlier daemon of this boot has left running, or that has ended since.
    fn inherit(&mut self) {
        let Some(left) = state_file::read(&self.memory, MEMORY_LIMIT).ok().and_then(|text| Left::parse(&text)) else {
            return;
        };
        if left.boot == self.boot {
            self.inherited = Some((left.pid, left.started));
            self.plan.inherit(Running { id: left.id, day: left.day, run: None });
        } else {
            self.forget();
        }
    }

    /// Whether the inherited job, if there is one, runs no more.
    fn inherited_has_ended(&self) -> bool {
        self.inherited.as_ref().is_some_and(|(pid, started)| host::process_started(*pid).as_ref() != Some(started))
    }

    /// What of ours has that run.
    fn running(&self, run: RunId) -> Option<&Running> {
        self.plan.running().filter(|running| running.run == Some(run))
    }

    /// Remembers a job that runs, for the next daemon.
    fn remember(&self, running: &Running, pid: u32) -> io::Result<()> {
        let started = host::process_started(pid).unwrap_or_default();
        let left = Left { boot: self.boot.clone(), pid, started, day: running.day, id: running.id.clone() };
        state_file::replace(&self.memory, &left.text(), 0o600)
    }

    fn forget(&self) {
        // It was not there if the job had ended before it could be remembered.
        let _ = fs::remove_file(&self.memory);
    }

    /// Reads the table. What is wrong with it is said when it has changed.
    fn read_table(&mut self, settings: &Settings, told: &mut Vec<Told>) {
        if files::is_executable(shared::ANACRON) {
            (self.content, self.refusal) = (None, None);
            return self.plan.set_table(None);
        }
        let bytes = match read_table(settings) {
            Some((_, Ok(bytes))) => bytes,
            Some((_, Err(refusal))) => {
                let said = refusal.text();
                if said != self.refusal {
                    told.extend(super::tables::refusal_told(settings.config.site, &refusal));
                }
                (self.content, self.refusal) = (None, said);
                return self.plan.set_table(None);
            }
            None => {
                (self.content, self.refusal) = (None, None);
                return self.plan.set_table(None);
            }
        };
        self.refusal = None;
        if self.content.as_ref() == Some(&bytes) {
            return;
        }
        let path = self.table.to_string_lossy();
        let (tab, diagnostics) = Anacrontab::parse(&bytes, &path, self.host);
        super::tables::complain(settings.config.site, &anacron_source(&path), &diagnostics, Unlisted::default(), told);
        self.plan.set_table(Some(tab));
        self.content = Some(bytes);
    }
}

/// The table's path and its bytes, or why they may not be used. None: there is no table.
fn read_table(settings: &Settings) -> Option<(String, Result<Vec<u8>, Refusal>)> {
    let Found { source, content, .. } = settings.finder().open_as_system(&settings.config.anacrontab)?;
    let bytes = content.and_then(|file| {
        file.bytes(LARGEST_TABLE).map_err(|error| unreadable(&source, &error, settings.config.site.profile))
    });
    Some((source.path, bytes))
}

/// Whether anacron's jobs wait while the machine runs on its battery, as they do unless the reference implementations' setting says otherwise.
fn spares_battery() -> bool {
    let text = files::read_text(Path::new(shared::ANACRON_DEFAULTS), LARGEST_FILE).unwrap_or_default();
    let mut values = text.lines().filter_map(|line| line.trim().strip_prefix("ANACRON_RUN_ON_BATTERY_POWER="));
    values.next_back().is_none_or(|value| value.trim_matches(['"', '\'']) != "yes")
}

/// What a look is told of the world.
struct Seen<'a> {
    stamps: &'a Stamps,
    plan: &'a Scheduler,
}

impl Evidence for Seen<'_> {
    fn stamp(&self, id: &[u8]) -> Option<Day> {
        self.stamps.read(id)
    }

    fn regular(&self, directory: &str, after: Timestamp) -> Option<Timestamp> {
        self.plan.runs_directory_after(directory, after)
    }
}

/// One line: boot, process, when it was started, day, name.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    boot: String,
    pid: u32,
    started: String,
    day: Day,
    id: Vec<u8>,
}

impl Left {
    fn text(&self) -> Vec<u8> {
        let mut text = format!("{} {} {} {} ", self.boot, self.pid, self.started, self.day).into_bytes();
        text.extend_from_slice(&self.id);
        text.push(b'\n');
        text
    }

    fn parse(text: &[u8]) -> Option<Left> {
        let mut fields = text.strip_suffix(b"\n")?.splitn(5, |byte| *byte == b' ');
        let mut word = || fields.next();
        let string = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
        Some(Left {
            boot: string(word()?)?,
            pid: string(word()?)?.parse().ok()?,
            started: string(word()?)?,
            day: Day::parse(word()?)?,
            id: word()?.to_vec(),
        })
    }
}

impl Daemon {
    /// Takes up what an earlier daemon has left, and reads the table: the first starts may count for it.
    pub(super) fn begin_anacron(&mut self) {
        let Some(mut work) = self.anacron.take() else { return };
        work.inherit();
        self.read_anacrontab(&mut work);
        self.anacron = Some(work);
    }

    fn read_anacrontab(&mut self, work: &mut Work) {
        let mut told = Vec::new();
        work.read_table(&self.settings, &mut told);
        told.iter().for_each(|told| self.tell(told));
    }

    /// Looks, if it is time to, and hands out the next job, if its time has come. Everything else that is due has been
    /// handed out: a line of a system table that counts as a run has been seen.
    pub(super) fn run_anacron(&mut self) {
        if self.stopping.is_some() || !self.todo.is_empty() {
            return;
        }
        let moment = now().utc;
        let hinted = self.library.take_anacron_hint();
        // Out of our hands for a moment, so that it and the plan can be asked together.
        let Some(mut work) = self.anacron.take_if(|work| hinted || work.has_to_do(moment)) else { return };
        if hinted {
            work.ask_for_look(Occasion::Change);
        }
        if work.plan.wants_to_look(moment) {
            work.ask_for_look(Occasion::Regular);
        }
        if let Some(occasion) = work.wanted.take() {
            self.look_for_anacron(&mut work, occasion, moment);
        }
        if let Some(start) = self.next_of_anacron(&mut work, moment) {
            self.todo.push_back(Action::Start(Box::new(start)));
        }
        self.anacron = Some(work);
    }

    fn look_for_anacron(&mut self, work: &mut Work, occasion: Occasion, moment: Timestamp) {
        if work.inherited_has_ended() {
            work.inherited = None;
            if let Some(ended) = work.plan.inherited_ended() {
                work.forget();
                self.stamp(work, &ended.id, ended.day);
            }
        }
        self.read_anacrontab(work);
        let zone = self.library.zones().system();
        let was_on_battery = std::mem::replace(&mut work.on_battery, spares_battery() && power::is_on_battery());
        if work.on_battery {
            if work.plan.is_active() && !was_on_battery {
                self.say("INFO", "on battery: what is due of the jobs by days waits");
            }
            return work.plan.pass(moment, &zone);
        }
        let seen = Seen { stamps: &work.stamps, plan: &self.plan };
        for planned in work.plan.look(occasion, &seen, moment, &zone) {
            let id = String::from_utf8_lossy(&planned.job.id);
            self.say("INFO", &format!("anacron job {id} is due, to start at {}", zone.to_rfc3339(planned.at)));
        }
    }

    /// The next job whose time has come, unless somebody else has seen to it meanwhile.
    fn next_of_anacron(&mut self, work: &mut Work, moment: Timestamp) -> Option<RunRequest> {
        while let Some(planned) = work.plan.take_next(moment) {
            let zone = self.library.zones().system();
            let seen = Seen { stamps: &work.stamps, plan: &self.plan };
            let due = work.plan.is_still_due(&planned, &seen, moment, &zone);
            if !due || files::is_executable(shared::ANACRON) {
                continue;
            }
            if let Err(why) = work.stamps.prepare(&planned.job.id) {
                self.warn(&format!("{why}; the job is not started"));
                work.plan.set_aside(&planned.job.id);
                continue;
            }
            let run = self.plan.new_run();
            work.plan.started(&planned, run);
            return Some(planned.start(run, anacron_source(&work.table.to_string_lossy())));
        }
        None
    }

    /// A line of a system table may count as the run of a job.
    pub(super) fn count_for_anacron(&mut self, start: &RunRequest) {
        if start.source.owner != Owner::System {
            return;
        }
        let Some(mut work) = self.anacron.take() else { return };
        if work.plan.is_active() && Path::new(&start.source.path) != work.table {
            let ids = work.plan.counts_as_run_of(&start.command);
            if !ids.is_empty() && !files::is_executable(shared::ANACRON) {
                let today = Day::at(now().utc, &self.library.zones().system());
                ids.iter().for_each(|id| self.stamp(&work, id, today));
            }
        }
        self.anacron = Some(work);
    }

    /// Whether that run is a anacron job: its process is to be remembered.
    pub(super) fn is_of_anacron(&self, run: RunId) -> bool {
        self.anacron.as_ref().is_some_and(|work| work.running(run).is_some())
    }

    /// The executor has started something.
    pub(super) fn started_for_anacron(&mut self, run: RunId, pid: u32) {
        let Some((work, running)) = self.anacron.as_ref().and_then(|work| Some((work, work.running(run)?))) else {
            return;
        };
        if let Err(why) = work.remember(running, pid) {
            let path = work.memory.display().to_string();
            self.warn(&format!("writing {path}: {why}"));
        }
    }

    /// Something has ended; if it was a anacron job, its stamp is written, whatever its exit status.
    pub(super) fn ended_for_anacron(&mut self, run: RunId, end: &RunOutcome) {
        let Some(mut work) = self.anacron.take_if(|work| work.running(run).is_some()) else { return };
        if let Some(ended) = work.plan.ended(run) {
            work.forget();
            match end {
                RunOutcome::NotStarted { .. } | RunOutcome::Skipped(_) => work.plan.set_aside(&ended.id),
                RunOutcome::Code(_) | RunOutcome::Signal { .. } | RunOutcome::Lost => {
                    self.stamp(&work, &ended.id, ended.day)
                }
            }
        }
        self.anacron = Some(work);
    }

    fn stamp(&mut self, work: &Work, id: &[u8], day: Day) {
        if let Err(why) = work.stamps.write(id, day) {
            self.warn(&why.to_string());
        }
    }
}

/// `crond --check`: what is wrong with the table, as pictures; none when it is not there.
pub fn check(settings: &Settings, host: HostKey) -> Option<Checked> {
    let (path, content) = read_table(settings)?;
    Some(match content {
        Ok(bytes) => {
            let (tab, diagnostics) = Anacrontab::parse(&bytes, &path, host);
            let errors = diagnostics.iter().filter(|said| said.severity == Severity::Error).count();
            Checked::Read {
                jobs: tab.jobs.len(),
                errors,
                warnings: diagnostics.len() - errors,
                pictures: diagnostics.iter().map(|said| said.picture(&path)).collect(),
            }
        }
        Err(refusal) => Checked::Refused(format!("{path}: refused: {}", refusal.text().unwrap_or_default())),
    })
}

/// What a check has found.
#[derive(Debug)]
pub enum Checked {
    /// It was read.
    Read {
        /// Jobs in it.
        jobs: usize,
        /// Lines that do not run.
        errors: usize,
        /// Doubtful lines.
        warnings: usize,
        /// All of them, with their places.
        pictures: String,
    },
    /// It was not, and why.
    Refused(String),
}
