//! Installs and removes crontabs. An interruption at any point leaves the old crontab or the new one.
//!
//! The functions act on the spool only. The caller runs them, and nothing else, with the privileges of a set-id program.

use super::names::is_safe_component;
use crate::profile::{Profile, ProfileName};
use crate::sys::created::{CreatedDirectory, CreatedFile};
use crate::sys::error::OsError;
use crate::sys::files::{self, Links, Stat};
use crate::sys::stamp::Stamp;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// The mode of a user's crontab.
const TABLE_MODE: u32 = 0o600;

/// The prefix of temporary files in the spool. The daemon of each reference implementation ignores its own.
fn temporary_prefix(profile: ProfileName) -> &'static str {
    match profile {
        ProfileName::Debian => "tmp.",
        ProfileName::Cronie => "#tmp.",
    }
}

/// The number of random letters and digits at its end.
fn temporary_letters(profile: ProfileName) -> usize {
    match profile {
        ProfileName::Debian => 6,
        ProfileName::Cronie => 10,
    }
}

/// Whether it is the name of a temporary file of crontab, ours or that of the profile's reference implementation.
pub fn is_temporary(name: &[u8], profile: ProfileName) -> bool {
    let Some(rest) = name.strip_prefix(temporary_prefix(profile).as_bytes()) else { return false };
    let Some((host, letters)) = rest.split_at_checked(rest.len().wrapping_sub(temporary_letters(profile))) else {
        return false;
    };
    let is_host = match profile {
        ProfileName::Debian => host.is_empty(),
        ProfileName::Cronie => host.ends_with(b"."),
    };
    is_host && letters.iter().all(u8::is_ascii_alphanumeric)
}

/// The step of an operation on the spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Opening the spool directory.
    OpenSpool,
    /// Creating the spool directory.
    CreateSpool,
    /// Opening a user's crontab.
    Open,
    /// Reading a user's crontab.
    Read,
    /// Creating a temporary file.
    Create,
    /// Writing the temporary file.
    Write,
    /// Setting the mode of the temporary file.
    SetMode,
    /// Changing the owner of the temporary file.
    SetOwner,
    /// Syncing the temporary file to disk.
    Sync,
    /// Renaming the temporary file.
    Rename,
    /// Syncing the rename to disk.
    SyncName,
    /// Removing a user's crontab.
    Remove,
}

impl Step {
    /// The step in words, for a message.
    pub fn doing(self) -> &'static str {
        match self {
            Step::OpenSpool => "opening the spool directory",
            Step::CreateSpool => "making the spool directory",
            Step::Open => "opening the table",
            Step::Read => "reading the table",
            Step::Create => "making a temporary file in the spool",
            Step::Write => "writing the new table",
            Step::SetMode => "setting the new table's mode",
            Step::SetOwner => "changing the owner of the new table",
            Step::Sync => "writing the new table to the disk",
            Step::Rename => "renaming the new table",
            Step::SyncName => "writing the new table's name to the disk",
            Step::Remove => "removing the table",
        }
    }
}

/// Why an operation on the spool failed.
#[derive(Debug, thiserror::Error)]
pub enum SpoolError {
    /// A system call failed. At [`Step::SyncName`] the new crontab is in place, but may be lost in a power failure. At every
    /// earlier step the old one is unchanged.
    #[error("{}: {}: {source}", path.display(), step.doing())]
    Os {
        /// The step of the operation that failed.
        step: Step,
        /// The path of the spool or of the crontab.
        path: PathBuf,
        /// The error of the system call.
        source: OsError,
    },
    /// The name cannot be that of a user's crontab.
    #[error("`{}` cannot be the name of a table", name.escape_default())]
    UnsafeName {
        /// The name that was given.
        name: String,
    },
    /// There is something of that name that is not a regular file.
    #[error("{}: not a regular file", path.display())]
    NotRegular {
        /// The path of the crontab.
        path: PathBuf,
    },
    /// The crontab belongs to another user.
    #[error("{}: belongs to another user", path.display())]
    ForeignOwner {
        /// The path of the crontab.
        path: PathBuf,
    },
    /// The crontab exceeds the size limit.
    #[error("{}: larger than a table may be", path.display())]
    TooLarge {
        /// The path of the crontab.
        path: PathBuf,
    },
}

/// The current content of a user's crontab.
#[derive(Debug)]
pub struct CurrentTable {
    /// The content of the file, as bytes.
    pub bytes: Vec<u8>,
    /// The stamp of the file.
    pub stamp: Stamp,
}

/// The spool directory, open, with the rules for its files.
#[derive(Debug)]
pub struct Spool {
    dir: OwnedFd,
    path: PathBuf,
    profile: &'static Profile,
}

impl Spool {
    /// Opens the spool directory as a path descriptor. It need not be readable, as Debian's is not.
    pub fn open(path: &Path, profile: &'static Profile) -> Result<Spool, SpoolError> {
        let os = |source: io::Error| SpoolError::Os {
            step: Step::OpenSpool,
            path: path.to_path_buf(),
            source: source.into(),
        };
        let dir = files::open_place(path).map_err(os)?;
        Ok(Spool { dir, path: path.to_path_buf(), profile })
    }

    /// Creates the spool directory as the profile's package does: Debian's for the group `crontab` (`group`), whose members
    /// may add files but not list them, cronie's for root alone. At most one parent directory may be missing.
    pub fn create(path: &Path, profile: &'static Profile, group: Option<u32>) -> Result<(), SpoolError> {
        let os = |source: io::Error| SpoolError::Os {
            step: Step::CreateSpool,
            path: path.to_path_buf(),
            source: source.into(),
        };
        let mode = match profile.profile {
            ProfileName::Debian => 0o1730,
            ProfileName::Cronie => 0o700,
        };
        if let Some(parent) = path.parent().filter(|parent| !parent.exists()) {
            CreatedDirectory::create(parent).and_then(|dir| dir.set_mode(0o755)).map_err(os)?;
        }
        let dir = CreatedDirectory::create(path).map_err(os)?;
        if let Some(group) = group {
            dir.set_group(group).map_err(os)?;
        }
        dir.set_mode(mode).map_err(os)
    }

    /// Reads a user's crontab; none if there is none. If `uid` is given, the file must belong to that user or to root; root
    /// may read without this check.
    pub fn read(&self, user: &str, uid: Option<u32>) -> Result<Option<CurrentTable>, SpoolError> {
        let name = self.name(user)?;
        let Some((fd, stat)) = self.open_table(user, &name)? else { return Ok(None) };
        if stat.uid != 0 && uid.is_some_and(|uid| uid != stat.uid) {
            return Err(SpoolError::ForeignOwner { path: self.path.join(user) });
        }
        let bytes = files::read_all(&fd, stat.size, self.profile.dialect.limits.installed_bytes() as usize)
            .map_err(|source| self.failed(Step::Read, user, source))?
            .ok_or_else(|| SpoolError::TooLarge { path: self.path.join(user) })?;
        Ok(Some(CurrentTable { bytes, stamp: Stamp::from(&stat) }))
    }

    /// The stamp of a user's crontab; none if there is none.
    pub fn stamp(&self, user: &str) -> Result<Option<Stamp>, SpoolError> {
        match files::stat_at(&self.dir, self.name(user)?.as_c_str()) {
            Ok(stat) => Ok(Some(Stamp::from(&stat))),
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(self.failed(Step::Open, user, source)),
        }
    }

    /// Replaces a user's crontab. `give_to` is the uid that is to own the new file, if the process does not have that uid
    /// already.
    pub fn replace(&self, user: &str, bytes: &[u8], give_to: Option<u32>) -> Result<(), SpoolError> {
        let name = self.name(user)?;
        let (temporary, file) = Temporary::create(self, user)?;
        let step = |step, result: io::Result<()>| result.map_err(|source| self.failed(step, user, source));
        step(Step::Write, files::write_all(&file, bytes))?;
        step(Step::SetMode, file.set_mode(TABLE_MODE))?;
        if let Some(uid) = give_to {
            step(Step::SetOwner, file.set_owner(uid))?;
        }
        step(Step::Sync, files::sync(&file))?;
        step(Step::Rename, temporary.rename_to(&name))?;
        step(Step::SyncName, self.sync_name(&file))?;
        step(Step::SyncName, files::close(file.into()))?;
        self.announce();
        Ok(())
    }

    /// Removes a user's crontab. Returns whether there was one.
    pub fn remove(&self, user: &str) -> Result<bool, SpoolError> {
        match files::unlink_at(&self.dir, &self.name(user)?) {
            Ok(()) => {
                // The removal is visible at once. If it is undone by a power failure, nothing is lost.
                let _ = files::reopen_dir(&self.dir).and_then(files::sync);
                self.announce();
                Ok(true)
            }
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(source) => Err(self.failed(Step::Remove, user, source)),
        }
    }

    /// Writes a small file for the daemon in the spool, such as cronie's cluster host, as durably as a crontab.
    pub fn write_control_file(&self, name: &CStr, bytes: &[u8]) -> Result<(), SpoolError> {
        let shown = name.to_string_lossy();
        let (temporary, file) = Temporary::create(self, &shown)?;
        let step = |step, result: io::Result<()>| result.map_err(|source| self.failed(step, &shown, source));
        step(Step::Write, files::write_all(&file, bytes))?;
        step(Step::SetMode, file.set_mode(TABLE_MODE))?;
        step(Step::Sync, files::sync(&file))?;
        step(Step::Rename, temporary.rename_to(name))?;
        step(Step::SyncName, self.sync_name(&file))?;
        self.announce();
        Ok(())
    }

    /// Reads a file that [`Spool::write_control_file`] has written; none if there is none.
    pub fn read_control_file(&self, name: &CStr) -> Result<Option<Vec<u8>>, SpoolError> {
        const LONGEST: usize = 4096;
        let shown = name.to_string_lossy();
        let Some((fd, stat)) = self.open_table(&shown, name)? else { return Ok(None) };
        files::read_all(&fd, stat.size, LONGEST)
            .map_err(|source| self.failed(Step::Read, &shown, source))?
            .map(Some)
            .ok_or_else(|| SpoolError::TooLarge { path: self.path.join(&*shown) })
    }

    fn open_table(&self, shown: &str, name: &CStr) -> Result<Option<(OwnedFd, Stat)>, SpoolError> {
        let fd = match files::open_at(&self.dir, name, Links::Refused) {
            Ok(fd) => fd,
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(self.failed(Step::Open, shown, source)),
        };
        let stat = files::stat(&fd).map_err(|source| self.failed(Step::Open, shown, source))?;
        if !stat.is_regular() {
            return Err(SpoolError::NotRegular { path: self.path.join(shown) });
        }
        Ok(Some((fd, stat)))
    }

    /// Makes a rename survive a power failure. A set-gid program cannot open a spool of mode 1730 to sync it. In that case
    /// the renamed file is synced again: the rename has changed its inode, so this writes the same transaction to disk.
    fn sync_name(&self, renamed: &CreatedFile) -> io::Result<()> {
        match files::reopen_dir(&self.dir) {
            Ok(dir) => files::sync(dir),
            Err(_) => files::sync(renamed),
        }
    }

    /// Sets the spool's modification time, which the daemons of the reference implementations poll. This project's daemon
    /// notices the rename itself.
    fn announce(&self) {
        let _ = files::touch(self.dir.as_fd());
    }

    fn name(&self, user: &str) -> Result<CString, SpoolError> {
        let unsafe_name = || SpoolError::UnsafeName { name: user.to_owned() };
        if !is_safe_component(user, self.profile.profile) {
            return Err(unsafe_name());
        }
        CString::new(user).map_err(|_| unsafe_name())
    }

    fn failed(&self, step: Step, user: &str, source: io::Error) -> SpoolError {
        SpoolError::Os { step, path: self.path.join(user), source: source.into() }
    }
}

/// A temporary file in the spool. Removed on drop unless it was renamed.
struct Temporary<'a> {
    spool: &'a Spool,
    name: CString,
    is_renamed: bool,
}

impl<'a> Temporary<'a> {
    /// Creates one with an unpredictable name.
    fn create(spool: &'a Spool, user: &str) -> Result<(Temporary<'a>, CreatedFile), SpoolError> {
        const TRIES: usize = 100;
        let failed = |source| spool.failed(Step::Create, user, source);
        let mut last = io::Error::from(io::ErrorKind::AlreadyExists);
        for _ in 0..TRIES {
            let name = temporary_name(spool.profile.profile).map_err(failed)?;
            match CreatedFile::create_at(&spool.dir, &name) {
                Ok(file) => return Ok((Temporary { spool, name, is_renamed: false }, file)),
                Err(taken) if taken.kind() == io::ErrorKind::AlreadyExists => last = taken,
                Err(source) => return Err(failed(source)),
            }
        }
        Err(failed(last))
    }

    fn rename_to(mut self, name: &CStr) -> io::Result<()> {
        files::rename_at(&self.spool.dir, &self.name, name)?;
        self.is_renamed = true;
        Ok(())
    }
}

impl Drop for Temporary<'_> {
    fn drop(&mut self) {
        if !self.is_renamed {
            // If this fails, the daemon removes the file later.
            let _ = files::unlink_at(&self.spool.dir, &self.name);
        }
    }
}

/// `tmp.XXXXXX` or `#tmp.HOST.XXXXXXXXXX`, where X is a letter or a digit.
fn temporary_name(profile: ProfileName) -> io::Result<CString> {
    const LETTERS: &[u8; 62] = b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    let mut name = temporary_prefix(profile).as_bytes().to_vec();
    if profile == ProfileName::Cronie {
        let host = files::host_name()?;
        name.extend(host.iter().filter(|b| !matches!(b, b'/' | 0)));
        name.push(b'.');
    }
    let mut random = [0_u8; 4 * 10];
    files::randomize(&mut random)?;
    let letters = random.chunks_exact(4).take(temporary_letters(profile)).filter_map(|four| {
        let number = u32::from_ne_bytes(four.try_into().ok()?) as usize;
        LETTERS.get(number % LETTERS.len()).copied()
    });
    name.extend(letters);
    CString::new(name).map_err(|_| io::ErrorKind::InvalidData.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{CRONIE, DEBIAN};
    use std::collections::HashSet;
    use std::fs;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn my_uid() -> u32 {
        nix::unistd::geteuid().as_raw()
    }

    #[test]
    fn a_table_is_installed_read_replaced_and_removed() {
        for profile in [&DEBIAN, &CRONIE] {
            let dir = tempfile::tempdir().unwrap();
            let spool = Spool::open(dir.path(), profile).unwrap();
            assert!(spool.read("alice", Some(my_uid())).unwrap().is_none());
            spool.replace("alice", b"first\n", None).unwrap();
            let first = spool.read("alice", Some(my_uid())).unwrap().unwrap();
            assert_eq!(first.bytes, b"first\n");
            assert_eq!(fs::metadata(dir.path().join("alice")).unwrap().permissions().mode() & 0o7777, 0o600);
            spool.replace("alice", b"second\n", None).unwrap();
            let second = spool.read("alice", Some(my_uid())).unwrap().unwrap();
            assert_eq!(second.bytes, b"second\n");
            assert_ne!(first.stamp, second.stamp);
            assert_eq!(spool.stamp("alice").unwrap(), Some(second.stamp));
            assert!(spool.remove("alice").unwrap());
            assert!(!spool.remove("alice").unwrap());
            assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "no temporary file stays");
        }
    }

    #[test]
    fn a_failed_installation_leaves_the_old_table_and_no_temporary_file() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), &DEBIAN).unwrap();
        fs::create_dir(dir.path().join("alice")).unwrap();
        fs::write(dir.path().join("alice/x"), "").unwrap();
        let error = spool.replace("alice", b"new\n", None).unwrap_err();
        assert!(matches!(error, SpoolError::Os { step: Step::Rename, .. }), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn links_and_unsafe_names_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), &CRONIE).unwrap();
        symlink("/etc/passwd", dir.path().join("alice")).unwrap();
        assert!(spool.read("alice", Some(my_uid())).is_err());
        for name in ["../x", "a/b", "..", ".", "", ".cron.hostname", "#tmp.x"] {
            assert!(matches!(spool.read(name, None), Err(SpoolError::UnsafeName { .. })), "{name}");
            assert!(matches!(spool.replace(name, b"", None), Err(SpoolError::UnsafeName { .. })), "{name}");
            assert!(matches!(spool.remove(name), Err(SpoolError::UnsafeName { .. })), "{name}");
        }
        // The new crontab replaces the link; the link's target is unchanged.
        let passwd = fs::metadata("/etc/passwd").unwrap().ino();
        spool.replace("alice", b"mine\n", None).unwrap();
        assert_eq!(spool.read("alice", Some(my_uid())).unwrap().unwrap().bytes, b"mine\n");
        assert_eq!(fs::metadata("/etc/passwd").unwrap().ino(), passwd);
    }

    #[test]
    fn a_table_of_somebody_else_is_not_shown() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), &DEBIAN).unwrap();
        // A crontab owned by root is valid for the user whose name it has.
        let owner = if my_uid() == 0 { 4242 } else { my_uid() };
        spool.replace("alice", b"secret\n", Some(owner)).unwrap();
        assert_eq!(fs::metadata(dir.path().join("alice")).unwrap().uid(), owner);
        assert!(matches!(spool.read("alice", Some(owner + 1)), Err(SpoolError::ForeignOwner { .. })));
        for reader in [Some(owner), None] {
            assert!(spool.read("alice", reader).unwrap().is_some());
        }
    }

    #[test]
    fn what_is_no_file_is_neither_read_nor_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), &DEBIAN).unwrap();
        nix::unistd::mkfifo(&dir.path().join("alice"), nix::sys::stat::Mode::S_IRWXU).unwrap();
        fs::create_dir(dir.path().join("bob")).unwrap();
        for name in ["alice", "bob"] {
            assert!(matches!(spool.read(name, Some(my_uid())), Err(SpoolError::NotRegular { .. })), "{name}");
        }
    }

    #[test]
    fn temporary_names_do_not_repeat_and_carry_the_profiles_prefix() {
        let host = String::from_utf8_lossy(&files::host_name().unwrap()).into_owned();
        for (profile, prefix, length) in
            [(ProfileName::Debian, "tmp.".to_owned(), 6), (ProfileName::Cronie, format!("#tmp.{host}."), 10)]
        {
            let names: HashSet<CString> = (0..1000).map(|_| temporary_name(profile).unwrap()).collect();
            assert_eq!(names.len(), 1000);
            assert!(names.iter().all(|name| {
                let name = name.to_str().unwrap();
                name.strip_prefix(&prefix).is_some_and(|rest| rest.len() == length)
            }));
        }
    }

    #[test]
    fn a_control_file_is_written_and_read_by_its_own_name_only() {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::open(dir.path(), &CRONIE).unwrap();
        assert_eq!(spool.read_control_file(c".cron.hostname").unwrap(), None);
        spool.write_control_file(c".cron.hostname", b"node1\n").unwrap();
        assert_eq!(spool.read_control_file(c".cron.hostname").unwrap().as_deref(), Some(b"node1\n".as_slice()));
    }
}
