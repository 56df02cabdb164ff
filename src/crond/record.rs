//! The record of what has been handed out, so that a restart neither loses nor repeats a due moment.
//!
//! 24 bytes in the run directory: the last second up to which everything due has been started, eight bytes of the boot id, since
//! that second says nothing in another boot, and the number up to which run ids are reserved. Each part is written in place with
//! one pwrite(2) and never synced: it must survive this process, not the machine.

use crate::plan::RunId;
use crate::schedule::Timestamp;
use crate::sys::host::Boot;
use crate::sys::state_file;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The record's name in the run directory.
const NAME: &str = "cronwheel.completed";
/// Length of the part that holds the second and the boot.
const LENGTH: usize = 16;

/// An open record.
#[derive(Debug)]
pub struct Record {
    file: File,
    boot: [u8; 8],
}

impl Record {
    /// Opens or makes it.
    pub fn open(run_dir: &Path, boot: &Boot) -> io::Result<Record> {
        let path = run_dir.join(NAME);
        let file = match state_file::open_or_create(&path) {
            // Something else has its name, and says nothing. The caller holds the lock, so nobody else makes it anew.
            Err(error) if state_file::is_no_regular_file(&error) => {
                std::fs::remove_file(&path)?;
                state_file::open_or_create(&path)?
            }
            opened => opened?,
        };
        Ok(Record { file, boot: mark(boot) })
    }

    /// What an earlier daemon of this boot wrote last.
    pub fn read(&self) -> Option<Timestamp> {
        let mut bytes = [0; LENGTH];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        let (seconds, boot) = bytes.split_first_chunk::<8>()?;
        (boot == self.boot).then(|| Timestamp(i64::from_le_bytes(*seconds)))
    }

    /// Writes that everything due up to `completed` has been handed out.
    pub fn write(&self, completed: Timestamp) -> io::Result<()> {
        let mut bytes = [0; LENGTH];
        let (seconds, boot) = bytes.split_at_mut(8);
        seconds.copy_from_slice(&completed.0.to_le_bytes());
        boot.copy_from_slice(&self.boot);
        self.file.write_all_at(&bytes, 0)
    }
}

/// The reservation of run ids.
impl Record {
    /// Up to which run id, exclusive, ids are reserved or used.
    pub fn read_reserved(&self) -> Option<RunId> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, LENGTH as u64).ok()?;
        Some(RunId(u64::from_le_bytes(bytes)))
    }

    /// Reserves run ids up to `upto`, exclusive.
    pub fn write_reserved(&self, upto: RunId) -> io::Result<()> {
        self.file.write_all_at(&upto.0.to_le_bytes(), LENGTH as u64)
    }
}

/// The first eight bytes of the boot's UUID: its first sixteen hexadecimal digits.
fn mark(boot: &Boot) -> [u8; 8] {
    let digits: String = boot.id.chars().filter(char::is_ascii_hexdigit).take(16).collect();
    u64::from_str_radix(&digits, 16).unwrap_or(0).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boot(id: &str) -> Boot {
        Boot { id: id.to_owned(), first_process_started: "1".to_owned() }
    }

    #[test]
    fn a_record_is_read_back_in_the_same_boot_only() {
        let dir = tempfile::tempdir().unwrap();
        let today = boot("4e3f27bb-1b62-4f7a-8d52-0123456789ab");
        let record = Record::open(dir.path(), &today).unwrap();
        assert_eq!(record.read(), None);
        record.write(Timestamp(1_800_000_000)).unwrap();
        record.write(Timestamp(1_800_000_060)).unwrap();
        assert_eq!(Record::open(dir.path(), &today).unwrap().read(), Some(Timestamp(1_800_000_060)));
        let tomorrow = boot("5e3f27bb-1b62-4f7a-8d52-0123456789ab");
        assert_eq!(Record::open(dir.path(), &tomorrow).unwrap().read(), None);
        // Run ids go on counting in another boot.
        assert_eq!(record.read_reserved(), None);
        record.write_reserved(RunId(1_800_000_000_000)).unwrap();
        let tomorrow = Record::open(dir.path(), &tomorrow).unwrap();
        assert_eq!((tomorrow.read(), tomorrow.read_reserved()), (None, Some(RunId(1_800_000_000_000))));
    }

    #[test]
    fn what_is_no_regular_file_is_replaced_by_a_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let fifo = || nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let link = || std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        for make in [&fifo as &dyn Fn(), &link] {
            make();
            let record = Record::open(dir.path(), &boot("4e3f27bb")).unwrap();
            assert_eq!(record.read(), None);
            record.write(Timestamp(60)).unwrap();
            assert_eq!(record.read(), Some(Timestamp(60)));
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn half_a_record_is_none() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), [1; 9]).unwrap();
        assert_eq!(Record::open(dir.path(), &boot("x")).unwrap().read(), None);
    }
}
