//! FILE and `-`: reads a new crontab with the caller's privileges, checks it, and installs the checked text.

use super::backup;
use super::check::{Warnings, check};
use super::cli::Input;
use super::failure::Failure;
use super::header;
use super::messages;
use super::session::Session;
use crate::crontab::printable;
use crate::profile::ProfileName;
use crate::sys::files::{self, Stat};
use crate::sys::interrupts::BlockedSignals;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// What to do with a valid crontab.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AfterCheck {
    /// Install it, with or without a backup of the previous one.
    Install {
        /// Whether to make a backup (cronie without `-b`).
        backup: bool,
    },
    /// Nothing; it was only to be checked.
    Nothing,
}

/// A new crontab: its text and its name.
#[derive(Debug)]
pub struct NewTable {
    pub text: Vec<u8>,
    /// `-`, or the file's name as given.
    pub file: String,
}

/// Replaces the user's crontab by a new one.
pub fn replace(session: &Session<'_>, input: &Input, after: AfterCheck) -> Result<(), Failure> {
    let mut table = read(session, input)?;
    if let Some(context) = &session.context {
        table.text.splice(0..0, context.context_setting());
    }
    check_and_install(session, &table, after)
}

/// Checks a crontab without installing it.
pub fn test(session: &Session<'_>, input: &Input) -> Result<(), Failure> {
    let closing = session.words.faulty_check;
    match input {
        Input::Stdin => {
            check(session, &mut std::io::stdin().lock(), 0, "-", closing)?;
        }
        Input::File(path) => {
            let (mut file, stat) = open(session, path)?;
            check(session, &mut file, stat.size, &path.to_string_lossy(), closing)?;
        }
    }
    messages::warn(session.words.valid);
    Ok(())
}

/// Checks a crontab, and installs it if it is valid and `after` asks for it.
fn check_and_install(session: &Session<'_>, table: &NewTable, after: AfterCheck) -> Result<(), Failure> {
    check_new(session, table)?;
    finish(session, table, after)
}

/// Checks a new crontab, and shows its faults.
pub fn check_new(session: &Session<'_>, table: &NewTable) -> Result<Warnings, Failure> {
    let size = table.text.len() as u64;
    check(session, &mut table.text.as_slice(), size, &table.file, session.words.faulty)
}

/// Installs a valid crontab if `after` asks for it.
pub fn finish(session: &Session<'_>, table: &NewTable, after: AfterCheck) -> Result<(), Failure> {
    match after {
        AfterCheck::Nothing => {
            messages::warn(session.words.valid);
            Ok(())
        }
        AfterCheck::Install { backup } => {
            if backup {
                backup::keep(session)?;
            }
            install(session, table)
        }
    }
}

fn install(session: &Session<'_>, table: &NewTable) -> Result<(), Failure> {
    let mut bytes = match session.profile.profile {
        ProfileName::Debian => header::header(&printable(table.file.as_bytes())),
        ProfileName::Cronie => Vec::new(),
    };
    bytes.try_reserve_exact(table.text.len()).map_err(|_| Failure::Input {
        path: table.file.as_str().into(),
        source: std::io::ErrorKind::OutOfMemory.into(),
    })?;
    bytes.extend_from_slice(&table.text);
    let name = &session.user.name;
    {
        // A signal in between would leave a temporary file behind. If signals cannot be blocked, the daemon removes the file
        // later.
        let _blocked = BlockedSignals::now();
        session.with_spool(|spool| spool.replace(name, &bytes, session.give_to()))?;
    }
    session.wake_daemon();
    session.log("REPLACE", name);
    Ok(())
}

fn read(session: &Session<'_>, input: &Input) -> Result<NewTable, Failure> {
    match input {
        Input::Stdin => {
            let path = Path::new("-");
            let text = read_whole(session, std::io::stdin(), 0, path)?;
            Ok(NewTable { text, file: "-".to_owned() })
        }
        Input::File(path) => {
            let (file, stat) = open(session, path)?;
            let text = read_whole(session, &file, stat.size, path)?;
            Ok(NewTable { text, file: path.to_string_lossy().into_owned() })
        }
    }
}

/// Opens a file with the caller's privileges.
fn open(session: &Session<'_>, path: &PathBuf) -> Result<(File, Stat), Failure> {
    let failed = |source: std::io::Error| Failure::Input { path: path.clone(), source: source.into() };
    let file = File::open(path).map_err(failed)?;
    let stat = files::stat(&file).map_err(failed)?;
    match session.profile.profile {
        ProfileName::Debian if !stat.is_regular() => return Err(Failure::InputNotRegular { path: path.clone() }),
        ProfileName::Cronie if stat.is_directory() => return Err(Failure::InputDirectory { path: path.clone() }),
        ProfileName::Debian | ProfileName::Cronie => {}
    }
    Ok((file, stat))
}

/// Reads a new crontab. One that is too large is read just far enough for the check to refuse it.
fn read_whole(session: &Session<'_>, fd: impl AsFd, expected: u64, path: &Path) -> Result<Vec<u8>, Failure> {
    let most = session.profile.dialect.limits.user_bytes as usize;
    files::read_up_to(fd, expected, most + 1)
        .map_err(|source| Failure::Input { path: path.to_path_buf(), source: source.into() })
}
