//! Who takes part, how each is started in a world of its own, and what it takes.

use crate::common::implementation::package;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Where the control groups are mounted; ours within them.
const GROUPS: &str = "/tmp/groups";
const OWN: &str = "/tmp/groups/cronwheel-bench";

/// The private machine is an overlay, on which our daemon would look at its tables each minute, as on few machines.
const OURS: [&str; 4] = ["/usr/sbin/crond", "-f", "--watch", "inotify"];

/// A cron, or the floor.
#[derive(Clone, Debug)]
pub struct Contestant {
    /// Its name in the table.
    pub name: &'static str,
    /// The name of its control group, its spool and the file of its jobs' marks.
    pub place: String,
    /// Can be told a second, not only a minute.
    pub by_seconds: Option<BySeconds>,
    /// Whether jobs go through PAM.
    pub pam: bool,
    /// Whether tables must be root's.
    pub root_owns: bool,
    /// Where it looks for users' tables.
    spool: &'static str,
    words: Vec<String>,
    variables: Vec<(&'static str, String)>,
}

/// How one is told a second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BySeconds {
    /// Seven fields in the table.
    Quartz,
    /// A flag for all entries.
    Flag,
}

/// Everybody who is there, ours and the floor first.
pub fn contestants(cronie: Option<&str>) -> Vec<Contestant> {
    mount_groups();
    let contestant = |name: &'static str, words: &[&str]| Contestant {
        name,
        place: name.to_owned(),
        by_seconds: None,
        pam: false,
        root_owns: false,
        spool: "/var/spool/cron/crontabs",
        words: words.iter().map(|word| (*word).to_owned()).collect(),
        variables: Vec::new(),
    };
    let ours = Contestant { by_seconds: Some(BySeconds::Quartz), ..contestant("ours", &OURS) };
    let floor = contestant("floor", &["/usr/local/bin/mark", "/var/spool/cron/crontabs"]);
    let floor = Contestant { by_seconds: Some(BySeconds::Flag), ..floor };
    let floor_with = |name: &'static str, flags: &[&str]| {
        let (place, mut words) = (name.to_owned(), floor.words.clone());
        words.splice(1..1, flags.iter().map(|flag| (*flag).to_owned()));
        Contestant { name, place, words, ..floor.clone() }
    };
    let mut with_pam = floor_with("floor-pam", &["--pam"]);
    with_pam.words[0] = "/usr/local/bin/floor-pam".to_owned();
    let mut all = vec![
        floor.clone(),
        floor_with("floor-fork", &["--fork"]),
        Contestant { pam: true, ..with_pam },
        ours.clone(),
        Contestant { name: "ours+PAM", place: "ours+PAM".to_owned(), pam: true, ..ours },
    ];
    let within = |name: &str, path: &str| package(name).join(path).display().to_string();
    let debian = within("cron", "usr/sbin/cron");
    all.push(Contestant { pam: true, ..contestant("Debian", &[&debian, "-f"]) });
    if let Some(path) = cronie {
        all.push(Contestant { pam: true, spool: "/var/spool/cron", ..contestant("cronie", &[path, "-n"]) });
    }
    let bcron = within("bcron", "usr/sbin");
    all.push(Contestant {
        variables: vec![
            ("PATH", format!("{bcron}:/usr/bin:/bin")),
            ("LD_LIBRARY_PATH", within("libbg2", "usr/lib")),
            ("BCRON_USER", "root".to_owned()),
            ("BCRON_SPOOL", "/var/spool/cron".to_owned()),
        ],
        ..contestant("bcron", &[&format!("{bcron}/bcron-start")])
    });
    let busybox = within("busybox-static", "bin/busybox");
    let busybox = contestant("busybox", &[&busybox, "crond", "-f", "-c", "/var/spool/cron/crontabs"]);
    all.push(Contestant { root_owns: true, ..busybox });
    all.retain(|one| {
        let there = Path::new(&one.words[0]).exists();
        if !there {
            eprintln!("{}: no {}; run tests/install-needs", one.name, one.words[0]);
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

impl Contestant {
    /// Whether it is the same as another as long as no jobs are started.
    pub fn differs_in_jobs_only(&self) -> bool {
        self.by_seconds.is_some() && !["ours", "floor"].contains(&self.name)
    }

    /// Starts it with that spool in a world of its own, and lets it become ready.
    pub fn start(&self, spool: &str, at: Option<i64>) -> Running {
        const SCRIPT: &str = r#"
            mkdir -p /var/spool/cron/tmp
            mount --bind "$1" "$2"
            mount -t tmpfs tmpfs /run
            mkdir -m 755 /run/crond
            if [ "$3" = false ]; then mount -t tmpfs tmpfs /etc/pam.d; fi
            echo 0 > "$4/cgroup.procs"
            shift 4
            exec "$@""#;
        let group = format!("{OWN}/{}", self.place);
        // One that is empty was left by a run that was killed.
        fs::remove_dir(&group).ok();
        fs::create_dir(&group).expect("a control group");
        let mut words = self.words.clone();
        if let (Some(BySeconds::Flag), Some(at)) = (self.by_seconds, at) {
            let last = words.len() - 1;
            words.splice(last..last, ["--at".to_owned(), at.to_string()]);
        }
        let child = Command::new("unshare")
            .args(["--mount", "--propagation", "private", "--", "/bin/sh", "-ec", SCRIPT, "sh", spool])
            .args([self.spool, &self.pam.to_string(), &group])
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

    /// The same in another place, so that both can be there at once.
    pub fn elsewhere(&self, place: &str) -> Contestant {
        Contestant { place: format!("{}-{place}", self.name), ..self.clone() }
    }

    /// The same with this variable in its environment.
    pub fn with_variable(&self, name: &'static str, value: &str) -> Contestant {
        let mut with = self.clone();
        with.variables.push((name, value.to_owned()));
        with
    }

    /// Takes the control groups away.
    pub fn leave() {
        fs::remove_dir(OWN).ok();
    }
}

/// A started contestant; killed with all that it started when dropped.
#[derive(Debug)]
pub struct Running {
    child: Child,
    group: String,
}

/// What a contestant's own processes hold, without its jobs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Held {
    /// Kilobytes, shared pages counted in each process.
    pub rss: f64,
    /// Kilobytes, shared pages divided among those who share.
    pub pss: f64,
    /// Processes.
    pub processes: f64,
    /// How often they went to sleep so far.
    pub sleeps: f64,
}

/// The processes that a contestant has: pid, milliseconds of CPU so far, kilobytes of memory.
#[derive(Debug)]
pub struct Standing(Vec<(String, f64, f64)>);

impl Standing {
    /// Milliseconds of CPU since `before` of those that were there then and are there now: all together, and the largest, which is the
    /// one that has the tables.
    pub fn since(&self, before: &Standing) -> (f64, f64) {
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
    /// Milliseconds of CPU that it and all its children have taken so far, the dead ones too.
    pub fn cpu_ms(&self) -> f64 {
        let text = fs::read_to_string(format!("{}/cpu.stat", self.group)).expect("the group's account");
        number_after(&text, "usage_usec ") / 1000.0
    }

    /// Sends its first process a signal.
    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id() as i32), signal).expect("a signal");
    }

    /// Waits until it takes no more CPU.
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

    /// What its processes that are there have taken of the CPU, in all their threads.
    pub fn standing(&self) -> Standing {
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
        Standing(pids.lines().map(of).collect())
    }

    /// What its processes hold, jobs and their shells left out.
    pub fn held(&self) -> Held {
        let pids = fs::read_to_string(format!("{}/cgroup.procs", self.group)).expect("the group's processes");
        let mut held = Held::default();
        for pid in pids.lines() {
            let read = |file: &str| fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
            let line = read("cmdline");
            if line.contains("--mark") {
                continue;
            }
            let memory = read("smaps_rollup");
            held.rss += number_after(&memory, "\nRss:");
            held.pss += number_after(&memory, "\nPss:");
            held.sleeps += number_after(&read("status"), "\nvoluntary_ctxt_switches:");
            held.processes += 1.0;
        }
        held
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        fs::write(format!("{}/cgroup.kill", self.group), "1").expect("an end of the group");
        self.child.wait().expect("its end");
        // Orphans are reaped by the first process of this world.
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
