//! The daemons that are compared: how each is started in private namespaces, and the CPU and memory it uses.

use crate::common::implementation::package;
use crate::tables;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Mount point of the control groups, and the group of this benchmark.
const GROUPS: &str = "/tmp/groups";
const OWN: &str = "/tmp/groups/cronwheel-bench";

/// `--watch inotify`, since the root file system here is an overlay, where crond would rescan each minute.
const OURS: [&str; 4] = ["/usr/sbin/crond", "-f", "--watch", "inotify"];
/// Options for a daemon without the history of runs.
const WITHOUT_HISTORY: [&str; 2] = ["--config", tables::NO_HISTORY];
/// The name of ours with the history of runs.
pub const OURS_WITH_HISTORY: &str = "ours+history";

/// A cron daemon or a floor program.
#[derive(Clone, Debug)]
pub struct Daemon {
    /// Its name in the table.
    pub name: &'static str,
    /// The name of its control group, its spool and the file of its jobs' marks.
    pub place: String,
    /// How its jobs can be due at any second, if they can.
    pub by_seconds: Option<BySeconds>,
    /// Whether jobs go through PAM.
    pub pam: bool,
    /// Whether tables must be root's.
    pub root_owns: bool,
    /// Whether it runs one table as its caller, as in a container.
    pub is_standalone: bool,
    /// Where it looks for users' tables.
    spool: &'static str,
    words: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

/// A way to make jobs due at a given second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BySeconds {
    /// Seven fields in the table.
    Quartz,
    /// A flag for all entries.
    Flag,
}

/// All daemons that are installed, ours and the floor programs first.
pub fn daemons(cronie: Option<&str>) -> Vec<Daemon> {
    mount_groups();
    let daemon = |name: &'static str, words: &[&str]| Daemon {
        name,
        // Part of a path in the command of its jobs.
        place: name.replace(' ', "-"),
        by_seconds: None,
        pam: false,
        root_owns: false,
        is_standalone: false,
        spool: "/var/spool/cron/crontabs",
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        variables: Vec::new(),
    };
    let with_history = Daemon { by_seconds: Some(BySeconds::Quartz), ..daemon(OURS_WITH_HISTORY, &OURS) };
    let ours = daemon("ours", &[OURS.as_slice(), &WITHOUT_HISTORY].concat());
    let ours = Daemon { by_seconds: Some(BySeconds::Quartz), ..ours };
    let standalone = daemon("ours FILE", &["/usr/sbin/crond", "--config", tables::NO_HISTORY, tables::ONE_TABLE]);
    let standalone = Daemon { by_seconds: Some(BySeconds::Quartz), root_owns: true, is_standalone: true, ..standalone };
    let floor = daemon("floor", &["/usr/local/bin/mark", "/var/spool/cron/crontabs"]);
    let floor = Daemon { by_seconds: Some(BySeconds::Flag), ..floor };
    let floor_with = |name: &'static str, flags: &[&str]| {
        let (place, mut words) = (name.to_owned(), floor.words.clone());
        words.splice(1..1, flags.iter().map(|flag| (*flag).to_owned()));
        Daemon { name, place, words, ..floor.clone() }
    };
    let mut with_pam = floor_with("floor-pam", &["--pam"]);
    with_pam.words[0] = "/usr/local/bin/floor-pam".to_owned();
    let mut all = vec![
        floor.clone(),
        floor_with("floor-fork", &["--fork"]),
        Daemon { pam: true, ..with_pam },
        ours.clone(),
        with_history,
        standalone,
        Daemon { name: "ours+PAM", place: "ours+PAM".to_owned(), pam: true, ..ours },
    ];
    let within = |name: &str, path: &str| package(name).join(path).display().to_string();
    let debian = within("cron", "usr/sbin/cron");
    all.push(Daemon { pam: true, ..daemon("Debian", &[&debian, "-f"]) });
    if let Some(path) = cronie {
        all.push(Daemon { pam: true, spool: "/var/spool/cron", ..daemon("cronie", &[path, "-n"]) });
    }
    let bcron = within("bcron", "usr/sbin");
    all.push(Daemon {
        variables: vec![
            ("PATH", format!("{bcron}:/usr/bin:/bin")),
            ("LD_LIBRARY_PATH", within("libbg2", "usr/lib")),
            ("BCRON_USER", "root".to_owned()),
            ("BCRON_SPOOL", "/var/spool/cron".to_owned()),
        ],
        ..daemon("bcron", &[&format!("{bcron}/bcron-start")])
    });
    let busybox = within("busybox-static", "bin/busybox");
    let busybox = daemon("busybox", &[&busybox, "crond", "-f", "-c", "/var/spool/cron/crontabs"]);
    all.push(Daemon { root_owns: true, ..busybox });
    let cronstable = within("cronstable", "bin/cronstable");
    let cronstable = daemon("cronstable", &[&cronstable, "-c", tables::ONE_TABLE]);
    all.push(Daemon { root_owns: true, is_standalone: true, ..cronstable });
    all.retain(|daemon| {
        let there = Path::new(&daemon.words[0]).exists();
        if !there {
            eprintln!("{}: no {}; run tests/install-needs", daemon.name, daemon.words[0]);
        }
        there
    });
    all
}

fn mount_groups() {
    fs::create_dir_all(GROUPS).expect("a directory");
    let mounted = Command::new("mount").args(["-t", "cgroup2", "none", GROUPS]).status().expect("mount");
    assert!(mounted.success(), "CPU time is counted by control groups, version 2, which cannot be mounted here");
    fs::create_dir(OWN).ok();
}

impl Daemon {
    /// Whether it differs from ours or the floor program only in how it starts jobs.
    pub fn differs_in_jobs_only(&self) -> bool {
        self.by_seconds.is_some() && !["ours", OURS_WITH_HISTORY, "floor"].contains(&self.name)
    }

    /// Starts it with that spool in private namespaces, and waits until it is ready.
    pub fn start(&self, spool: &str, at: Option<i64>) -> Running {
        const SCRIPT: &str = r#"
            mkdir -p /var/spool/cron/tmp
            mount --bind "$1" "$2"
            mount -t tmpfs tmpfs /run
            mkdir -m 755 /run/crond
            rm -rf "$5"; mkdir -p "$5" /var/lib/cronwheel; mount --bind "$5" /var/lib/cronwheel
            if [ "$3" = false ]; then mount -t tmpfs tmpfs /etc/pam.d; fi
            echo 0 > "$4/cgroup.procs"
            shift 5
            exec "$@""#;
        let group = format!("{OWN}/{}", self.place);
        // An empty group is left over from a run that was killed.
        fs::remove_dir(&group).ok();
        fs::create_dir(&group).expect("a control group");
        let mut words = self.words.clone();
        if let (Some(BySeconds::Flag), Some(at)) = (self.by_seconds, at) {
            let last = words.len() - 1;
            words.splice(last..last, ["--at".to_owned(), at.to_string()]);
        }
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--", "/bin/sh", "-ec", SCRIPT, "sh", spool])
            .args([self.spool, &self.pam.to_string(), &group, &format!("/tmp/state-{}", self.place)])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .envs(self.variables.iter().map(|(name, value)| (*name, value.as_str())))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("unshare, of util-linux");
        let running = Running { child, group };
        running.wait_until_idle();
        running
    }

    /// A copy with another group, spool and files, so that both can run at the same time.
    pub fn with_place(&self, place: &str) -> Daemon {
        Daemon { place: format!("{}-{place}", self.name), ..self.clone() }
    }

    /// A copy with this variable in its environment.
    pub fn with_variable(&self, name: &'static str, value: &str) -> Daemon {
        let mut with = self.clone();
        with.variables.push((name, value.to_owned()));
        with
    }

    /// Removes the control groups.
    pub fn remove_groups() {
        fs::remove_dir(OWN).ok();
    }
}

/// A started daemon; killed with all its processes when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: String,
}

/// Resources of a daemon's own processes, without its jobs.
#[derive(Clone, Copy, Debug, Default)]
pub struct ResourceUse {
    /// Kilobytes, shared pages counted in each process.
    pub rss: f64,
    /// Kilobytes, shared pages divided among those who share.
    pub pss: f64,
    /// The number of processes.
    pub processes: f64,
    /// Voluntary context switches so far.
    pub sleeps: f64,
}

/// The processes of a daemon: pid, milliseconds of CPU so far, PSS in KiB.
#[derive(Debug)]
pub struct CpuSnapshot(Vec<(String, f64, f64)>);

impl CpuSnapshot {
    /// Milliseconds of CPU since `before` of the processes that exist in both: their sum, and that of the process with the most memory,
    /// which is the one that has the tables.
    pub fn since(&self, before: &CpuSnapshot) -> (f64, f64) {
        let spent = |(pid, cpu, memory): &(String, f64, f64)| {
            let (_, earlier, _) = before.0.iter().find(|(known, ..)| known == pid)?;
            Some((cpu - earlier, *memory))
        };
        let spent: Vec<(f64, f64)> = self.0.iter().filter_map(spent).collect();
        let largest = spent.iter().copied().max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or_default();
        (spent.iter().map(|(cpu, _)| cpu).sum(), largest.0)
    }
}

impl Running {
    /// Milliseconds of CPU of all its processes so far, ended ones included.
    pub fn cpu_ms(&self) -> f64 {
        let text = fs::read_to_string(format!("{}/cpu.stat", self.group)).expect("the group's account");
        number_after(&text, "usage_usec ") / 1000.0
    }

    /// The directory of its sockets, as seen from outside its private namespaces.
    pub fn run_directory(&self) -> String {
        format!("/proc/{}/root/run/cronwheel", self.child.id())
    }

    /// Signals its first process.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a signal");
    }

    /// Waits until it uses no more CPU.
    pub fn wait_until_idle(&self) {
        let mut before = -1.0;
        loop {
            let now = self.cpu_ms();
            if now > 0.0 && now - before < 0.3 {
                return;
            }
            before = now;
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// CPU and memory of its processes, all threads included.
    pub fn snapshot(&self) -> CpuSnapshot {
        let pids = fs::read_to_string(format!("{}/cgroup.procs", self.group)).expect("the group's processes");
        let of = |pid: &str| {
            let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
            let ns = |task: fs::DirEntry| {
                let text = fs::read_to_string(task.path().join("schedstat")).unwrap_or_default();
                number_after(&text, "")
            };
            let memory = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
            (pid.to_owned(), tasks.map(ns).sum::<f64>() / 1e6, number_after(&memory, "\nPss:"))
        };
        CpuSnapshot(pids.lines().map(of).collect())
    }

    /// Memory and number of its processes, without jobs and their shells.
    pub fn resources(&self) -> ResourceUse {
        let pids = fs::read_to_string(format!("{}/cgroup.procs", self.group)).expect("the group's processes");
        let mut resources = ResourceUse::default();
        for pid in pids.lines() {
            let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let line = read("cmdline");
            if line.contains("--mark") {
                continue;
            }
            let memory = read("smaps_rollup");
            resources.rss += number_after(&memory, "\nRss:");
            resources.pss += number_after(&memory, "\nPss:");
            resources.sleeps += number_after(&read("status"), "\nvoluntary_ctxt_switches:");
            resources.processes += 1.0;
        }
        resources
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        fs::write(format!("{}/cgroup.kill", self.group), "1").expect("an end of the group");
        self.child.wait().expect("its end");
        // Orphans are reaped by the first process of this PID namespace.
        for _ in 0..100 {
            if fs::remove_dir(&self.group).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{} cannot be removed", self.group);
    }
}

fn number_after(text: &str, name: &str) -> f64 {
    let rest = text.split_once(name).map_or("", |(_, rest)| rest);
    rest.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0.0)
}
