//! Tables given by name on the command line, which belong to the caller.

use crate::scheduler::{Owner, Source};
use crate::spool::{Found, TableFile, watched_directories};
use crate::sys::files;
use crate::sys::stamp::Stamp;
use crate::users::caller_name;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The given files.
#[derive(Debug)]
pub struct StandaloneFiles {
    paths: Vec<PathBuf>,
    /// What the log calls the caller.
    caller: String,
}

/// Why a given file cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("reading {}: {}", path.display(), files::reason(source))]
pub struct StandaloneFilesError {
    /// The file.
    pub path: PathBuf,
    /// What the kernel said.
    pub source: io::Error,
}

impl StandaloneFiles {
    /// These files, by absolute paths, so that a watcher and we call them the same.
    pub fn new(paths: &[PathBuf]) -> Result<StandaloneFiles, StandaloneFilesError> {
        let absolute = |path: &PathBuf| {
            std::path::absolute(path).map_err(|source| StandaloneFilesError { path: path.clone(), source })
        };
        Ok(StandaloneFiles { paths: paths.iter().map(absolute).collect::<Result<_, _>>()?, caller: caller_name() })
    }

    /// The files.
    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    /// Whether all of them can be opened: a daemon with nothing to run must not start.
    pub fn require(&self) -> Result<(), StandaloneFilesError> {
        for path in &self.paths {
            // A FIFO would give its content to this look, were it read.
            std::fs::metadata(path)
                .and_then(|file| if file.is_file() { File::open(path).map(drop) } else { Ok(()) })
                .map_err(|source| StandaloneFilesError { path: path.clone(), source })?;
        }
        Ok(())
    }

    /// Opens one of them. A FIFO, as the shell makes for `<(...)`, gives its content only once.
    pub fn open(&self, path: &Path) -> Result<Found, StandaloneFilesError> {
        let failed = |source| StandaloneFilesError { path: path.to_owned(), source };
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

    /// The state of one of them; none when it is not there, or is nothing that can be read twice.
    pub fn stamp(&self, path: &Path) -> Option<Stamp> {
        if !path.is_file() {
            return None;
        }
        files::stat(&File::open(path).ok()?).ok().map(|stat| Stamp::from(&stat))
    }
}
