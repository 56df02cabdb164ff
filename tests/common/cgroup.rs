//! A cgroup of its own for a test and all that it starts, as a manager such as systemd would make one for the daemon.

use super::{Deadline, World};
use std::fs;
use std::path::PathBuf;

/// Where the hierarchy is mounted on the private machine.
const ROOT: &str = "/sys/fs/cgroup";

/// The cgroup that the test is in until this is dropped. The whole machine sees it, so it is removed then, with whatever is in it.
#[derive(Debug)]
pub struct TestCgroup {
    directory: PathBuf,
    /// The file by which the test goes back to where it was.
    before: String,
}

impl TestCgroup {
    /// Mounts the hierarchy and moves this process into a new cgroup.
    pub fn enter(world: &World) -> TestCgroup {
        world.run(&format!("mkdir -p {ROOT} && mount -t cgroup2 none {ROOT}")).ok();
        // The name of our process namespace tells it from those of other tests.
        let namespace = fs::read_link("/proc/self/ns/pid").expect("our namespace");
        let number: String = namespace.to_string_lossy().chars().filter(char::is_ascii_digit).collect();
        let before = format!("{ROOT}{}/cgroup.procs", cgroup_of("self"));
        let directory = PathBuf::from(format!("{ROOT}/cronwheel-test-{number}"));
        fs::create_dir(&directory).expect("a cgroup");
        let group = TestCgroup { directory, before };
        fs::write(group.directory.join("cgroup.procs"), "0").expect("to enter the cgroup");
        group
    }

    /// The same, with the attribute that says that what is below it is ours.
    pub fn enter_delegated(world: &World) -> TestCgroup {
        let group = TestCgroup::enter(world);
        world.run(&format!("setfattr -n user.delegate -v 1 {}", group.directory.display())).ok();
        group
    }

    /// Its path as /proc shows it.
    pub fn name(&self) -> String {
        self.directory.display().to_string().trim_start_matches(ROOT).to_owned()
    }

    /// Makes another cgroup in it, and returns its directory.
    pub fn add(&self, name: &str) -> PathBuf {
        let directory = self.directory.join(name);
        fs::create_dir(&directory).expect("a cgroup");
        directory
    }

    /// The names of the cgroups in it.
    pub fn below(&self) -> Vec<String> {
        let entries = fs::read_dir(&self.directory).expect("the cgroup").filter_map(Result::ok);
        let directories = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        directories.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Waits until there is no cgroup in it.
    pub fn wait_until_empty(&self) {
        Deadline::seconds(20)
            .wait_for("the cgroups of the jobs to be removed", || self.below().is_empty().then_some(()));
    }
}

impl Drop for TestCgroup {
    fn drop(&mut self) {
        fs::write(&self.before, "0").ok();
        fs::write(self.directory.join("cgroup.kill"), "1").ok();
        let removed = Deadline::seconds(20).try_wait_for(|| {
            for name in self.below() {
                fs::remove_dir(self.directory.join(name)).ok();
            }
            fs::remove_dir(&self.directory).ok()
        });
        assert!(removed.is_some() || std::thread::panicking(), "{} stays", self.directory.display());
    }
}

/// The cgroup of a process, as /proc shows it.
pub fn cgroup_of(pid: &str) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned()
}
