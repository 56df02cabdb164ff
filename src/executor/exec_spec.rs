//! Turns a forked child into a job or a mailer. Every step is checked.

use super::environment::{Variables, c_string};
use super::selinux::Label;
use crate::crontab::{IoClass, ResourceLimits};
use crate::profile::ProfileName;
use crate::sys::cgroup::CgroupDescriptor;
use crate::sys::clock;
use crate::sys::contract::{FreshChild, SingleThreaded};
use crate::sys::descriptor;
use crate::sys::descriptor::StandardStream;
use crate::sys::files::reason;
use crate::sys::process::{self, DescriptorLimit, Pid, Program};
use crate::users::UserWithGroups;
use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Why a fleet job is not started whose claim is too old.
pub(super) const CLAIM_EXPIRED: &str = "claim expired";

/// The step of the child that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum ExecStage {
    Fork,
    Session,
    Label,
    Descriptors,
    Priority,
    Limits,
    Groups,
    GroupId,
    UserId,
    Verify,
    Directory,
    /// Entering the home directory failed, so `/` is used instead. The job still runs.
    DirectoryInstead,
    Signals,
    Exec,
    /// Setting a limit of the entry failed. The job runs without it.
    Nice,
    IoPriority,
    /// The job could not enter a cgroup of its own. It runs in that of the executor.
    Cgroup,
    /// The claim of a fleet job has expired.
    Claim,
}

const STEPS: [ExecStage; 18] = [
    ExecStage::Fork,
    ExecStage::Session,
    ExecStage::Label,
    ExecStage::Descriptors,
    ExecStage::Priority,
    ExecStage::Limits,
    ExecStage::Groups,
    ExecStage::GroupId,
    ExecStage::UserId,
    ExecStage::Verify,
    ExecStage::Directory,
    ExecStage::DirectoryInstead,
    ExecStage::Signals,
    ExecStage::Exec,
    ExecStage::Nice,
    ExecStage::IoPriority,
    ExecStage::Cgroup,
    ExecStage::Claim,
];

impl ExecStage {
    /// Whether it sets a limit of the entry, without which the job runs, too.
    pub(super) fn is_limit(self) -> bool {
        matches!(self, ExecStage::Nice | ExecStage::IoPriority)
    }
}

/// A failed step of the child with its error.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) step: ExecStage,
    pub(super) source: io::Error,
}

pub(super) fn at(step: ExecStage) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure { step, source }
}

impl Failure {
    /// Makes a failure from the number of the step and the errno value.
    pub(super) fn of_numbers(step: u8, number: i32) -> Option<Failure> {
        let step = STEPS.into_iter().find(|known| *known as u8 == step)?;
        Some(Failure { step, source: io::Error::from_raw_os_error(number) })
    }

    /// Describes the failure, for example `setuid 1000: Resource temporarily unavailable`.
    pub(super) fn why(&self, spec: &ExecSpec) -> String {
        let text = |c: &CString| String::from_utf8_lossy(c.as_bytes()).into_owned();
        let (uid, gid) = spec.identity.as_ref().map_or((0, 0), |identity| (identity.uid, identity.gid));
        let doing = match self.step {
            ExecStage::Fork => "starting the process".to_owned(),
            ExecStage::Session => "setsid".to_owned(),
            ExecStage::Label => "setting the SELinux context".to_owned(),
            ExecStage::Descriptors => "setting up descriptors".to_owned(),
            ExecStage::Priority => "resetting the priority".to_owned(),
            ExecStage::Limits => "restoring the descriptor limit".to_owned(),
            ExecStage::Groups => "setgroups".to_owned(),
            ExecStage::GroupId => format!("setgid {gid}"),
            ExecStage::UserId => format!("setuid {uid}"),
            ExecStage::Verify => format!("checking that the ids are {uid}:{gid}"),
            ExecStage::Directory | ExecStage::DirectoryInstead => format!("chdir {}", text(&spec.directory)),
            ExecStage::Signals => "unblocking signals".to_owned(),
            ExecStage::Nice | ExecStage::IoPriority => format!("setting {}", spec.limit_text(self.step)),
            ExecStage::Cgroup => "entering the cgroup".to_owned(),
            ExecStage::Claim => return CLAIM_EXPIRED.to_owned(),
            ExecStage::Exec => format!("exec {}", spec.program.path().to_string_lossy()),
        };
        format!("{doing}: {}", reason(&self.source))
    }
}

/// The user and group ids that the child changes to.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) groups: Vec<u32>,
}

impl From<&UserWithGroups> for Identity {
    fn from(user: &UserWithGroups) -> Identity {
        Identity { uid: user.uid, gid: user.gid, groups: user.groups.clone() }
    }
}

/// Everything that a child needs to execute its program. It is made before the fork, so that the child allocates nothing.
#[derive(Debug)]
pub(super) struct ExecSpec {
    /// None: the ids stay those of this process (`crond FILE`).
    pub(super) identity: Option<Identity>,
    /// The SELinux context to run in. None: the PAM monitor has set it already, or there is no SELinux.
    pub(super) label: Option<Label>,
    /// The cgroup of the job. None: it stays in that of its parent.
    pub(super) cgroup_descriptor: Option<CgroupDescriptor>,
    pub(super) program: Program,
    pub(super) directory: CString,
    /// Whether the program runs in `/` if its directory cannot be entered.
    pub(super) runs_without_home: bool,
    /// Whether priority, umask and limits are reset here. PAM sets them before if there is a PAM session.
    pub(super) sets_defaults: bool,
    /// The limits of the daemon's process when it was started.
    pub(super) original_limits: OriginalLimits,
    /// The limits that the entry sets (`CRON_LIMITS`).
    pub(super) limits: ResourceLimits,
    /// The program is not executed later than this, in milliseconds of CLOCK_BOOTTIME: the claim of a fleet job has expired then. None: at any
    /// time.
    pub(super) start_by_ms: Option<i64>,
}

/// The limits of the daemon's process when it was started, read once when the executor starts.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct OriginalLimits {
    /// The descriptor limit, which is restored for jobs.
    pub(super) limit: DescriptorLimit,
    /// Whether the OOM killer's score adjustment is not 0, so that it must be reset for jobs.
    pub(super) has_oom_adjustment: bool,
}

impl OriginalLimits {
    /// Reads the current values of this process.
    pub(super) fn own() -> io::Result<OriginalLimits> {
        Ok(OriginalLimits { limit: DescriptorLimit::own()?, has_oom_adjustment: !process::has_default_oom_score() })
    }
}

impl ExecSpec {
    /// The specification of `SHELL -c COMMAND` in HOME.
    pub(super) fn of_shell(command: &[u8], environment: &Variables, original_limits: OriginalLimits) -> ExecSpec {
        let shell = c_string(&[environment.get("SHELL").unwrap_or(b"/bin/sh")]);
        let arguments = vec![shell.clone(), c"-c".to_owned(), c_string(&[command])];
        ExecSpec {
            identity: None,
            label: None,
            cgroup_descriptor: None,
            program: Program::new(shell, arguments, environment.strings()),
            directory: c_string(&[environment.get("HOME").unwrap_or(b"/")]),
            runs_without_home: true,
            sets_defaults: true,
            original_limits,
            limits: ResourceLimits::default(),
            start_by_ms: None,
        }
    }

    /// The limit that this step sets, as a crontab has it.
    pub(super) fn limit_text(&self, step: ExecStage) -> String {
        match (step, self.limits) {
            (ExecStage::Nice, ResourceLimits { nice: Some(nice), .. }) => format!("nice={nice}"),
            (_, ResourceLimits { io: Some(IoClass::Idle), .. }) => "io=idle".to_owned(),
            (_, ResourceLimits { io: Some(IoClass::BestEffort(level)), .. }) => format!("io=best-effort:{level}"),
            (_, ResourceLimits { io: None, .. }) => String::new(),
        }
    }

    /// Executes the program; returns only if a step failed. A failure that does not stop the job is sent to `reporter`.
    pub(super) fn exec(&self, child: &FreshChild, stdio: Stdio<'_>, reporter: &Reporter) -> Failure {
        let Err(failure) = self.steps(child, stdio, reporter);
        failure
    }

    /// Executes the program in a new process that keeps this process's identity, by posix_spawn(3), which costs less than a fork. None if that is
    /// not possible: a fork can enter a cgroup, set an entry's limits and check the claim of a fleet job, and reports which step fails.
    pub(super) fn spawn(&self, threads: &SingleThreaded, stdio: Stdio<'_>) -> Option<Pid> {
        let needs_fork = self.identity.is_some() || self.label.is_some() || self.cgroup_descriptor.is_some();
        if needs_fork || self.limits != ResourceLimits::default() || self.start_by_ms.is_some() {
            return None;
        }
        let stdio = [stdio.input, stdio.output, stdio.error];
        self.program.spawn(threads, stdio, self.original_limits.limit, &self.directory).ok()
    }

    /// After the change of ids the owner may stop the process with SIGSTOP, so by then only its own descriptors may be open.
    fn steps(&self, child: &FreshChild, stdio: Stdio<'_>, reporter: &Reporter) -> Result<Infallible, Failure> {
        process::new_session().map_err(at(ExecStage::Session))?;
        if let Some(label) = &self.label {
            label.set_exec_context().map_err(at(ExecStage::Label))?;
        }
        // The child's session was begun before, so that every process in its cgroup is in a session of the job.
        if let Some(Err(source)) =
            self.cgroup_descriptor.as_ref().map(|cgroup_descriptor| cgroup_descriptor.enter(child))
        {
            reporter.send(&Failure { step: ExecStage::Cgroup, source });
        }
        stdio.place(child, reporter).map_err(at(ExecStage::Descriptors))?;
        self.set_identity(reporter)?;
        self.exec_program(reporter)
    }

    /// Changes to the ids, the priority and the limits of the job.
    fn set_identity(&self, reporter: &Reporter) -> Result<(), Failure> {
        if self.sets_defaults {
            self.original_limits.limit.set().map_err(at(ExecStage::Limits))?;
            if self.identity.is_some() {
                defaults(self.original_limits)?;
            }
        }
        self.set_limits(reporter);
        self.identity.as_ref().map_or(Ok(()), Identity::assume)
    }

    /// Sets the limits of the entry, before the change of ids since only root may ask for more than an ordinary share.
    fn set_limits(&self, reporter: &Reporter) {
        let nice = self.limits.nice.map_or(Ok(()), process::set_nice).map_err(at(ExecStage::Nice));
        let io = self.limits.io.map_or(Ok(()), |class| match class {
            IoClass::Idle => process::set_io_priority(None),
            IoClass::BestEffort(level) => process::set_io_priority(Some(level)),
        });
        for failure in [nice, io.map_err(at(ExecStage::IoPriority))].into_iter().filter_map(Result::err) {
            reporter.send(&failure);
        }
    }

    fn exec_program(&self, reporter: &Reporter) -> Result<Infallible, Failure> {
        self.enter_directory(reporter)?;
        process::unblock_signals().map_err(at(ExecStage::Signals))?;
        // As late as possible: a PAM session may have taken long to open, and the machine may have slept.
        if self.start_by_ms.is_some_and(|start_by_ms| clock::boot_ms() >= start_by_ms) {
            return Err(at(ExecStage::Claim)(io::ErrorKind::TimedOut.into()));
        }
        Err(at(ExecStage::Exec)(self.program.exec()))
    }

    fn enter_directory(&self, reporter: &Reporter) -> Result<(), Failure> {
        let Err(error) = process::enter(&self.directory) else { return Ok(()) };
        if !self.runs_without_home {
            return Err(at(ExecStage::Directory)(error));
        }
        reporter.send(&Failure { step: ExecStage::DirectoryInstead, source: error });
        // In standalone mode the job runs as the caller and stays in the current directory. Everybody may enter `/`.
        if self.identity.is_some() { process::enter(c"/").map_err(at(ExecStage::Directory)) } else { Ok(()) }
    }
}

/// Resets umask, OOM score and priority to the values that every job starts with. A PAM session may change them later. A container may not
/// be allowed to change its priority, and then keeps it.
pub(super) fn defaults(original_limits: OriginalLimits) -> Result<(), Failure> {
    process::set_umask(0o022);
    let oom_score = if original_limits.has_oom_adjustment { process::reset_oom_score() } else { Ok(()) };
    for done in [oom_score, process::reset_priority()] {
        match done {
            Err(error) if error.kind() != io::ErrorKind::PermissionDenied => {
                return Err(at(ExecStage::Priority)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

impl Identity {
    /// Changes to these ids permanently and verifies the result.
    fn assume(&self) -> Result<(), Failure> {
        process::set_groups(&self.groups).map_err(at(ExecStage::Groups))?;
        process::set_group_ids(self.gid).map_err(at(ExecStage::GroupId))?;
        process::set_user_ids(self.uid).map_err(at(ExecStage::UserId))?;
        // The kernel does this when ids change, unless fs.suid_dumpable says otherwise (proc(5)).
        process::clear_dumpable().map_err(at(ExecStage::UserId))?;
        let ids = process::own_ids().map_err(at(ExecStage::Verify))?;
        let ours = ids.users == [self.uid; 3] && ids.groups == [self.gid; 3];
        if !ours || (self.uid != 0 && process::try_become_root()) {
            return Err(at(ExecStage::Verify)(process::not_permitted()));
        }
        Ok(())
    }
}

/// The child's standard input, output and error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stdio<'a> {
    pub(super) input: BorrowedFd<'a>,
    pub(super) output: BorrowedFd<'a>,
    pub(super) error: BorrowedFd<'a>,
}

impl Stdio<'_> {
    /// Moves the streams to descriptors 0, 1 and 2 and closes all others except the reporter's pipe, which exec closes. The numbers of the
    /// pipes are above 2, because the executor and the PAM monitor have 0, 1 and 2 open.
    fn place(self, child: &FreshChild, reporter: &Reporter) -> io::Result<()> {
        descriptor::duplicate_to(child, self.input, 0)?;
        descriptor::duplicate_to(child, self.output, 1)?;
        descriptor::duplicate_to(child, self.error, 2)?;
        descriptor::close_from(child, 3, &[reporter.pipe.as_fd()])
    }
}

/// The pipe on which children report failures before their exec. All children share it, and exec closes it. A report is short enough to be
/// written completely or not at all (pipe(7)).
#[derive(Debug)]
pub(super) struct Reporter {
    pipe: OwnedFd,
}

/// Length of a report: process id, number of the failed step, errno.
const REPORT: usize = 4 + 1 + 4;

impl Reporter {
    /// Creates the pipe: the end of the children and the end of the executor.
    pub(super) fn new() -> io::Result<(Reporter, Reports)> {
        let (read, write) = descriptor::pipe()?;
        descriptor::set_nonblocking(read.as_fd(), true)?;
        Ok((Reporter { pipe: write }, Reports { pipe: read }))
    }

    /// Reports a failure of this process.
    pub(super) fn send(&self, failure: &Failure) {
        let number = failure.source.raw_os_error().unwrap_or_default();
        let mut report = [0; REPORT];
        let fields =
            process::own_pid().to_le_bytes().into_iter().chain([failure.step as u8]).chain(number.to_le_bytes());
        for (to, from) in report.iter_mut().zip(fields) {
            *to = from;
        }
        // No process is left to report this error to. The exit status still shows the failure.
        let _ = descriptor::write(self.pipe.as_fd(), &report);
    }
}

impl AsFd for Reporter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// The executor's end of the pipe on which children report failures.
#[derive(Debug)]
pub(super) struct Reports {
    pipe: OwnedFd,
}

impl Reports {
    /// Takes the reports that have arrived: the process that failed and its failure.
    pub(super) fn take(&self) -> Vec<(Pid, Failure)> {
        let mut taken = Vec::new();
        let mut buffer = [0; REPORT * 64];
        while let Ok(count) = descriptor::read(self.pipe.as_fd(), &mut buffer) {
            if count == 0 {
                break;
            }
            taken.extend(buffer.get(..count).unwrap_or(&[]).chunks_exact(REPORT).filter_map(read_report));
        }
        taken
    }
}

impl AsFd for Reports {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

fn read_report(report: &[u8]) -> Option<(Pid, Failure)> {
    let (pid, rest) = report.split_first_chunk::<4>()?;
    let (step, rest) = rest.split_first()?;
    let (number, _) = rest.split_first_chunk::<4>()?;
    Some((Pid::from_le_bytes(*pid), Failure::of_numbers(*step, i32::from_le_bytes(*number))?))
}

/// Runs in the child: executes the job, or reports the failure and returns the exit status.
pub(super) fn run_child(
    child: &FreshChild,
    spec: &ExecSpec,
    stdio: Stdio<'_>,
    reporter: &Reporter,
    profile: ProfileName,
) -> i32 {
    let failure = spec.exec(child, stdio, reporter);
    if failure.step == ExecStage::Exec {
        write_failure_to_output(spec, &failure, profile);
    }
    reporter.send(&failure);
    127
}

/// Also writes a failed exec to the job's own output, as the reference implementations do, so that the mail contains it.
fn write_failure_to_output(spec: &ExecSpec, failure: &Failure, profile: ProfileName) {
    let (shell, why) = (spec.program.path().to_string_lossy(), reason(&failure.source));
    let text = match profile {
        ProfileName::Debian => format!("{shell}: execle: {why}\n"),
        ProfileName::Cronie => format!("execl: couldn't exec `{shell}'\nexecl: {why}\n"),
    };
    let _ = descriptor::write(descriptor::standard(StandardStream::Error).as_fd(), text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_names_itself_and_the_step_that_failed() {
        let (reporter, reports) = Reporter::new().unwrap();
        reporter.send(&Failure { step: ExecStage::UserId, source: io::Error::from_raw_os_error(11) });
        let mut spec = ExecSpec::of_shell(b"true", &Variables::default(), OriginalLimits::own().unwrap());
        spec.identity = Some(Identity { uid: 1000, gid: 7, groups: Vec::new() });
        let taken: Vec<_> = reports.take().iter().map(|(pid, failure)| (*pid, failure.why(&spec))).collect();
        assert_eq!(taken, [(process::own_pid(), "setuid 1000: Resource temporarily unavailable".to_owned())]);
        assert!(reports.take().is_empty());
    }

    #[test]
    fn every_step_has_its_own_number() {
        for (index, step) in STEPS.into_iter().enumerate() {
            assert_eq!(step as usize, index);
        }
    }
}
