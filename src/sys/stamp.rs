//! The stamp of a file, which shows whether the file has changed.

use super::files::Stat;
use std::fs::Metadata;
use std::hash::{Hash, Hasher};
use std::os::unix::fs::MetadataExt;

/// Identifies one state of a file: equal stamps mean equal content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Stamp {
    /// The number of the device that the file is on.
    pub dev: u64,
    /// The number of the inode on that device.
    pub ino: u64,
    /// The size of the content in bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// Change time, nanoseconds since 1970.
    pub ctime_ns: i64,
    /// The user id of the owner.
    pub uid: u32,
    /// The type and the mode bits (`st_mode`).
    pub mode: u32,
}

/// Hashes all fields with one call, since each scan of a hundred thousand files computes as many hashes.
impl Hash for Stamp {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let kind = u64::from(self.uid) << 32 | u64::from(self.mode);
        let words = [self.dev, self.ino, self.size, self.mtime_ns as u64, self.ctime_ns as u64, kind];
        state.write(words.map(u64::to_ne_bytes).as_flattened());
    }
}

impl From<&Stat> for Stamp {
    fn from(s: &Stat) -> Stamp {
        Stamp {
            dev: s.dev,
            ino: s.ino,
            size: s.size,
            mtime_ns: s.mtime_ns,
            ctime_ns: s.ctime_ns,
            uid: s.uid,
            mode: s.mode,
        }
    }
}

impl From<&Metadata> for Stamp {
    fn from(file: &Metadata) -> Stamp {
        let ns = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Stamp {
            dev: file.dev(),
            ino: file.ino(),
            size: file.size(),
            mtime_ns: ns(file.mtime(), file.mtime_nsec()),
            ctime_ns: ns(file.ctime(), file.ctime_nsec()),
            uid: file.uid(),
            mode: file.mode(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::files;

    #[test]
    fn a_stamp_is_the_same_from_both_calls_and_another_after_a_change() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, "a").unwrap();
        let stat = || Stamp::from(&files::stat(std::fs::File::open(&path).unwrap()).unwrap());
        let metadata = || Stamp::from(&std::fs::metadata(&path).unwrap());
        let before = stat();
        assert_eq!(before, metadata());
        std::fs::write(&path, "ab").unwrap();
        assert_ne!(before, stat());
        assert_eq!(stat(), metadata());
    }
}
