//! The mount table of this process: /proc/self/mountinfo (proc_pid_mountinfo(5)).

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Seek};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// The open table. The kernel reports its changes as an exceptional condition (POLLPRI), each once.
#[derive(Debug)]
pub struct MountTable(File);

/// A place where something is mounted.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MountPoint {
    /// The directory at which it is mounted.
    pub path: PathBuf,
    /// The kernel's number of the mount; numbers are given out again.
    pub id: u64,
    /// The mounted file system's device, `MAJOR:MINOR`.
    pub device: Vec<u8>,
}

impl MountTable {
    /// Opens the table of the mount namespace that this process is in now.
    pub fn open() -> io::Result<MountTable> {
        Ok(MountTable(File::open("/proc/self/mountinfo")?))
    }

    /// Calls `each` with every mount point.
    pub fn read(&mut self, each: &mut dyn FnMut(MountPoint)) -> io::Result<()> {
        self.0.rewind()?;
        for line in BufReader::new(&self.0).split(b'\n') {
            if let Some(point) = parse(&line?) {
                each(point);
            }
        }
        Ok(())
    }
}

impl AsFd for MountTable {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// `36 35 98:0 / /mnt rw,noatime master:1 - ext3 /dev/root rw`: the first, third and fifth field.
fn parse(line: &[u8]) -> Option<MountPoint> {
    let mut fields = line.split(|byte| *byte == b' ');
    let id = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let device = fields.nth(1)?.to_vec();
    let path = OsString::from_vec(unescape(fields.nth(1)?)).into();
    Some(MountPoint { path, id, device })
}

/// Blanks, tabs, newlines and backslashes are written as three octal digits behind a backslash.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, behind)) = rest.split_first() {
        let escaped = match behind {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', behind @ ..] if *first == b'\\' => {
                Some((((a - b'0') << 6) | ((b - b'0') << 3) | (c - b'0'), behind))
            }
            _ => None,
        };
        let (byte, behind) = escaped.unwrap_or((*first, behind));
        bytes.push(byte);
        rest = behind;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn a_line_names_number_device_and_mount_point() {
        let line = br"36 35 98:0 /mnt1 /a\040b/\134 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let expected = MountPoint { path: "/a b/\\".into(), id: 36, device: b"98:0".to_vec() };
        assert_eq!(parse(line), Some(expected));
        for broken in [&b""[..], b"36 35", b"x 35 98:0 / /mnt"] {
            assert_eq!(parse(broken), None);
        }
    }

    #[test]
    fn the_table_of_this_process_can_be_read_again() {
        let mut table = MountTable::open().unwrap();
        for _ in 0..2 {
            let mut has_proc = false;
            table.read(&mut |point| has_proc |= point.path == Path::new("/proc")).unwrap();
            assert!(has_proc);
        }
    }
}
