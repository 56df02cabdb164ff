//! Crontabs that are named on the command line. Their jobs run as the caller.

use crate::scheduler::{Owner, Source};
use crate::spool::{Found, TableFile, watched_directories};
use crate::sys::error::OsError;
use crate::sys::files;
use crate::sys::stamp::Stamp;
use crate::users::caller_name;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The crontabs on the command line.
#[derive(Debug)]
pub struct StandaloneFiles {
    paths: Vec<PathBuf>,
    /// The name of the caller in the log.
    caller: String,
}

/// Why a file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("{}", describe(path, source))]
pub struct StandaloneFilesError {
    /// The file that cannot be used.
    pub path: PathBuf,
    /// The reason as the kernel gives it.
    pub source: OsError,
}

/// What cannot be read, and what was expected.
fn describe(path: &Path, why: &io::Error) -> String {
    let (shown, reason) = (path.display(), files::reason(why));
    match why.kind() {
        io::ErrorKind::IsADirectory => format!(
            "reading {shown}: {reason}; expected a crontab (--spool DIR and --cron-d DIR name directories of crontabs)"
        ),
        io::ErrorKind::NotFound => format!("reading {shown}: {reason}; expected options or the names of crontabs"),
        _ => format!("reading {shown}: {reason}"),
    }
}

impl StandaloneFiles {
    /// Makes the paths absolute, as those of watched directories are.
    ///
    /// # Errors
    ///
    /// A path is empty, or there is no current directory.
    pub fn new(paths: &[PathBuf]) -> Result<StandaloneFiles, StandaloneFilesError> {
        let absolute = |path: &PathBuf| {
            std::path::absolute(path)
                .map_err(|source| StandaloneFilesError { path: path.clone(), source: source.into() })
        };
        Ok(StandaloneFiles { paths: paths.iter().map(absolute).collect::<Result<_, _>>()?, caller: caller_name() })
    }

    /// The absolute paths of the files, in the order in which they were named.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Checks that all files can be opened, as a daemon with nothing to run must not start.
    ///
    /// # Errors
    ///
    /// A file cannot be opened.
    pub fn check_readable(&self) -> Result<(), StandaloneFilesError> {
        for path in &self.paths {
            // A FIFO is not opened, as that would take its content.
            std::fs::metadata(path)
                .and_then(|file| match (file.is_dir(), file.is_file()) {
                    (true, _) => Err(io::ErrorKind::IsADirectory.into()),
                    (_, true) => File::open(path).map(drop),
                    (false, false) => Ok(()),
                })
                .map_err(|source| StandaloneFilesError { path: path.clone(), source: source.into() })?;
        }
        Ok(())
    }

    /// Opens one of the files. A FIFO, as the shell makes for `<(...)`, can be read only once.
    ///
    /// # Errors
    ///
    /// The file cannot be opened.
    pub fn open(&self, path: &Path) -> Result<Found, StandaloneFilesError> {
        let failed = |source: io::Error| StandaloneFilesError { path: path.to_owned(), source: source.into() };
        let file = File::open(path).map_err(failed)?;
        let stat = files::stat(&file).map_err(failed)?;
        Ok(Found {
            source: Source {
                path: path.to_string_lossy().into_owned(),
                name: self.caller.clone(),
                owner: Owner::Caller,
            },
            stamp: Stamp::from(&stat),
            content: Ok(TableFile::new(file.into(), stat.size)),
            watch: watched_directories(path),
        })
    }

    /// The stamp of one of the files. None: it does not exist, or cannot be read twice.
    pub fn stamp(&self, path: &Path) -> Option<Stamp> {
        if !path.is_file() {
            return None;
        }
        files::stat(&File::open(path).ok()?).ok().map(|stat| Stamp::from(&stat))
    }
}
