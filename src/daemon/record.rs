//! The record of started runs, so that a restart neither loses nor repeats a due moment.
//!
//! The file has 56 bytes and is in the run directory:
//! - the second up to which everything due has been started, with eight bytes of the boot id, as it counts in the same boot only;
//! - the number up to which run ids are reserved;
//! - the seconds at which `@reboot` jobs became due for the first daemon of the boot and for the last one that had some to start, each with the boot.
//!
//! Each part is written in place with one pwrite(2) and is not synced: it must survive the process, not the machine.

use crate::schedule::Timestamp;
use crate::scheduler::RunId;
use crate::sys::host::Boot;
use crate::sys::state_file;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// The record's name in the run directory.
const NAME: &str = "cronwheel.completed";
/// The length of a part with a second and a boot.
const LENGTH: usize = 16;
/// The offset of the run ids.
const RESERVED_AT: u64 = 16;
/// The offset of the first daemon's `@reboot` jobs.
const FIRST_REBOOT_AT: u64 = 24;
/// The offset of the last daemon's `@reboot` jobs.
const LAST_REBOOT_AT: u64 = 40;

/// The open record of started runs.
#[derive(Debug)]
pub struct StartRecord {
    file: File,
    boot: [u8; 8],
}

/// When `@reboot` jobs became due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RebootJobs {
    /// For the first daemon of a boot.
    pub first: Timestamp,
    /// For the last one that had some to start.
    pub last: Timestamp,
}

impl StartRecord {
    /// Opens the record, or creates it.
    ///
    /// # Errors
    ///
    /// The file cannot be opened or created.
    pub fn open(run_dir: &Path, boot: &Boot) -> io::Result<StartRecord> {
        let path = run_dir.join(NAME);
        let file = match state_file::open_or_create(&path) {
            // Another kind of file is replaced. The caller holds the lock, so that no other daemon does the same.
            Err(error) if state_file::is_no_regular_file(&error) => {
                std::fs::remove_file(&path)?;
                state_file::open_or_create(&path)?
            }
            opened => opened?,
        };
        Ok(StartRecord { file, boot: mark(boot) })
    }

    /// The moment up to which earlier daemons of this boot have started everything due.
    pub fn read(&self) -> Option<Timestamp> {
        self.read_moment(0)
    }

    /// Writes that everything due up to `completed` has been started.
    pub fn write(&self, completed: Timestamp) -> io::Result<()> {
        self.write_moment(completed, 0)
    }

    /// When `@reboot` jobs became due in this boot.
    pub fn read_reboot(&self) -> Option<RebootJobs> {
        Some(RebootJobs { first: self.read_moment(FIRST_REBOOT_AT)?, last: self.read_moment(LAST_REBOOT_AT)? })
    }

    /// Writes when `@reboot` jobs became due.
    pub fn write_reboot(&self, jobs: RebootJobs) -> io::Result<()> {
        self.write_moment(jobs.first, FIRST_REBOOT_AT)?;
        self.write_moment(jobs.last, LAST_REBOOT_AT)
    }

    fn read_moment(&self, at: u64) -> Option<Timestamp> {
        let mut bytes = [0; LENGTH];
        self.file.read_exact_at(&mut bytes, at).ok()?;
        let (seconds, boot) = bytes.split_first_chunk::<8>()?;
        (boot == self.boot).then(|| Timestamp(i64::from_le_bytes(*seconds)))
    }

    fn write_moment(&self, moment: Timestamp, at: u64) -> io::Result<()> {
        let mut bytes = [0; LENGTH];
        let (seconds, boot) = bytes.split_at_mut(8);
        seconds.copy_from_slice(&moment.0.to_le_bytes());
        boot.copy_from_slice(&self.boot);
        self.file.write_all_at(&bytes, at)
    }
}

/// The reservation of run ids.
impl StartRecord {
    /// Up to which run id, exclusive, ids are reserved or used.
    pub fn read_reserved(&self) -> Option<RunId> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, RESERVED_AT).ok()?;
        Some(RunId(u64::from_le_bytes(bytes)))
    }

    /// Reserves run ids up to `upto`, exclusive.
    pub fn write_reserved(&self, upto: RunId) -> io::Result<()> {
        self.file.write_all_at(&upto.0.to_le_bytes(), RESERVED_AT)
    }
}

/// The mark of a boot: the first eight bytes of its UUID.
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
        let record = StartRecord::open(dir.path(), &today).unwrap();
        assert_eq!(record.read(), None);
        record.write(Timestamp(1_800_000_000)).unwrap();
        record.write(Timestamp(1_800_000_060)).unwrap();
        assert_eq!(StartRecord::open(dir.path(), &today).unwrap().read(), Some(Timestamp(1_800_000_060)));
        let tomorrow = boot("5e3f27bb-1b62-4f7a-8d52-0123456789ab");
        assert_eq!(StartRecord::open(dir.path(), &tomorrow).unwrap().read(), None);
        // Run ids continue to count in another boot.
        assert_eq!(record.read_reserved(), None);
        record.write_reserved(RunId(1_800_000_000_000)).unwrap();
        assert_eq!(record.read_reboot(), None);
        let jobs = RebootJobs { first: Timestamp(1_800_000_001), last: Timestamp(1_800_000_007) };
        record.write_reboot(jobs).unwrap();
        assert_eq!(record.read_reboot(), Some(jobs));
        let tomorrow = StartRecord::open(dir.path(), &tomorrow).unwrap();
        assert_eq!(tomorrow.read_reboot(), None);
        assert_eq!((tomorrow.read(), tomorrow.read_reserved()), (None, Some(RunId(1_800_000_000_000))));
    }

    #[test]
    fn another_kind_of_file_is_replaced_by_a_record() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(NAME);
        let fifo = || nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let link = || std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
        for make in [&fifo as &dyn Fn(), &link] {
            make();
            let record = StartRecord::open(dir.path(), &boot("4e3f27bb")).unwrap();
            assert_eq!(record.read(), None);
            record.write(Timestamp(60)).unwrap();
            assert_eq!(record.read(), Some(Timestamp(60)));
            std::fs::remove_file(&path).unwrap();
        }
    }

    #[test]
    fn an_incomplete_record_is_ignored() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(NAME), [1; 9]).unwrap();
        assert_eq!(StartRecord::open(dir.path(), &boot("x")).unwrap().read(), None);
    }
}
