//! Control groups of version 2 (cgroups(7)): the one of this process, if it is delegated to it, and leaves below it.
//!
//! A manager such as systemd says by an extended attribute that it leaves what is below a cgroup to the programs in it. The leaves here have
//! no controllers, so they only show which processes belong together.

use super::contract::FreshChild;
use super::files;
use super::process::{self, Pid};
use std::ffi::CStr;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, FileExt};
use std::path::{Path, PathBuf};

/// Where the hierarchy is mounted: alone, or beside those of version 1.
const MOUNT_POINTS: [&str; 2] = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
/// The attribute by which systemd marks a delegated cgroup (systemd.resource-control(5), `Delegate=`).
const DELEGATED: &CStr = c"user.delegate";
const PROCESSES: &str = "cgroup.procs";
/// Maximum number of cgroups below a leaf that are considered. Only a job of root can make any.
const MOST_BELOW: usize = 1000;

/// The cgroup of this process, whose subtree is left to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DelegatedCgroup {
    /// Its path as /proc/PID/cgroup shows it.
    name: Vec<u8>,
    directory: PathBuf,
}

impl DelegatedCgroup {
    /// The cgroup that this process is in now. None if it is not delegated, cannot be written to, or is not visible here.
    pub fn own() -> Option<DelegatedCgroup> {
        let name = own_name()?;
        let below = std::str::from_utf8(&name).ok()?.strip_prefix('/')?;
        let directory = MOUNT_POINTS.iter().map(|root| Path::new(root).join(below)).find(|path| is_delegated(path))?;
        // The mounted hierarchy may be seen from another cgroup namespace, in which the same path leads elsewhere.
        let is_here = processes(&directory).is_ok_and(|here| here.contains(&process::own_pid()));
        (is_here && files::is_writable(&directory)).then_some(DelegatedCgroup { name, directory })
    }

    /// Whether this process is in this cgroup.
    pub fn is_own(&self) -> bool {
        own_name().is_some_and(|name| name == self.name)
    }

    /// The leaf of this name, whether it exists or not.
    pub fn leaf(&self, name: &str) -> LeafCgroup {
        LeafCgroup { directory: self.directory.join(name) }
    }

    /// The existing leaves whose names begin with this.
    pub fn leaves(&self, prefix: &str) -> io::Result<Vec<LeafCgroup>> {
        let mut found = below(&self.directory)?;
        found.retain(|path| path.file_name().is_some_and(|name| name.as_bytes().starts_with(prefix.as_bytes())));
        Ok(found.into_iter().map(|directory| LeafCgroup { directory }).collect())
    }
}

/// A cgroup below that of this process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeafCgroup {
    directory: PathBuf,
}

impl LeafCgroup {
    /// Creates the leaf, with mode 0700, and opens it for a process to enter. An empty one of the same name is replaced.
    pub fn create(&self) -> io::Result<CgroupDescriptor> {
        let make = || DirBuilder::new().mode(0o700).create(&self.directory);
        match make() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.remove()?;
                make()?;
            }
            made => made?,
        }
        let opened = OpenOptions::new().write(true).open(self.directory.join(PROCESSES));
        opened.map(CgroupDescriptor).inspect_err(|_| drop(self.remove()))
    }

    /// The processes in it and in the cgroups below it.
    pub fn processes(&self) -> Vec<Pid> {
        // What cannot be read has been removed, or has only threads.
        self.tree().iter().flat_map(|path| processes(path).unwrap_or_default()).collect()
    }

    /// Opens the file of its state, of which poll(2) reports changes.
    pub fn events(&self) -> io::Result<CgroupEvents> {
        File::open(self.directory.join("cgroup.events")).map(CgroupEvents)
    }

    /// Whether there is a process in it or below it. A leaf that does not exist has none.
    pub fn is_populated(&self) -> bool {
        self.events().and_then(|events| events.is_populated()).unwrap_or(false)
    }

    /// Stops all processes in it, which may take a moment (Linux 5.2).
    pub fn freeze(&self) -> io::Result<()> {
        self.write("cgroup.freeze")
    }

    /// Kills all processes in it, also those that are being forked (Linux 5.14).
    pub fn kill(&self) -> io::Result<()> {
        self.write("cgroup.kill")
    }

    /// Removes it with the cgroups below it. One that does not exist is removed already.
    ///
    /// # Errors
    ///
    /// There are processes in it (`EBUSY`).
    pub fn remove(&self) -> io::Result<()> {
        match fs::remove_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::ResourceBusy && !self.is_populated() => {
                self.tree().iter().rev().try_for_each(fs::remove_dir)
            }
            removed => removed,
        }
    }

    fn write(&self, file: &str) -> io::Result<()> {
        files::write_all(OpenOptions::new().write(true).open(self.directory.join(file))?, b"1")
    }

    /// Its directory and those below it, parents before their children.
    fn tree(&self) -> Vec<PathBuf> {
        let mut found = vec![self.directory.clone()];
        let mut next = 0;
        while let Some(path) = found.get(next).filter(|_| found.len() < MOST_BELOW) {
            let children = below(path).unwrap_or_default();
            found.extend(children);
            next += 1;
        }
        found
    }
}

/// A leaf that is open for a process to enter.
#[derive(Debug)]
pub struct CgroupDescriptor(File);

impl CgroupDescriptor {
    /// Moves this process into the leaf. Allocates nothing.
    pub fn enter(&self, _child: &FreshChild) -> io::Result<()> {
        files::write_all(&self.0, b"0")
    }
}

/// The state of a cgroup. The kernel reports a change as an exceptional condition (POLLPRI) until the state is read.
#[derive(Debug)]
pub struct CgroupEvents(File);

impl CgroupEvents {
    /// Whether there is a process in the cgroup or below it.
    ///
    /// # Errors
    ///
    /// The cgroup has been removed (`ENODEV`).
    pub fn is_populated(&self) -> io::Result<bool> {
        let mut text = [0; 256];
        let length = self.0.read_at(&mut text, 0)?;
        Ok(text.get(..length).unwrap_or(&[]).split(|byte| *byte == b'\n').any(|line| line == b"populated 1"))
    }
}

impl std::os::fd::AsFd for CgroupEvents {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// The path of this process's cgroup. None without version 2.
fn own_name() -> Option<Vec<u8>> {
    let text = fs::read("/proc/self/cgroup").ok()?;
    name_of(&text).map(<[u8]>::to_vec)
}

/// The line of version 2: `0::/system.slice/cron.service`. A path that leads out of the cgroup namespace has no directory here.
fn name_of(text: &[u8]) -> Option<&[u8]> {
    let name = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))?;
    name.split(|byte| *byte == b'/').all(|part| part != b"..").then_some(name)
}

fn is_delegated(directory: &Path) -> bool {
    let mut value = [0_u8; 4];
    let length = files::open_dir(directory).and_then(|open| files::extended_attribute(&open, DELEGATED, &mut value));
    length.ok().and_then(|length| value.get(..length)) == Some(b"1")
}

fn processes(directory: &Path) -> io::Result<Vec<Pid>> {
    let text = fs::read_to_string(directory.join(PROCESSES))?;
    // 0 is a process of another pid namespace.
    Ok(text.lines().filter_map(|line| line.parse().ok()).filter(|pid| *pid != 0).collect())
}

/// The directories in this one.
fn below(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_of_version_2_names_the_cgroup() {
        let hybrid = b"2:cpuacct:/x\n1:name=systemd:/y\n0::/system.slice/cron.service\n";
        assert_eq!(name_of(hybrid), Some(&b"/system.slice/cron.service"[..]));
        assert_eq!(name_of(b"0::/\n"), Some(&b"/"[..]));
        assert_eq!(name_of(b"0::/../cron.service\n"), None);
        assert_eq!(name_of(b"4:memory:/z\n"), None);
    }

    #[test]
    fn a_directory_without_the_attribute_is_not_delegated() {
        assert!(!is_delegated(Path::new("/proc")) && !is_delegated(Path::new("/nonexistent")));
    }

    #[test]
    fn a_leaf_that_does_not_exist_has_no_processes_and_is_removed_already() {
        let leaf = LeafCgroup { directory: "/sys/fs/cgroup/nonexistent/leaf".into() };
        assert!(!leaf.is_populated() && leaf.processes().is_empty());
        assert!(leaf.remove().is_ok() && leaf.create().is_err() && leaf.kill().is_err());
    }
}
