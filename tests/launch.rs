//! The runner as a black box: orders in, processes, notices, log lines and mail out. As root, each test on a machine of its own.

pub mod common;

use common::{Deadline, Subject, World};
use cronwheel::launch::{Config, LaunchError, Mailer, Notice, Runner, take_leftovers};
use cronwheel::plan::{End, Owner, RunId, Source, Start};
use cronwheel::report::Target;
use cronwheel::site::Profile;
use cronwheel::table::Flags;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs;
use std::path::Path;

fn config(profile: Profile) -> Config {
    Config {
        profile,
        log: Target::Syslog,
        mailer: Mailer::Sendmail,
        output_to_log: false,
        standalone: false,
        log_mask: 1,
        full_host_name: false,
        inherit_path: false,
        run_dir: "/run".into(),
    }
}

/// A start of a line of a system table.
fn start(run: u64, user: &str, command: &str) -> Start {
    Start {
        run: RunId(run),
        source: Source { path: "/etc/cron.d/x".into(), name: "*system*x".into(), owner: Owner::System },
        line: 1,
        user: user.into(),
        command: command.into(),
        variables: Vec::new(),
        flags: Flags::default(),
        scheduled_at: 1_800_000_000,
        at_reboot: false,
    }
}

/// A runner under test with what it has told so far.
struct Bench {
    runner: Runner,
    ended: Vec<(RunId, End)>,
    started: Vec<(RunId, u32)>,
}

impl Bench {
    fn of(config: Config) -> Bench {
        Bench { runner: Runner::spawn(config).unwrap(), ended: Vec::new(), started: Vec::new() }
    }

    fn debian() -> Bench {
        Bench::of(config(Profile::Debian))
    }

    fn start(&mut self, start: &Start) {
        self.runner.start(start);
        while self.runner.wants_to_write() {
            self.runner.flush().unwrap();
            self.hear(PollFlags::POLLIN | PollFlags::POLLOUT);
        }
    }

    /// Waits for one more thing to happen and takes in what has been told.
    fn hear(&mut self, flags: PollFlags) {
        let mut asked = [PollFd::new(self.runner.descriptor(), flags)];
        assert!(poll(&mut asked, PollTimeout::from(30_000_u16)).unwrap() > 0, "the runner says nothing");
        if asked[0].revents().unwrap().contains(PollFlags::POLLIN) {
            for notice in self.runner.receive().unwrap() {
                match notice {
                    Notice::Started { run, pid } => self.started.push((run, pid)),
                    Notice::Ended { run, end, .. } => self.ended.push((run, end)),
                }
            }
        }
    }

    /// How that run ended.
    fn end_of(&mut self, run: u64) -> End {
        loop {
            if let Some((_, end)) = self.ended.iter().find(|(ended, _)| *ended == RunId(run)) {
                return end.clone();
            }
            self.hear(PollFlags::POLLIN);
        }
    }

    /// Runs one command to its end.
    fn run(&mut self, user: &str, command: &str) -> End {
        let run = self.ended.len() as u64 + 1000;
        self.start(&start(run, user, command));
        self.end_of(run)
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn a_job_runs_as_its_owner_in_her_home_with_an_environment_built_from_nothing() {
    let Some(_world) = world!(Subject::OursDebian) else { return };
    let mut bench = Bench::debian();
    let end = bench.run(
        "alice",
        "(id -u; id -g; id -Gn; pwd; umask; env -i PATH=$PATH true; tr '\\\\0' '\\\\n' </proc/$$/environ) >out",
    );
    assert_eq!(end, End::Code(0));
    let uid = nix::unistd::User::from_name("alice").unwrap().unwrap();
    let expected = format!(
        "{}\n{}\nalice\n/home/alice\n0022\nSHELL=/bin/sh\nHOME=/home/alice\nPATH=/usr/bin:/bin\nLOGNAME=alice\n",
        uid.uid, uid.gid
    );
    assert_eq!(read("/home/alice/out"), expected);
}
