//! How a fresh child becomes a job or a mailer: every step in order, and every step checked.

use super::environment::{Variables, c_string};
use super::label::Label;
use crate::profile::ProfileName;
use crate::sys::descriptor;
use crate::sys::files::reason;
use crate::sys::process::{self, DescriptorLimit, Pid, Program};
use crate::users::UserWithGroups;
use std::convert::Infallible;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// What was being done in the child when it failed.
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
    /// The home could not be entered, `/` is taken instead: the one failure that is not the end.
    DirectoryInstead,
    Signals,
    Exec,
}

const STEPS: [ExecStage; 14] = [
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
];

/// A step of the child that failed, as the child reports it.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) step: ExecStage,
    pub(super) source: io::Error,
}

fn at(step: ExecStage) -> impl FnOnce(io::Error) -> Failure {
    move |source| Failure { step, source }
}

impl Failure {
    /// From the numbers of the step and of the kernel's reason.
    pub(super) fn of_numbers(step: u8, number: i32) -> Option<Failure> {
        let step = STEPS.into_iter().find(|known| *known as u8 == step)?;
        Some(Failure { step, source: io::Error::from_raw_os_error(number) })
    }

    /// `setuid 1000: Resource temporarily unavailable`.
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

/// Everything that a child needs to become a program, made before the fork.
#[derive(Debug)]
pub(super) struct ExecSpec {
    /// None: it stays who we are (`crond FILE`).
    pub(super) identity: Option<Identity>,
    /// The context to run in, where that is not settled before (by a PAM monitor) or there is no SELinux.
    pub(super) label: Option<Label>,
    pub(super) program: Program,
    pub(super) directory: CString,
    /// Whether `/` will do when the directory cannot be entered.
    pub(super) runs_without_home: bool,
    /// Whether priority, umask and limits are given their defined values here, and not by PAM before.
    pub(super) sets_defaults: bool,
    /// What the daemon was started with.
    pub(super) started_with: StartedWith,
}

/// What the daemon was started with, read once at the executor's start.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub(super) struct StartedWith {
    /// The descriptor limit, which jobs get back.
    pub(super) limit: DescriptorLimit,
    /// Whether a job would be a likelier or less likely victim of the kernel's memory killer than others, unless that is undone.
    pub(super) odd_oom_score: bool,
}

impl StartedWith {
    /// Reads the values of this process.
    pub(super) fn own() -> io::Result<StartedWith> {
        Ok(StartedWith { limit: DescriptorLimit::own()?, odd_oom_score: !process::has_ordinary_oom_score() })
    }
}

impl ExecSpec {
    /// `SHELL -c COMMAND` in HOME.
    pub(super) fn of_shell(command: &[u8], environment: &Variables, started_with: StartedWith) -> ExecSpec {
        let shell = c_string(&[environment.get("SHELL").unwrap_or(b"/bin/sh")]);
        let arguments = vec![shell.clone(), c"-c".to_owned(), c_string(&[command])];
        ExecSpec {
            identity: None,
            label: None,
            program: Program::new(shell, arguments, environment.strings()),
            directory: c_string(&[environment.get("HOME").unwrap_or(b"/")]),
            runs_without_home: true,
            sets_defaults: true,
            started_with,
        }
    }

    /// Becomes the program; returns only when a step failed. `trouble` is told of what does not stop the job.
    pub(super) fn exec(&self, stdio: Stdio<'_>, trouble: &Reporter) -> Failure {
        let Err(failure) = self.steps(stdio, trouble);
        failure
    }

    /// After the change of ids the owner may stop the process (SIGSTOP), so no descriptor but its own may be open by then.
    fn steps(&self, stdio: Stdio<'_>, trouble: &Reporter) -> Result<Infallible, Failure> {
        process::new_session().map_err(at(ExecStage::Session))?;
        if let Some(label) = &self.label {
            label.set_exec_context().map_err(at(ExecStage::Label))?;
        }
        stdio.place(trouble).map_err(at(ExecStage::Descriptors))?;
        self.become_owner()?;
        self.become_program(trouble)
    }

    /// Becomes who the job is to run as, with a job's priority and limits.
    fn become_owner(&self) -> Result<(), Failure> {
        if self.sets_defaults {
            self.started_with.limit.set().map_err(at(ExecStage::Limits))?;
            if self.identity.is_some() {
                defaults(self.started_with)?;
            }
        }
        self.identity.as_ref().map_or(Ok(()), Identity::assume)
    }

    fn become_program(&self, trouble: &Reporter) -> Result<Infallible, Failure> {
        self.enter_directory(trouble)?;
        process::unblock_signals().map_err(at(ExecStage::Signals))?;
        Err(at(ExecStage::Exec)(self.program.exec()))
    }

    fn enter_directory(&self, trouble: &Reporter) -> Result<(), Failure> {
        let Err(error) = process::enter(&self.directory) else { return Ok(()) };
        if !self.runs_without_home {
            return Err(at(ExecStage::Directory)(error));
        }
        trouble.tell(&Failure { step: ExecStage::DirectoryInstead, source: error });
        // Standalone, as the caller, the current directory is as good as `/`; nobody is kept from entering `/`.
        if self.identity.is_some() { process::enter(c"/").map_err(at(ExecStage::Directory)) } else { Ok(()) }
    }
}

/// What a job has whatever the daemon was started with. PAM's limits and umask come after it, when there is PAM. A container that
/// may not change a priority it was given keeps it.
pub(super) fn defaults(started_with: StartedWith) -> Result<(), Failure> {
    process::set_umask(0o022);
    let oom_score = if started_with.odd_oom_score { process::ordinary_oom_score() } else { Ok(()) };
    for done in [oom_score, process::ordinary_priority()] {
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
    /// Becomes that user for good, and makes sure of it.
    fn assume(&self) -> Result<(), Failure> {
        process::set_groups(&self.groups).map_err(at(ExecStage::Groups))?;
        process::set_group_ids(self.gid).map_err(at(ExecStage::GroupId))?;
        process::set_user_ids(self.uid).map_err(at(ExecStage::UserId))?;
        // The kernel does so when ids change, unless it is told otherwise (fs.suid_dumpable, proc(5)).
        process::stay_private().map_err(at(ExecStage::UserId))?;
        let ids = process::own_ids().map_err(at(ExecStage::Verify))?;
        let ours = ids.users == [self.uid; 3] && ids.groups == [self.gid; 3];
        if !ours || (self.uid != 0 && process::can_become_root()) {
            return Err(at(ExecStage::Verify)(process::not_permitted()));
        }
        Ok(())
    }
}

/// What is to be the child's standard input, output and error.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stdio<'a> {
    pub(super) input: BorrowedFd<'a>,
    pub(super) output: BorrowedFd<'a>,
    pub(super) error: BorrowedFd<'a>,
}

impl Stdio<'_> {
    /// 0, 1 and 2, and nothing else but the way to tell a failure, which exec closes. The pipes' own numbers are above 2: the executor
    /// and the PAM monitor have something at 0, 1 and 2.
    fn place(self, trouble: &Reporter) -> io::Result<()> {
        descriptor::place(self.input, 0)?;
        descriptor::place(self.output, 1)?;
        descriptor::place(self.error, 2)?;
        descriptor::close_from(3, &[trouble.pipe.as_fd()])
    }
}

/// A child's way to tell of itself before its exec: a pipe that all children share and that exec closes. A report is short
/// enough to be written whole or not at all.
#[derive(Debug)]
pub(super) struct Reporter {
    pipe: OwnedFd,
}

/// The process, the number of the step that failed, and the kernel's number for why.
const REPORT: usize = 4 + 1 + 4;

impl Reporter {
    /// The children's end, and the executor's.
    pub(super) fn new() -> io::Result<(Reporter, Reports)> {
        let (read, write) = descriptor::pipe()?;
        descriptor::set_nonblocking(read.as_fd(), true)?;
        Ok((Reporter { pipe: write }, Reports { pipe: read }))
    }

    /// Tells of a failure of this very process.
    pub(super) fn tell(&self, failure: &Failure) {
        let number = failure.source.raw_os_error().unwrap_or_default();
        let mut report = [0; REPORT];
        let fields =
            process::own_pid().to_le_bytes().into_iter().chain([failure.step as u8]).chain(number.to_le_bytes());
        for (to, from) in report.iter_mut().zip(fields) {
            *to = from;
        }
        // Nobody is left to be told when this fails; the exit status still says that it was no success.
        let _ = descriptor::write(self.pipe.as_fd(), &report);
    }
}

impl AsFd for Reporter {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// The executor's end of that pipe.
#[derive(Debug)]
pub(super) struct Reports {
    pipe: OwnedFd,
}

impl Reports {
    /// What has been told since the last time: which process failed, and at what.
    pub(super) fn take(&self) -> Vec<(Pid, Failure)> {
        let mut told = Vec::new();
        let mut buffer = [0; REPORT * 64];
        while let Ok(count) = descriptor::read(self.pipe.as_fd(), &mut buffer) {
            if count == 0 {
                break;
            }
            told.extend(buffer.get(..count).unwrap_or(&[]).chunks_exact(REPORT).filter_map(read_report));
        }
        told
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

/// The child: becomes the job, or tells why not and ends.
pub(super) fn child(spec: &ExecSpec, stdio: Stdio<'_>, reporter: &Reporter, profile: ProfileName) -> i32 {
    let failure = spec.exec(stdio, reporter);
    if failure.step == ExecStage::Exec {
        tell_reader_of_output(spec, &failure, profile);
    }
    reporter.tell(&failure);
    127
}

/// A shell that is not there is told in the job's own output as well, as the reference implementations do, so that its mail says so.
fn tell_reader_of_output(spec: &ExecSpec, failure: &Failure, profile: ProfileName) {
    let (shell, why) = (spec.program.path().to_string_lossy(), reason(&failure.source));
    let text = match profile {
        ProfileName::Debian => format!("{shell}: execle: {why}\n"),
        ProfileName::Cronie => format!("execl: couldn't exec `{shell}'\nexecl: {why}\n"),
    };
    let _ = descriptor::write(descriptor::standard(true).as_fd(), text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_names_itself_and_the_step_that_failed() {
        let (reporter, reports) = Reporter::new().unwrap();
        let pid = process::fork(|| {
            reporter.tell(&Failure { step: ExecStage::UserId, source: io::Error::from_raw_os_error(11) });
            0
        })
        .unwrap();
        process::wait(pid).unwrap();
        let mut spec = ExecSpec::of_shell(b"true", &Variables::default(), StartedWith::own().unwrap());
        spec.identity = Some(Identity { uid: 1000, gid: 7, groups: Vec::new() });
        let told: Vec<_> = reports.take().iter().map(|(pid, failure)| (*pid, failure.why(&spec))).collect();
        assert_eq!(told, [(pid, "setuid 1000: Resource temporarily unavailable".to_owned())]);
        assert!(reports.take().is_empty());
    }

    #[test]
    fn every_step_has_its_own_number() {
        for (index, step) in STEPS.into_iter().enumerate() {
            assert_eq!(step as usize, index);
        }
    }
}
