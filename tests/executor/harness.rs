//! An executor under test, and what surrounds it.

use crate::common::{Deadline, World};
use cronwheel::crontab::Flags;
use cronwheel::executor::{
    Executor, ExecutorConfig, ExecutorEvent, ExecutorLinkError, JournalLocation, MAILER_LIMIT, Mailer, OutputStream,
    RunProcess, STARTS_IN_FLIGHT,
};
use cronwheel::profile::ProfileName;
use cronwheel::report::Target;
use cronwheel::scheduler::{
    Environment, JobId, MailResult, Owner, RunId, RunOutcome, RunRequest, RunResult, RunRules, Source, Trigger,
};
use cronwheel::sys::contract::SingleThreaded;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use std::fs;
use std::process::{Child, Command};

pub fn config(profile: ProfileName) -> ExecutorConfig {
    ExecutorConfig {
        profile,
        log: Target::Syslog,
        mailer: Mailer::Sendmail,
        mailer_limit: MAILER_LIMIT,
        output_to_log: false,
        standalone: false,
        prefix_output: false,
        log_mask: 1,
        full_host_name: false,
        inherit_path: false,
        starts_in_flight: STARTS_IN_FLIGHT,
        journal: JournalLocation::Directory("/run/cronwheel".into()),
    }
}

/// Forks an executor.
pub fn spawn(config: ExecutorConfig) -> Result<Executor, ExecutorLinkError> {
    // SAFETY: the test's process has no other thread but the harness's, which only waits for the test.
    let threads = unsafe { SingleThreaded::assume() };
    Executor::spawn(&threads, config)
}

/// A start of a line of a system table.
pub fn start(run: u64, user: &str, command: &str) -> RunRequest {
    RunRequest {
        run: RunId(run),
        job: JobId::named(user, "job"),
        source: Source { path: "/etc/cron.d/x".into(), name: "*system*x".into(), owner: Owner::System },
        line: 1,
        user: user.into(),
        command: command.into(),
        variables: Environment::default(),
        flags: Flags::default(),
        scheduled_at: 1_800_000_000,
        literal: false,
        at_reboot: false,
        trigger: Trigger::Schedule,
        attempt: 1,
        rules: RunRules::default(),
        fleet: None,
    }
}

/// The variables of a table.
pub fn environment(variables: &[(&str, &[u8])]) -> Environment {
    Environment::of(variables.iter().map(|(name, value)| (name.as_bytes(), *value)))
}

/// An strace; gone when dropped.
pub struct Tracer(Child);

impl Drop for Tracer {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// An executor under test with what it has told so far.
pub struct Harness {
    pub executor: Executor,
    pub ended: Vec<RunResult>,
    pub mailed: Vec<(RunId, MailResult)>,
    pub started: Vec<(RunId, u32)>,
    pub kept: Vec<KeptOutput>,
    pub processes: Vec<RunProcess>,
    pub parts: Vec<Part>,
}

/// A part of the output that a follower was sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Part {
    pub follower: u64,
    pub stream: OutputStream,
    pub skipped: u64,
    pub data: Vec<u8>,
    pub is_end: bool,
}

/// What an executor has sent of a run's output for the history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptOutput {
    pub run: RunId,
    pub head: Vec<u8>,
    pub tail: Vec<u8>,
    pub cut: u64,
}

impl Harness {
    pub fn of(config: ExecutorConfig) -> Harness {
        Harness::with(spawn(config).unwrap())
    }

    pub fn with(executor: Executor) -> Harness {
        Harness {
            executor,
            ended: Vec::new(),
            mailed: Vec::new(),
            started: Vec::new(),
            kept: Vec::new(),
            processes: Vec::new(),
            parts: Vec::new(),
        }
    }

    /// A harness in the debian profile, on a machine without PAM services.
    pub fn debian() -> Harness {
        describe_services("");
        Harness::of(config(ProfileName::Debian))
    }

    pub fn start(&mut self, start: &RunRequest) {
        self.start_together(std::slice::from_ref(start));
    }

    /// Gives these orders in one go, so that they are one batch.
    pub fn start_together(&mut self, starts: &[RunRequest]) {
        starts.iter().for_each(|start| self.executor.start(start, true).unwrap());
        while self.executor.wants_to_write() {
            self.executor.flush().unwrap();
            self.hear(PollFlags::POLLIN | PollFlags::POLLOUT);
        }
    }

    /// Waits for one more thing to happen and takes in what has been told.
    pub fn hear(&mut self, flags: PollFlags) {
        let mut asked = [PollFd::new(self.executor.descriptor(), flags)];
        assert!(poll(&mut asked, PollTimeout::from(30_000_u16)).unwrap() > 0, "the executor says nothing");
        if asked[0].revents().unwrap().contains(PollFlags::POLLIN) {
            for notice in self.executor.receive().unwrap() {
                match notice {
                    ExecutorEvent::Started { run, pid } => self.started.push((run, pid)),
                    ExecutorEvent::Ended(result) => self.ended.push(*result),
                    ExecutorEvent::Mailed { run, mail } => self.mailed.push((run, mail)),
                    ExecutorEvent::Accepted { runs: _, processes } => self.processes.extend(processes),
                    ExecutorEvent::OutputPart { follower, stream, skipped, data, is_end } => {
                        self.parts.push(Part { follower, stream, skipped, data, is_end })
                    }
                    ExecutorEvent::KeptOutput { run, head, tail, cut } => {
                        self.kept.push(KeptOutput { run, head, tail, cut })
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
    }

    /// Takes in what is told within so many milliseconds, if anything is.
    pub fn hear_within(&mut self, milliseconds: u16) {
        let mut asked = [PollFd::new(self.executor.descriptor(), PollFlags::POLLIN)];
        if poll(&mut asked, PollTimeout::from(milliseconds)).unwrap() > 0 {
            self.hear(PollFlags::POLLIN);
        }
    }

    /// Has what the executor and its children ask the kernel for written to /tmp/trace, or as these options say.
    pub fn traced(&self, options: &[&str]) -> Tracer {
        let pid = self.executor.pid();
        let strace = Command::new("strace")
            .args(["-f", "-qq", "-o", "/tmp/trace"])
            .args(options)
            .args(["-p", &pid.to_string()])
            .spawn()
            .unwrap();
        let traced = || read(&format!("/proc/{pid}/status")).contains(&format!("TracerPid:\t{}\n", strace.id()));
        Deadline::seconds(20).wait_for("strace to attach", || traced().then_some(()));
        Tracer(strace)
    }

    /// Waits for the end of a run and returns its outcome.
    pub fn end_of(&mut self, run: u64) -> RunOutcome {
        self.result_of(run).outcome
    }

    /// All that is known of that run's end.
    pub fn result_of(&mut self, run: u64) -> RunResult {
        loop {
            if let Some(result) = self.ended.iter().find(|result| result.run == RunId(run)) {
                return result.clone();
            }
            self.hear(PollFlags::POLLIN);
        }
    }

    /// Runs one command to its end.
    pub fn run(&mut self, user: &str, command: &str) -> RunOutcome {
        self.run_for_result(user, command).outcome
    }

    /// The same, for all that is known of its end.
    pub fn run_for_result(&mut self, user: &str, command: &str) -> RunResult {
        let run = self.ended.len() as u64 + 1000;
        self.start(&start(run, user, command));
        self.result_of(run)
    }
}

pub fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The jobs' PAM services; none when there is no text.
pub fn describe_services(text: &str) {
    for service in ["/etc/pam.d/cron", "/etc/pam.d/crond"] {
        if text.is_empty() {
            let _ = fs::remove_file(service);
        } else {
            fs::write(service, text).unwrap();
        }
    }
}

pub const PERMISSIVE: &str =
    "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n";

pub fn uid_of(user: &str) -> u32 {
    nix::unistd::User::from_name(user).unwrap().unwrap().uid.as_raw()
}

/// A mailer that keeps its command line, who it ran as and the queued mail in /tmp/mail.
pub fn install_mailer(ending: &str) {
    let script = format!(
        "#!/bin/sh\n{{ printf '%s|' \"$@\"; echo; id -un; cat; }} >/tmp/mail.part && mv /tmp/mail.part /tmp/mail\n{ending}\n"
    );
    fs::write("/usr/sbin/sendmail", script).unwrap();
    fs::set_permissions("/usr/sbin/sendmail", std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
}

pub fn mail(world: &World) -> String {
    let text = world.wait_for_file("/tmp/mail", Deadline::seconds(20));
    fs::remove_file("/tmp/mail").unwrap();
    text
}

pub fn not_started(end: RunOutcome) -> String {
    match end {
        RunOutcome::NotStarted { why } => why,
        other => panic!("{other:?}"),
    }
}
