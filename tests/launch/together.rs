//! Jobs of one owner that are due at once: one process starts them, and nobody can tell.

use crate::bench::{Bench, not_started, read, start};
use crate::common::Subject;
use crate::world;
use cronwheel::plan::{End, Start};
use nix::poll::PollFlags;
use std::fs::{self, File};
use std::os::fd::AsRawFd;

/// All that a job can tell of itself but its own numbers, as the file that it is told at its input.
const FACTS: &str = "read out; { id; pwd; umask; ulimit -a; ulimit -Ha; ls /proc/$$/fd; tr '\\\\0' '\\\\n' </proc/$$/environ; \
    ps -o sid=,pgid=,tty=,ni=,cls=,comm= $$ | sed \"s/ $$/ own/g\"; ionice -p $$; cat /proc/$$/oom_score_adj /proc/$$/cgroup \
    /proc/$$/personality /proc/$$/coredump_filter /proc/$$/loginuid; readlink /proc/$$/root /proc/$$/exe; \
    grep -vE '^(Pid|Tgid|Ngid|NStgid|NSpid|NSpgid|NSsid|Vm|Rss|.*ctxt_switches|SigQ|State|untag|x86)' /proc/$$/status; cat; } >$out 2>&1";

#[test]
fn jobs_started_together_are_each_as_if_started_alone() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    world.run("groupadd extra && usermod -aG extra alice").ok();
    let mut bench = Bench::debian();
    let tracer = bench.traced(&["-e", "trace=clone"]);
    let facts = |run: u64| start(run, "alice", &format!("{FACTS}; exit {run}%out{run}%text of {run}"));
    bench.start(&facts(1));
    assert_eq!(bench.end_of(1), End::Code(1));
    bench.start_together(&(2..8).map(facts).collect::<Vec<_>>());
    let alone = read("/home/alice/out1");
    for run in 2..8 {
        assert_eq!(bench.end_of(run), End::Code(run as i32));
        let expected = alone.replace("text of 1", &format!("text of {run}"));
        assert_eq!(read(&format!("/home/alice/out{run}")), expected);
    }
    assert!(alone.contains(&format!("PPid:\t{}\n", bench.runner.pid())), "{alone}");
    assert!(bench.started.iter().map(|(run, _)| run.0).eq(1..8), "{:?}", bench.started);
    drop(tracer);
    let siblings = read("/tmp/trace").matches("CLONE_PARENT").count();
    assert_eq!(siblings, 5, "the last of the six is who started the others");
}

/// A shell that cannot be executed as long as this lives (fcntl(2), F_SETLEASE), up to 45 seconds.
struct HeldShell(File);

impl HeldShell {
    fn new() -> HeldShell {
        fs::copy("/bin/sh", "/tmp/sh").unwrap();
        let file = File::open("/tmp/sh").unwrap();
        // SAFETY: no handler is installed; the kernel tells with it that somebody waits.
        unsafe { nix::sys::signal::signal(nix::sys::signal::Signal::SIGIO, nix::sys::signal::SigHandler::SigIgn) }
            .unwrap();
        HeldShell(file).set(nix::libc::F_WRLCK)
    }

    fn set(self, lease: i32) -> HeldShell {
        // SAFETY: takes integers only.
        let done = unsafe { nix::libc::fcntl(self.0.as_raw_fd(), nix::libc::F_SETLEASE, lease) };
        assert_eq!(done, 0, "{}", std::io::Error::last_os_error());
        self
    }

    fn release(self) {
        self.set(nix::libc::F_UNLCK);
    }
}

/// A job that says so; `held` with the shell that cannot be had.
fn says_so(run: u64, held: bool) -> Start {
    let mut start = start(run, "alice", &format!("echo {run} >>out"));
    if held {
        start.variables = vec![(b"SHELL".to_vec(), b"/tmp/sh".to_vec())];
    }
    start
}

#[test]
fn a_job_whose_program_does_not_come_holds_up_none_of_its_owners_others() {
    let Some(_world) = world!(Subject::OursDebian) else { return };
    for held in [1, 2, 4] {
        let mut bench = Bench::debian();
        let shell = HeldShell::new();
        bench.start_together(&(1..5).map(|run| says_so(run, run == held)).collect::<Vec<_>>());
        for run in (1..5).filter(|run| *run != held) {
            assert_eq!(bench.end_of(run), End::Code(0));
        }
        assert_eq!(bench.ended.len(), 3, "{:?}", bench.ended);
        shell.release();
        assert_eq!(bench.end_of(held), End::Code(0));
        let mut said: Vec<String> = read("/home/alice/out").lines().map(str::to_owned).collect();
        said.sort_unstable();
        assert_eq!(said, ["1", "2", "3", "4"]);
        assert_eq!((bench.started.len(), bench.ended.len()), (4, 4));
        fs::remove_file("/home/alice/out").unwrap();
    }
}

#[test]
fn a_process_that_cannot_tell_which_job_it_is_is_none_and_each_job_runs_once_all_the_same() {
    let Some(_world) = world!(Subject::OursDebian) else { return };
    // The first thing that each writes is which job it is; a lone job's process writes nothing.
    for fault in ["error=EIO", "error=EIO:signal=SIGKILL"] {
        let mut bench = Bench::debian();
        let tracer = bench.traced(&["-e", "trace=write", "-e", &format!("inject=write:{fault}:when=1")]);
        bench.start_together(&(1..5).map(|run| start(run, "alice", &format!("exit {run}"))).collect::<Vec<_>>());
        assert_eq!((1..5).map(|run| bench.end_of(run)).collect::<Vec<_>>(), (1..5).map(End::Code).collect::<Vec<_>>());
        assert_eq!(bench.ended.len(), 4, "{:?}", bench.ended);
        drop(tracer);
        assert_eq!(read("/tmp/trace").matches("write(").count(), 4);
    }
}

#[test]
fn each_has_one_end_when_all_are_to_end_while_one_is_held_up() {
    let Some(_world) = world!(Subject::OursDebian) else { return };
    let mut bench = Bench::debian();
    let shell = HeldShell::new();
    bench.start_together(&(1..5).map(|run| says_so(run, run == 2)).collect::<Vec<_>>());
    assert_eq!(bench.end_of(1), End::Code(0));
    // The runner knows of a process to end only when that has told which job it is.
    while !bench.started.iter().any(|(run, _)| run.0 == 2) {
        bench.hear(PollFlags::POLLIN);
    }
    bench.runner.end_all(true);
    bench.runner.flush().unwrap();
    assert_eq!(bench.end_of(2), End::Signal { number: 9, core_dumped: false });
    assert_eq!([3, 4].map(|run| not_started(bench.end_of(run))), ["stopping", "stopping"]);
    drop(shell);
    assert_eq!((read("/home/alice/out").as_str(), bench.ended.len()), ("1\n", 4));
}

#[test]
fn beyond_their_owners_limit_of_processes_each_is_told_as_not_started() {
    let Some(world) = world!(Subject::OursDebian) else { return };
    let mut bench = Bench::debian();
    // The kernel counts the processes of an id on the whole machine: no other test has this one's.
    let limited = format!("useradd -m -u 59001 carol && prlimit --nproc=2:2 -p {}", bench.runner.pid());
    world.run(&format!("{limited} && mkfifo -m 666 /tmp/go")).ok();
    bench.start_together(&(1..5).map(|run| start(run, "carol", "read line </tmp/go")).collect::<Vec<_>>());
    // How many get to run is the kernel's business, and which of them the scheduler's.
    let refused = loop {
        match bench.ended.as_slice() {
            [] => bench.hear(PollFlags::POLLIN),
            [(run, end), ..] => break (*run, not_started(end.clone())),
        }
    };
    assert_eq!(refused.1, "exec /bin/sh: Resource temporarily unavailable");
    // As long as one has this end, no reader waits for another.
    let _go = fs::OpenOptions::new().read(true).write(true).open("/tmp/go").unwrap();
    fs::write("/tmp/go", "\n".repeat(4)).unwrap();
    for run in (1..5).filter(|run| *run != refused.0.0) {
        assert!([End::Code(0), End::NotStarted { why: refused.1.clone() }].contains(&bench.end_of(run)));
    }
    assert!(bench.ended.len() == 4 && bench.ended.iter().any(|(_, end)| *end == End::Code(0)), "{:?}", bench.ended);
}
