//! Files, directories and pipes that this process has created. No other code changes an owner or a mode.
//!
//! Rule: owner and mode are changed only on what this process has just created: a file opened with `O_EXCL`, a directory that it has
//! made, a pipe. Whatever was there before may be shared with the whole machine, as /dev/null is. The types here can be made only by
//! creating something, and nothing else has a function that changes owners or modes; `tests/source_rules.rs` checks the source for such calls.

use super::files::Links;
use super::{descriptor, process};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use std::ffi::CStr;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A regular file that this process has created, open for writing.
#[derive(Debug)]
pub struct CreatedFile(File);

impl CreatedFile {
    /// Creates a file with mode 0600 less the umask. It must not exist; a symbolic link is not followed.
    pub fn create(path: &Path) -> io::Result<CreatedFile> {
        let fd = nix::fcntl::open(path, Self::flags(), Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(CreatedFile(fd.into()))
    }

    /// The same with a name in an open directory.
    pub fn create_at(dir: impl AsFd, name: &CStr) -> io::Result<CreatedFile> {
        let fd = nix::fcntl::openat(dir, name, Self::flags(), Mode::S_IRUSR | Mode::S_IWUSR)?;
        Ok(CreatedFile(fd.into()))
    }

    fn flags() -> OFlag {
        OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC
    }

    /// Sets the permission bits, whatever the umask is.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        set_mode(&self.0, mode)
    }

    /// Sets the owner; the group stays.
    pub fn set_owner(&self, uid: u32) -> io::Result<()> {
        Ok(nix::unistd::fchown(&self.0, Some(uid.into()), None)?)
    }
}

impl AsFd for CreatedFile {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Write for CreatedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl From<CreatedFile> for File {
    fn from(created: CreatedFile) -> File {
        created.0
    }
}

impl From<CreatedFile> for OwnedFd {
    fn from(created: CreatedFile) -> OwnedFd {
        created.0.into()
    }
}

/// A directory that this process has created.
#[derive(Debug)]
pub struct CreatedDirectory(OwnedFd);

impl CreatedDirectory {
    /// Creates a directory with mode 0700 less the umask. Its parent must be one that nobody else may write to; that what is opened
    /// belongs to the caller alone is checked nevertheless, as mkdir(2) gives no descriptor.
    pub fn create(path: &Path) -> io::Result<CreatedDirectory> {
        nix::unistd::mkdir(path, Mode::S_IRWXU)?;
        let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let fd = nix::fcntl::open(path, flags, Mode::empty())?;
        let stat = nix::sys::stat::fstat(&fd)?;
        if stat.st_uid != nix::unistd::geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                "the new directory has been replaced by another process",
            ));
        }
        Ok(CreatedDirectory(fd))
    }

    /// Sets the permission bits, whatever the umask is.
    pub fn set_mode(&self, mode: u32) -> io::Result<()> {
        set_mode(&self.0, mode)
    }

    /// Sets owner and group, as fchown(2) does.
    pub fn set_owner(&self, uid: u32, gid: u32) -> io::Result<()> {
        Ok(nix::unistd::fchown(&self.0, Some(uid.into()), Some(gid.into()))?)
    }

    /// Sets the group; the owner stays. It may clear set-id bits, so the mode is set after it.
    pub fn set_group(&self, gid: u32) -> io::Result<()> {
        Ok(nix::unistd::fchown(&self.0, None, Some(gid.into()))?)
    }
}

/// What is at the path of a directory that only this process' user or root may write to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FoundDirectory {
    /// There is no such path.
    Missing,
    /// The directory belongs to this process' effective user or root, and nobody else may write to it.
    Trusted,
    /// It is no directory, or others may write to it.
    Untrusted,
}

/// Checks whether a directory can be trusted.
pub fn inspect_directory(path: &Path, links: Links) -> io::Result<FoundDirectory> {
    let found = match links {
        Links::Refused => std::fs::symlink_metadata(path),
        Links::Followed => std::fs::metadata(path),
    };
    let found = match found {
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(FoundDirectory::Missing),
        found => found?,
    };
    let is_ours = [0, process::own_uid()].contains(&found.uid());
    let is_trusted = found.is_dir() && is_ours && found.mode() & 0o022 == 0;
    Ok(if is_trusted { FoundDirectory::Trusted } else { FoundDirectory::Untrusted })
}

/// Makes a directory with this mode, whatever the umask is, unless it exists.
///
/// # Errors
///
/// It cannot be made, or what exists is not [`FoundDirectory::Trusted`].
pub fn make_trusted_directory(path: &Path, mode: u32, links: Links) -> io::Result<()> {
    match CreatedDirectory::create(path).and_then(|made| made.set_mode(mode)) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => return made,
    }
    match inspect_directory(path, links)? {
        FoundDirectory::Trusted => Ok(()),
        FoundDirectory::Missing | FoundDirectory::Untrusted => Err(io::Error::other(UNTRUSTED)),
    }
}

/// What a directory must be, for messages.
pub const UNTRUSTED: &str = "expected a directory that only this user or root can write to";

fn set_mode(fd: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(nix::sys::stat::fchmod(fd, Mode::from_bits_truncate(mode))?)
}

/// A pipe, closed on exec: the end to read, the end to write. With an owner it belongs to that user, whose processes can then open
/// it again as /dev/stdin or /dev/stdout: the kernel checks owner and mode of the pipe when it is opened by its name in /proc.
pub fn pipe(owner: Option<u32>) -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = descriptor::pipe()?;
    if let Some(uid) = owner {
        // Both ends are one inode. Root may lack CAP_CHOWN in a container: then its owner cannot open the pipe again, but can
        // use it.
        let _ = nix::unistd::fchown(&read, Some(uid.into()), None);
    }
    Ok((read, write))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::contract::alone;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_directory_is_trusted_if_only_this_user_and_root_can_write_to_it() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        assert_eq!(inspect_directory(&at("new"), Links::Refused).unwrap(), FoundDirectory::Missing);
        for _ in 0..2 {
            make_trusted_directory(&at("new"), 0o711, Links::Refused).unwrap();
            assert_eq!(at("new").metadata().unwrap().mode() & 0o7777, 0o711);
        }
        symlink("new", at("link")).unwrap();
        make_trusted_directory(&at("link"), 0o711, Links::Followed).unwrap();
        make_trusted_directory(&at("link"), 0o711, Links::Refused).unwrap_err();
        std::fs::write(at("file"), "").unwrap();
        make_trusted_directory(&at("file"), 0o711, Links::Followed).unwrap_err();
        for mode in [0o770, 0o707] {
            std::fs::create_dir(at(&mode.to_string())).unwrap();
            let open_mode = std::fs::Permissions::from_mode(mode);
            std::fs::set_permissions(at(&mode.to_string()), open_mode).unwrap();
            let error = make_trusted_directory(&at(&mode.to_string()), 0o711, Links::Refused).unwrap_err();
            assert_eq!(error.to_string(), UNTRUSTED);
        }
    }

    #[test]
    fn what_is_there_already_is_not_created() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("file"), "").unwrap();
        symlink("/dev/null", at("link")).unwrap();
        symlink("missing", at("dangling")).unwrap();
        for name in ["file", "link", "dangling"] {
            assert_eq!(CreatedFile::create(&at(name)).unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{name}");
            assert_eq!(CreatedDirectory::create(&at(name)).unwrap_err().kind(), io::ErrorKind::AlreadyExists, "{name}");
        }
        assert!(!at("missing").exists());
    }

    #[test]
    fn what_was_created_gets_the_mode_whatever_the_umask_is() {
        // The umask belongs to the whole process, which must run no other test.
        alone(|_| {
            for umask in [0o000, 0o022, 0o077, 0o277] {
                let dir = tempfile::tempdir().unwrap();
                let mode = |name: &str| std::fs::metadata(dir.path().join(name)).unwrap().mode() & 0o7777;
                let before = nix::sys::stat::umask(Mode::from_bits_truncate(umask));
                let file = CreatedFile::create(&dir.path().join("file")).unwrap();
                // Nobody else may use it before its mode is set, even if the umask would allow that.
                assert_eq!(mode("file"), 0o600 & !umask, "{umask:o}");
                file.set_mode(0o644).unwrap();
                assert_eq!(mode("file"), 0o644, "{umask:o}");
                let directory = CreatedDirectory::create(&dir.path().join("directory")).unwrap();
                assert_eq!(mode("directory"), 0o700 & !umask, "{umask:o}");
                directory.set_mode(0o1730).unwrap();
                assert_eq!(mode("directory"), 0o1730, "{umask:o}");
                make_trusted_directory(&dir.path().join("trusted"), 0o755, Links::Refused).unwrap();
                assert_eq!(mode("trusted"), 0o755, "{umask:o}");
                nix::sys::stat::umask(before);
            }
        });
    }

    #[test]
    fn a_pipe_belongs_to_the_owner_at_both_ends() {
        let us = nix::unistd::geteuid();
        let owner = if us.is_root() { 4242 } else { us.as_raw() };
        let (read, write) = pipe(Some(owner)).unwrap();
        for end in [read, write] {
            assert_eq!(nix::sys::stat::fstat(&end).unwrap().st_uid, owner);
        }
    }
}
