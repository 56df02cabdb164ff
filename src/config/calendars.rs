//! Calendar files, which `CRON_EXCEPT` names.

use crate::crontab::{Calendars, FaultyCalendar, is_calendar_name, parse_calendar};
use crate::schedule::Day;
use crate::sys::error::OsError;
use crate::sys::files::{self, Links, reason};
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// The largest calendar file, in bytes.
const LARGEST_FILE: usize = 64 << 10;
/// The maximum number of calendar files.
const MOST_FILES: usize = 1000;

/// The calendars of a directory, as they were read last.
#[derive(Debug)]
pub struct SystemCalendars {
    directory: PathBuf,
    calendars: Calendars,
    /// What is wrong with files, or with the directory.
    faults: BTreeMap<String, String>,
}

/// Why a calendar is not used.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{0}")]
    Unreadable(#[source] OsError),
    #[error("expected a regular file")]
    NotRegular,
    #[error("expected a file of root, found one of user id {0}")]
    ForeignOwner(u32),
    #[error("expected a file that only root may write, found mode {0:03o}")]
    Writable(u32),
    #[error("expected at most {LARGEST_FILE} bytes, found more")]
    TooLarge,
    #[error("{0}")]
    Faulty(#[from] FaultyCalendar),
}

impl From<io::Error> for Fault {
    fn from(error: io::Error) -> Fault {
        Fault::Unreadable(error.into())
    }
}

impl SystemCalendars {
    /// The calendars of a directory, none of which has been read.
    pub fn new(directory: PathBuf) -> SystemCalendars {
        SystemCalendars { directory, calendars: Calendars::default(), faults: BTreeMap::new() }
    }

    /// Reads all calendars. A directory that does not exist has none.
    pub fn read(directory: &Path) -> SystemCalendars {
        let mut read = SystemCalendars::new(directory.to_owned());
        if let Err(error) = read.read_all()
            && error.kind() != io::ErrorKind::NotFound
        {
            read.faults.insert(String::new(), reason(&error));
        }
        read
    }

    /// Reads everything again. Returns what is newly wrong, without text of the files. None: nothing has changed.
    pub fn refresh(&mut self) -> Option<Vec<String>> {
        let fresh = SystemCalendars::read(&self.directory);
        let before = std::mem::replace(self, fresh);
        if self.calendars == before.calendars && self.faults == before.faults {
            return None;
        }
        let is_new = |(name, why): &(&String, &String)| before.faults.get(*name) != Some(*why);
        let new = self.faults.iter().filter(is_new).map(|(name, why)| self.fault(name, why));
        let is_gone = |name: &&str| !self.calendars.contains(name) && !self.faults.contains_key(*name);
        let gone = before.calendars.names().filter(is_gone).map(|name| self.fault(name, "it is gone"));
        Some(new.chain(gone).collect())
    }

    /// The calendars that could be read.
    pub fn calendars(&self) -> &Calendars {
        &self.calendars
    }

    /// What is wrong: the path and the reason, without text of the files.
    pub fn faults(&self) -> impl Iterator<Item = String> {
        self.faults.iter().map(|(name, why)| self.fault(name, why))
    }

    fn fault(&self, name: &str, why: &str) -> String {
        match name {
            "" => format!("calendars in {}: {why}", self.directory.display()),
            _ => format!("calendar {} is not used: {why}", self.directory.join(name).display()),
        }
    }

    fn read_all(&mut self) -> io::Result<()> {
        let directory = files::open_dir(&self.directory)?;
        let mut names: Vec<CString> = Vec::new();
        files::names(files::reopen_dir(&directory)?, &mut |name, _| {
            if is_name(name) && names.len() <= MOST_FILES {
                names.push(name.to_owned());
            }
        })?;
        if names.len() > MOST_FILES {
            names.truncate(MOST_FILES);
            self.faults.insert(String::new(), format!("expected at most {MOST_FILES} calendars, found more"));
        }
        for name in names {
            let text = name.to_string_lossy();
            match read_one(&directory, &name) {
                Ok(days) => self.calendars.insert(&text, days),
                Err(fault) => drop(self.faults.insert(text.into_owned(), fault.to_string())),
            }
        }
        Ok(())
    }
}

fn read_one(directory: &OwnedFd, name: &CStr) -> Result<Vec<(Day, Day)>, Fault> {
    let file = files::open_at(directory, name, Links::Refused)?;
    let stat = files::stat(&file)?;
    if !stat.is_regular() {
        return Err(Fault::NotRegular);
    }
    if stat.uid != 0 {
        return Err(Fault::ForeignOwner(stat.uid));
    }
    if stat.permissions() & 0o022 != 0 {
        return Err(Fault::Writable(stat.permissions()));
    }
    let bytes = files::read_all(&file, stat.size, LARGEST_FILE)?.ok_or(Fault::TooLarge)?;
    Ok(parse_calendar(&bytes)?)
}

/// Whether a file may be a calendar: the names that `CRON_EXCEPT` takes. Editors leave others behind.
fn is_name(name: &CStr) -> bool {
    let bytes = name.to_bytes();
    !bytes.starts_with(b".") && is_calendar_name(bytes)
}
