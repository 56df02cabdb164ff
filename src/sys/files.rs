//! Access to files by a directory descriptor and a single name, so that no component of the path can be replaced meanwhile.

use nix::NixPath;
use nix::dir::Dir;
use nix::errno::Errno;
use nix::fcntl::{AtFlags, FcntlArg, FdFlag, OFlag};
use nix::sys::stat::{FileStat, Mode};
use nix::sys::time::TimeSpec;
use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Bytes that fit files of /proc about one process: its status has some 1,500.
const USUAL_PROC: u64 = 2048;
/// Most bytes of such a file that are read.
const LARGEST_PROC: usize = 1 << 16;

/// The result of fstat(2), in types that do not depend on the architecture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The number of the device that the file is on.
    pub dev: u64,
    /// The number of the inode on that device.
    pub ino: u64,
    /// The number of hard links.
    pub links: u64,
    /// The size of the content in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970; what is beyond the year 2262 counts as that.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since 1970, limited in the same way.
    pub ctime_ns: i64,
    /// The user id of the owner.
    pub uid: u32,
    /// The id of the group that the file belongs to.
    pub gid: u32,
    /// The type and the mode bits (`st_mode`).
    pub mode: u32,
}

impl Stat {
    /// Whether it is a regular file.
    pub fn is_regular(&self) -> bool {
        self.is(libc::S_IFREG)
    }
    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        self.is(libc::S_IFLNK)
    }
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.is(libc::S_IFDIR)
    }
    /// The permission bits with set-id and sticky bits.
    pub fn permissions(&self) -> u32 {
        self.mode & 0o7777
    }
    fn is(&self, kind: libc::mode_t) -> bool {
        self.mode & libc::S_IFMT == kind
    }
}

// The C library's types differ between architectures; on this one some casts change nothing.
#[allow(clippy::unnecessary_cast)]
impl From<FileStat> for Stat {
    fn from(s: FileStat) -> Stat {
        let ns = |sec: i64, nsec: i64| sec.saturating_mul(1_000_000_000).saturating_add(nsec);
        Stat {
            dev: s.st_dev,
            ino: s.st_ino,
            links: s.st_nlink as u64,
            size: u64::try_from(s.st_size).unwrap_or(0),
            mtime_ns: ns(s.st_mtime as i64, s.st_mtime_nsec as i64),
            ctime_ns: ns(s.st_ctime as i64, s.st_ctime_nsec as i64),
            uid: s.st_uid,
            gid: s.st_gid,
            mode: s.st_mode,
        }
    }
}

/// Whether a symbolic link is followed when a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// A symbolic link is an error (`ELOOP`).
    Refused,
    /// A symbolic link leads to its target.
    Followed,
}

/// Opens a directory so that it can be listed and its descriptor synced.
pub fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    Ok(nix::fcntl::open(path, OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Opens a directory with O_PATH, which needs no read permission: a spool of mode 1730 gives none.
pub fn open_place(path: &Path) -> io::Result<OwnedFd> {
    Ok(nix::fcntl::open(path, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}

/// Opens a file of a directory for reading; never blocks on a FIFO or device.
pub fn open_at(dir: impl AsFd, name: &CStr, links: Links) -> io::Result<OwnedFd> {
    let mut flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
    if links == Links::Refused {
        flags |= OFlag::O_NOFOLLOW;
    }
    Ok(nix::fcntl::openat(dir, name, flags, Mode::empty())?)
}

/// The status of an open descriptor.
pub fn stat(fd: impl AsFd) -> io::Result<Stat> {
    Ok(nix::sys::stat::fstat(fd)?.into())
}

/// The status of a name in a directory. Symbolic links are not followed.
pub fn stat_at<N: NixPath + ?Sized>(dir: impl AsFd, name: &N) -> io::Result<Stat> {
    Ok(nix::sys::stat::fstatat(dir, name, AtFlags::AT_SYMLINK_NOFOLLOW)?.into())
}

/// The status of the file that a name in a directory leads to. Symbolic links are followed.
pub fn stat_through_link<N: NixPath + ?Sized>(dir: impl AsFd, name: &N) -> io::Result<Stat> {
    Ok(nix::sys::stat::fstatat(dir, name, AtFlags::empty())?.into())
}

/// Reads an extended attribute of an open file into `value`. Returns its length in bytes.
///
/// # Errors
/// `ENODATA` if the file has no such attribute, `ERANGE` if it is longer than `value`, and what else fgetxattr(2) reports.
pub fn extended_attribute(file: impl AsFd, name: &CStr, value: &mut [u8]) -> io::Result<usize> {
    // SAFETY: an open descriptor, a string that ends with NUL, and a buffer of that length which is live while the kernel fills it.
    let length =
        unsafe { libc::fgetxattr(file.as_fd().as_raw_fd(), name.as_ptr(), value.as_mut_ptr().cast(), value.len()) };
    usize::try_from(length).map_err(|_| io::Error::last_os_error())
}

/// Calls `each` with every name of an open directory except `.` and `..`, in the directory's order, and whether the directory says that it
/// is a regular file. Not every file system says so.
pub fn names(dir: OwnedFd, each: &mut dyn FnMut(&CStr, bool)) -> io::Result<()> {
    let mut dir = Dir::from_fd(dir)?;
    for entry in dir.iter() {
        let entry = entry?;
        let name = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            each(name, entry.file_type() == Some(nix::dir::Type::File));
        }
    }
    Ok(())
}

/// Reads a descriptor to its end. None: it holds more than `most` bytes.
///
/// # Errors
/// What the kernel says to a read; [`io::ErrorKind::OutOfMemory`] when the bytes find no room.
pub fn read_all(fd: impl AsFd, expected: u64, most: usize) -> io::Result<Option<Vec<u8>>> {
    let bytes = read_up_to(fd, expected, most.saturating_add(1))?;
    Ok((bytes.len() <= most).then_some(bytes))
}

/// The same, but more than `most` bytes are an error ([`io::ErrorKind::FileTooLarge`]).
pub fn read_to_end(fd: impl AsFd, expected: u64, most: usize) -> io::Result<Vec<u8>> {
    read_all(fd, expected, most)?
        .ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most} bytes")))
}

/// Reads the file of that path to its end, as [`read_to_end`].
pub fn read_file(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let file = std::fs::File::open(path)?;
    let size = file.metadata()?.len();
    read_to_end(&file, size, most)
}

/// Reads a file of /proc, whose size the kernel gives as 0, in few calls: a process is started or ended with several of them.
pub fn read_proc(path: &Path) -> io::Result<Vec<u8>> {
    read_up_to(std::fs::File::open(path)?, USUAL_PROC, LARGEST_PROC)
}

/// Reads the text file of that path to its end. What is not UTF-8 is an error ([`io::ErrorKind::InvalidData`]).
pub fn read_text(path: &Path, most: usize) -> io::Result<String> {
    String::from_utf8(read_file(path, most)?)
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "not a text in UTF-8"))
}

/// Appends at most `most` available bytes to the vector. 0 means the end. The memory need not be filled with zeros before, and pages into
/// which nothing is read are not touched.
///
/// # Errors
/// Those of read(2), or [`io::ErrorKind::OutOfMemory`] if there is no memory for so many bytes.
pub fn read_on(descriptor: BorrowedFd<'_>, into: &mut Vec<u8>, most: usize) -> io::Result<usize> {
    into.try_reserve(most).map_err(|_| io::ErrorKind::OutOfMemory)?;
    // SAFETY: `most` bytes are reserved behind the length. The kernel only writes there, and the length grows by what it has written.
    unsafe {
        let count = libc::read(descriptor.as_raw_fd(), into.spare_capacity_mut().as_mut_ptr().cast(), most);
        let count = usize::try_from(count).map_err(|_| io::Error::last_os_error())?;
        into.set_len(into.len() + count);
        Ok(count)
    }
}

/// Reads a descriptor to its end, or `most` bytes of it.
///
/// # Errors
/// What the kernel says to a read; [`io::ErrorKind::OutOfMemory`] when the bytes find no room.
pub fn read_up_to(fd: impl AsFd, expected: u64, most: usize) -> io::Result<Vec<u8>> {
    let out_of_memory = |_| io::Error::from(io::ErrorKind::OutOfMemory);
    let expected = usize::try_from(expected).unwrap_or(usize::MAX);
    let mut bytes = Vec::new();
    // One byte more than expected: a file that fills all but that one has ended, and need not be asked again.
    bytes.try_reserve_exact(expected.saturating_add(1).min(most)).map_err(out_of_memory)?;
    while bytes.len() < most {
        if bytes.len() == bytes.capacity() {
            let wanted = (bytes.len() * 2).clamp(4096, most.max(4096));
            bytes.try_reserve_exact(wanted.min(most) - bytes.len()).map_err(out_of_memory)?;
        }
        let (at_start, room) = (bytes.is_empty(), (bytes.capacity() - bytes.len()).min(most - bytes.len()));
        match read_on(fd.as_fd(), &mut bytes, room) {
            Ok(0) => break,
            Ok(n) if at_start && n == expected => break,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Writes all bytes, if necessary with several calls.
pub fn write_all(fd: impl AsFd, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match nix::unistd::write(fd.as_fd(), bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Errno::EINTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

/// Creates a directory of mode 0700. Its name consists of `prefix`, a path, and six random letters.
pub fn create_temporary_dir(prefix: &Path) -> io::Result<PathBuf> {
    let mut template = prefix.as_os_str().to_owned();
    template.push("XXXXXX");
    Ok(nix::unistd::mkdtemp(template.as_os_str())?)
}

/// Creates a file of mode 0600 in the same way.
pub fn create_temporary_file(prefix: &Path) -> io::Result<(OwnedFd, PathBuf)> {
    let mut template = prefix.as_os_str().to_owned();
    template.push("XXXXXX");
    let (file, path) = nix::unistd::mkstemp(template.as_os_str())?;
    nix::fcntl::fcntl(&file, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC))?;
    Ok((file, path))
}

/// Removes a directory and the files in it. It stays if it contains directories.
pub fn remove_flat_dir(path: &Path) -> io::Result<()> {
    if std::fs::remove_dir(path).is_ok() {
        return Ok(());
    }
    let place = open_place(path)?;
    let mut all = Vec::new();
    names(open_dir(path)?, &mut |name, _| all.push(name.to_owned()))?;
    for name in all {
        unlink_at(&place, &name)?;
    }
    std::fs::remove_dir(path)
}

/// Waits until an open file is written to disk.
pub fn sync(fd: impl AsFd) -> io::Result<()> {
    Ok(nix::unistd::fsync(fd)?)
}

/// Gives the memory of a part of a file back to the file system; the part then reads as zeros.
pub fn punch_hole(file: impl AsFd, from: u64, length: u64) -> io::Result<()> {
    use nix::fcntl::{FallocateFlags, fallocate};
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let range = |number: u64| i64::try_from(number).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput));
    Ok(fallocate(file, flags, range(from)?, range(length)?)?)
}

/// Renames a file within a directory. An existing file of the new name is replaced.
pub fn rename_at(dir: impl AsFd, from: &CStr, to: &CStr) -> io::Result<()> {
    Ok(nix::fcntl::renameat(dir.as_fd(), from, dir.as_fd(), to)?)
}

/// Removes a file from a directory.
pub fn unlink_at(dir: impl AsFd, name: &CStr) -> io::Result<()> {
    Ok(nix::unistd::unlinkat(dir, name, nix::unistd::UnlinkatFlags::NoRemoveDir)?)
}

/// Sets the access and modification times of a directory to now. It may be opened with O_PATH.
pub fn touch(dir: impl AsFd) -> io::Result<()> {
    let now = TimeSpec::new(0, libc::UTIME_NOW);
    // futimens(3) refuses an O_PATH descriptor; "." below it is taken.
    Ok(nix::sys::stat::utimensat(dir, ".", &now, &now, nix::sys::stat::UtimensatFlags::FollowSymlink)?)
}

/// Whether this process may execute the file.
pub fn is_executable(path: &str) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::X_OK).is_ok()
}

/// The installed `cronctl`: beside this program, or in the `bin` directory beside its directory.
pub fn cronctl() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?;
    let directory = own.parent()?;
    let beside = [directory.join("cronctl"), directory.join("../bin/cronctl")];
    let places = beside.into_iter().chain(["/usr/bin/cronctl".into(), "/usr/local/bin/cronctl".into()]);
    places.into_iter().find(|path| path.to_str().is_some_and(is_executable))
}

/// Whether this process may write to the file or directory. Nothing can be written to a file system that is mounted read-only.
pub fn is_writable(path: &Path) -> bool {
    nix::unistd::access(path, nix::unistd::AccessFlags::W_OK).is_ok()
}

/// The name of this host (gethostname(2)).
pub fn host_name() -> io::Result<Vec<u8>> {
    Ok(nix::unistd::gethostname()?.into_vec())
}

/// The text of an error as strerror(3) has it, without Rust's `(os error 2)`.
pub fn reason(error: &io::Error) -> String {
    let mut text = error.to_string();
    if let Some(end) = text.find(" (os error ") {
        text.truncate(end);
    }
    text
}

/// Whether an error says that the kernel, a disk or a file server lacked something at this moment, and nothing about the file.
pub fn is_momentary(error: &io::Error) -> bool {
    match error.raw_os_error() {
        Some(number) => matches!(
            number,
            libc::EIO
                | libc::ENOMEM
                | libc::ENOBUFS
                | libc::EMFILE
                | libc::ENFILE
                | libc::EINTR
                | libc::EAGAIN
                | libc::ESTALE
                | libc::ETIMEDOUT
        ),
        None => error.kind() == io::ErrorKind::OutOfMemory,
    }
}

/// Fills a buffer with unpredictable random bytes.
pub fn randomize(buffer: &mut [u8]) -> io::Result<()> {
    Ok(getrandom::fill(buffer)?)
}

/// Fails where the kernel gives no random numbers. The standard library's hash maps panic without random numbers, so a program
/// that uses such maps calls this first. Maps of the same thread then work. A kernel or filter without the system call is no
/// error: there is /dev/urandom.
pub fn check_random_numbers() -> io::Result<()> {
    match randomize(&mut [0]) {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {}
        answer => answer?,
    }
    let _ = std::hash::RandomState::new();
    Ok(())
}

/// Closes a file and returns the error of that: a network file system may report a lost write only now.
pub fn close(fd: OwnedFd) -> io::Result<()> {
    Ok(nix::unistd::close(fd)?)
}

/// Whether a descriptor is a terminal.
pub fn is_terminal(fd: impl AsFd) -> bool {
    nix::unistd::isatty(fd).unwrap_or(false)
}

/// Opens a directory that was opened with O_PATH for reading, so that it can be synced. Fails without read permission.
pub fn reopen_dir(dir: impl AsFd) -> io::Result<OwnedFd> {
    Ok(nix::fcntl::openat(dir, ".", OFlag::O_RDONLY | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?)
}
