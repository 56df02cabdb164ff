//! Files in the run directory, in the state directory and in anacron's spool: small regular files that a daemon leaves for the next one.
//!
//! Opening such a file never blocks (a FIFO would), never follows a symbolic link, and fails unless it is a regular file. Reading it is
//! limited (a link to /dev/zero or a huge file would fill the memory). Every reader and writer of these directories uses these functions.

use super::created::CreatedFile;
use super::files;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use tempfile::NamedTempFile;

/// Opens a file for reading.
pub fn open(path: &Path) -> io::Result<File> {
    checked(OpenOptions::new().read(true), path)
}

/// Opens a file for reading and writing. Creates it with mode 0600 if it does not exist.
pub fn open_or_create(path: &Path) -> io::Result<File> {
    checked(OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600), path)
}

/// Opens an existing file for reading and writing.
pub fn open_for_writing(path: &Path) -> io::Result<File> {
    checked(OpenOptions::new().read(true).write(true), path)
}

/// Whether the path still leads to the open file.
pub fn is_still_at(file: &File, path: &Path) -> bool {
    matches!((file.metadata(), std::fs::symlink_metadata(path)),
        (Ok(ours), Ok(there)) if (ours.dev(), ours.ino()) == (there.dev(), there.ino()))
}

fn checked(options: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = options.custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"));
    }
    Ok(file)
}

/// Whether opening failed because the name does not belong to a regular file.
pub fn is_no_regular_file(error: &io::Error) -> bool {
    match error.raw_os_error() {
        // A symbolic link; a directory that is opened for writing; a FIFO that nobody reads, opened for writing, or a socket.
        Some(number) => matches!(number, libc::ELOOP | libc::EISDIR | libc::ENXIO),
        None => error.kind() == io::ErrorKind::InvalidInput,
    }
}

/// Reads a file of at most `most` bytes.
pub fn read(path: &Path, most: usize) -> io::Result<Vec<u8>> {
    let file = open(path)?;
    let size = file.metadata()?.len();
    let bytes = files::read_all(&file, size, most)?;
    bytes.ok_or_else(|| io::Error::new(io::ErrorKind::FileTooLarge, format!("larger than {most} bytes")))
}

/// Replaces a file, or anything else of this name except a directory, by a new file with this content and mode. A reader sees the old file
/// or the new one.
pub fn replace(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = new_file(path, bytes, mode)?;
    new.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Replaces a file like [`replace`], and returns when the new file is on the disk.
pub fn replace_durably(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let new = new_file(path, bytes, mode)?;
    files::sync(new.as_file())?;
    new.persist(path).map_err(|error| error.error)?;
    files::sync(files::open_dir(directory_of(path))?)
}

fn new_file(path: &Path, bytes: &[u8], mode: u32) -> io::Result<NamedTempFile<CreatedFile>> {
    let mut new = tempfile::Builder::new().prefix(".new.").make_in(directory_of(path), CreatedFile::create)?;
    new.write_all(bytes)?;
    new.as_file().set_mode(mode)?;
    Ok(new)
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if directory.as_os_str().is_empty() => Path::new("."),
        Some(directory) => directory,
        None => Path::new("/"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::stat::Mode;
    use std::os::unix::fs::{PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    #[test]
    fn what_is_no_regular_file_is_refused_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        nix::unistd::mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        std::fs::create_dir(at("directory")).unwrap();
        std::fs::write(at("target"), "x").unwrap();
        symlink(at("target"), at("link")).unwrap();
        symlink("/dev/zero", at("endless")).unwrap();
        symlink("missing", at("dangling")).unwrap();
        let _socket = UnixListener::bind(at("socket")).unwrap();
        for name in ["fifo", "directory", "link", "endless", "dangling", "socket"] {
            for opened in [open(&at(name)), open_or_create(&at(name))] {
                let error = opened.unwrap_err();
                assert!(is_no_regular_file(&error), "{name}: {error:?}");
            }
            assert!(is_no_regular_file(&read(&at(name), 100).unwrap_err()), "{name}");
        }
        assert!(!at("missing").exists());
        assert!(!is_no_regular_file(&open(&at("absent")).unwrap_err()));
    }

    #[test]
    fn more_than_the_bound_is_not_read() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "12345").unwrap();
        assert_eq!(read(&path, 5).unwrap(), b"12345");
        assert_eq!(read(&path, 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
        // A file that claims to be huge and holds nothing costs neither time nor memory.
        std::fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(read(&path, 1 << 20).unwrap_err().to_string(), "larger than 1048576 bytes");
    }

    #[test]
    fn a_replacement_takes_the_place_of_links_and_fifos_and_writes_to_nothing_else() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("target"), "x").unwrap();
        symlink(at("target"), at("link")).unwrap();
        nix::unistd::mkfifo(&at("fifo"), Mode::S_IRWXU).unwrap();
        for (name, durably) in [("link", false), ("fifo", true), ("absent", true)] {
            let replace = if durably { replace_durably } else { replace };
            replace(&at(name), b"new", 0o644).unwrap();
            assert_eq!(read(&at(name), 3).unwrap(), b"new", "{name}");
            assert_eq!(std::fs::metadata(at(name)).unwrap().permissions().mode() & 0o7777, 0o644);
        }
        assert_eq!(std::fs::read(at("target")).unwrap(), b"x");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "no temporary file stays");
    }
}
