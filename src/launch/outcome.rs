//! Outcomes that a runner leaves in the run directory when main is gone, for the next main to take.
//!
//! The directory `crond.outcomes` in the run directory (0700) holds one file for each run that ended, `PID-NUMBER.json`: one [`LeftRun`]
//! as a JSON object; and one file `PID.started` for each runner that lost its main: the latest due moment (seconds of UTC, decimal)
//! among the starts that it was given. Files are written under a name that begins with `.` and renamed, so a reader sees whole ones only.

use crate::plan::{End, JobId, RunId, Start};
use crate::sys::state_file;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const DIRECTORY: &str = "crond.outcomes";
/// Most bytes of a file in it.
const LONGEST_OUTCOME: usize = 16 << 20;

/// How a run ended that an earlier main started.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LeftRun {
    /// The run.
    pub run: RunId,
    /// The job that it was a run of.
    pub job: JobId,
    /// The moment for which it was started, seconds of UTC.
    pub scheduled_at: i64,
    /// How it ended.
    pub end: End,
    /// How long it ran.
    pub duration_ms: u64,
}

impl LeftRun {
    /// The end of a run of that start.
    pub(super) fn of(start: &Start, end: End, duration_ms: u64) -> LeftRun {
        LeftRun { run: start.run, job: start.job.clone(), scheduled_at: start.scheduled_at, end, duration_ms }
    }
}

/// What earlier runners left.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Leftovers {
    /// Runs that ended after their main was gone.
    pub runs: Vec<LeftRun>,
    /// The latest due moment (seconds of UTC) that was handed to a runner whose main ended: what was due up to then has been started.
    pub handed_over: Option<i64>,
}

/// Why outcomes could not be taken or left.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}: {source}", path.display())]
pub struct OutcomeError {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

fn failed(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> OutcomeError {
    move |source| OutcomeError { doing, path: path.to_owned(), source }
}

/// Takes what earlier runners left in that run directory: reads it and removes it. A file that cannot be read is removed as well.
pub fn take_leftovers(run_dir: &Path) -> Result<Leftovers, OutcomeError> {
    let directory = run_dir.join(DIRECTORY);
    let mut left = Leftovers::default();
    // What is listed is removed: a link in place of the directory must not lead to the files of others.
    if fs::symlink_metadata(&directory).is_ok_and(|there| !there.is_dir()) {
        return Ok(left);
    }
    let listed = match fs::read_dir(&directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(left),
        listed => listed.map_err(failed("reading", &directory))?,
    };
    for entry in listed {
        let path = entry.map_err(failed("reading", &directory))?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or(".");
        if name.starts_with('.') {
            continue;
        }
        let bytes = match state_file::read(&path, LONGEST_OUTCOME) {
            Ok(bytes) => bytes,
            Err(_) => {
                // Not written by a runner. What cannot be removed either, such as a directory, is left alone.
                let _ = fs::remove_file(&path);
                continue;
            }
        };
        if name.ends_with(".started") {
            let moment = std::str::from_utf8(&bytes).ok().and_then(|text| text.trim().parse().ok());
            left.handed_over = left.handed_over.max(moment);
        } else if let Ok(run) = serde_json::from_slice(&bytes) {
            left.runs.push(run);
        }
        fs::remove_file(&path).map_err(failed("removing", &path))?;
    }
    left.runs.sort_by_key(|run| (run.scheduled_at, run.run));
    Ok(left)
}

/// Where a runner leaves outcomes.
#[derive(Debug)]
pub(super) struct OutcomeBox {
    directory: PathBuf,
    pid: u32,
    next: u64,
}

impl OutcomeBox {
    pub(super) fn new(run_dir: &Path, pid: u32) -> OutcomeBox {
        OutcomeBox { directory: run_dir.join(DIRECTORY), pid, next: 0 }
    }

    pub(super) fn leave(&mut self, run: &LeftRun) -> Result<(), OutcomeError> {
        let bytes = serde_json::to_vec(run).map_err(io::Error::from).map_err(failed("writing", &self.directory))?;
        self.next += 1;
        self.write(&format!("{}-{}.json", self.pid, self.next), &bytes)
    }

    pub(super) fn leave_handed_over(&self, moment: i64) -> Result<(), OutcomeError> {
        self.write(&format!("{}.started", self.pid), format!("{moment}\n").as_bytes())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), OutcomeError> {
        match fs::DirBuilder::new().mode(0o700).create(&self.directory) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(failed("making", &self.directory)(error));
            }
            _ => {}
        }
        let (hidden, path) = (self.directory.join(format!(".{name}")), self.directory.join(name));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
            .open(&hidden)
            .map_err(failed("writing", &hidden))?;
        file.write_all(bytes).map_err(failed("writing", &hidden))?;
        fs::rename(&hidden, &path).map_err(failed("renaming", &hidden))
    }
}
