//! Processes: fork, exec, wait, signals, and the attributes that a job starts with.
//!
//! Everything that forks here has one thread (the executor, its template, its PAM monitors), so the child of a fork may do whatever its
//! parent could.

use super::contract::{FreshChild, SingleThreaded};
use super::files;
use nix::spawn::{PosixSpawnAttr, PosixSpawnFileActions, PosixSpawnFlags, posix_spawn};
use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, killpg, sigprocmask};
use nix::unistd::{Gid, Uid};
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::ptr::null;

/// A process id, as it is written to logs and messages.
pub type Pid = u32;

/// How a process ended, as waitpid(2) reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// A signal ended the process.
    Signal {
        /// The number of the signal.
        number: i32,
        /// Whether it left a core.
        core_dumped: bool,
    },
}

impl Status {
    /// Whether this is exit code 0.
    pub fn is_success(self) -> bool {
        self == Status::Code(0)
    }

    /// The status as wait(2) encodes it. The reference implementations print a mailer's status in this form.
    pub fn raw(self) -> i32 {
        match self {
            Status::Code(code) => (code & 0xff) << 8,
            Status::Signal { number, core_dumped } => number | if core_dumped { 0x80 } else { 0 },
        }
    }

    fn from_raw(raw: i32) -> Status {
        if libc::WIFSIGNALED(raw) {
            Status::Signal { number: libc::WTERMSIG(raw), core_dumped: libc::WCOREDUMP(raw) }
        } else {
            Status::Code(libc::WEXITSTATUS(raw))
        }
    }
}

/// The resource usage of an ended process and its own ended children.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResourceUsage {
    /// CPU time in user mode, in microseconds.
    pub user_us: u64,
    /// CPU time in the kernel, in microseconds.
    pub system_us: u64,
    /// Largest resident set, in KiB.
    pub max_rss_kib: u64,
}

impl ResourceUsage {
    fn of(usage: &libc::rusage) -> ResourceUsage {
        let us = |time: libc::timeval| time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_usec.unsigned_abs();
        ResourceUsage {
            user_us: us(usage.ru_utime),
            system_us: us(usage.ru_stime),
            max_rss_kib: usage.ru_maxrss.unsigned_abs(),
        }
    }
}

/// Ends the process at once, without running destructors or writing buffers.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: takes an integer and does not return; nothing of ours runs after it.
    unsafe { libc::_exit(status) }
}

/// Forks. The child runs `body` and ends with the status it returns, 70 (EX_SOFTWARE) after a panic; it never comes back here.
pub fn fork(_threads: &SingleThreaded, body: impl FnOnce(FreshChild) -> i32) -> io::Result<Pid> {
    // SAFETY: the process has one thread, so no other thread can hold a lock that would stay locked in the child.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        exit_now(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| body(FreshChild::forked()))).unwrap_or(70));
    }
    Ok(pid.unsigned_abs())
}

/// A program with its arguments and environment, laid out as the kernel takes them: made before a fork, so that the child allocates
/// nothing and its parent's memory stays shared.
#[derive(Debug)]
pub struct Program {
    path: CString,
    /// Null-terminated lists of pointers into `strings`.
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    /// The arguments, then the variables.
    strings: Vec<CString>,
}

impl Program {
    /// Prepares the program at `path` with these arguments, the first of which is its name, and these `NAME=value` strings.
    pub fn new(path: CString, mut arguments: Vec<CString>, mut environment: Vec<CString>) -> Program {
        // The bytes of a CString stay where they are when it is moved.
        let list = |strings: &[CString]| strings.iter().map(|string| string.as_ptr()).chain([null()]).collect();
        let (argument_list, environment_list) = (list(&arguments), list(&environment));
        arguments.append(&mut environment);
        Program { path, arguments: argument_list, environment: environment_list, strings: arguments }
    }

    /// The path of the program.
    pub fn path(&self) -> &CStr {
        &self.path
    }

    /// Executes the program. Returns only on failure.
    pub fn exec(&self) -> io::Error {
        // SAFETY: a string that ends with NUL and two lists that end with null, whose strings live as long as this does and end with NUL.
        unsafe { libc::execve(self.path.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr()) };
        io::Error::last_os_error()
    }

    /// Executes the program in a new process by posix_spawn(3): with these descriptors as 0, 1 and 2, this descriptor limit and directory, in a
    /// session of its own, with no signal blocked. All other descriptors must be closed on exec and all signals have their default actions;
    /// glibc has the new process ignore the two that it reserves for itself.
    ///
    /// # Errors
    ///
    /// Any step failed; which one is not known.
    pub fn spawn(
        &self,
        threads: &SingleThreaded,
        stdio: [BorrowedFd<'_>; 3],
        limit: DescriptorLimit,
        directory: &CStr,
    ) -> io::Result<Pid> {
        let mut attributes = PosixSpawnAttr::init()?;
        // A flag of libc that nix has no name for.
        let new_session = PosixSpawnFlags::from_bits_retain(libc::POSIX_SPAWN_SETSID as _);
        attributes.set_flags(new_session | PosixSpawnFlags::POSIX_SPAWN_SETSIGMASK)?;
        attributes.set_sigmask(&SigSet::empty())?;
        let mut actions = PosixSpawnFileActions::init()?;
        for (number, descriptor) in (0..).zip(stdio) {
            actions.add_dup2(descriptor.as_raw_fd(), number)?;
        }
        // The last of the list of pointers is null.
        let (arguments, environment) = self.strings.split_at(self.arguments.len() - 1);
        // The new process begins with what this one has at that moment.
        let _temporary = TemporarySpawnState::set(threads, limit, directory)?;
        Ok(posix_spawn(&*self.path, &actions, &attributes, arguments, environment)?.as_raw().unsigned_abs())
    }
}

/// Another descriptor limit and directory of this process until this is dropped.
#[derive(Debug)]
struct TemporarySpawnState {
    limit: DescriptorLimit,
    directory: OwnedFd,
}

impl TemporarySpawnState {
    fn set(_threads: &SingleThreaded, limit: DescriptorLimit, directory: &CStr) -> io::Result<TemporarySpawnState> {
        let before =
            TemporarySpawnState { limit: DescriptorLimit::own()?, directory: files::open_place(Path::new("."))? };
        enter(directory)?;
        limit.set()?;
        Ok(before)
    }
}

impl Drop for TemporarySpawnState {
    fn drop(&mut self) {
        // Both are as they were before, and the kernel allowed them then.
        let _ = self.limit.set();
        let _ = nix::unistd::fchdir(&self.directory);
    }
}

/// Reaps one ended child, if there is one. It may also be an orphan that this process has adopted.
pub fn reap() -> Option<(Pid, Status)> {
    wait_for(-1, libc::WNOHANG).ok().flatten().map(|(pid, status, _)| (pid, status))
}

/// Finds a child that has ended without reaping it. Its process id is not reused until [`wait`] is called for it.
pub fn ended_child() -> Option<Pid> {
    // SAFETY: all-zero bytes are a valid value, and it is live while the kernel fills it; without a child that has ended it stays as it is.
    let pid = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        check(libc::waitid(libc::P_ALL, 0, &mut info, libc::WEXITED | libc::WNOWAIT | libc::WNOHANG)).ok()?;
        info.si_pid()
    };
    (pid != 0).then_some(pid.unsigned_abs())
}

/// Waits until the child has ended.
pub fn wait(pid: Pid) -> io::Result<Status> {
    wait_with_usage(pid).map(|(status, _)| status)
}

/// Waits until the child has ended, and returns the resource usage of it and of the children that it waited for.
pub fn wait_with_usage(pid: Pid) -> io::Result<(Status, ResourceUsage)> {
    let ended = wait_for(signed(pid), 0)?;
    ended.map(|(_, status, usage)| (status, usage)).ok_or_else(|| io::Error::from_raw_os_error(libc::ECHILD))
}

/// Calls wait4(2) until no signal interrupts it. None if `WNOHANG` is set and no child has ended.
///
/// nix has no `wait4`, and its `waitpid` loses the status of a child that a real-time signal ended.
fn wait_for(pid: libc::pid_t, options: libc::c_int) -> io::Result<Option<(Pid, Status, ResourceUsage)>> {
    let mut raw = 0;
    loop {
        // SAFETY: all-zero bytes are a valid `rusage`. wait4 writes to `raw` and `usage`, which are live.
        let (waited, usage) = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            (libc::wait4(pid, &mut raw, options, &mut usage), usage)
        };
        match check(waited) {
            Ok(0) => return Ok(None),
            Ok(pid) => return Ok(Some((pid.unsigned_abs(), Status::from_raw(raw), ResourceUsage::of(&usage)))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// A signal to a process, mostly one that asks or forces it to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// SIGTERM, which the process can handle.
    Terminate,
    /// SIGKILL, which ends the process in any case.
    Kill,
    /// STOP: do not run, so that nothing is forked meanwhile.
    Stop,
    /// CONT: run on, so that a stopped process gets its other signals.
    Continue,
    /// Any other, as somebody has asked for it.
    Other(OtherSignal),
}

/// A signal of this system, by its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherSignal(Signal);

impl OtherSignal {
    /// The signal with this number. None if there is none, or it is a real-time signal.
    pub fn of_number(number: i32) -> Option<OtherSignal> {
        Signal::try_from(number).ok().map(OtherSignal)
    }
}

impl Ask {
    pub(super) fn signal(self) -> Signal {
        match self {
            Ask::Terminate => Signal::SIGTERM,
            Ask::Kill => Signal::SIGKILL,
            Ask::Stop => Signal::SIGSTOP,
            Ask::Continue => Signal::SIGCONT,
            Ask::Other(OtherSignal(signal)) => signal,
        }
    }
}

/// Signals one process. Only for a child that has not been reaped, since its id cannot belong to another process.
pub fn signal(pid: Pid, ask: Ask) -> io::Result<()> {
    Ok(kill(nix::unistd::Pid::from_raw(signed(pid)), ask.signal())?)
}

/// Signals the process group whose leader is this process id.
pub fn signal_group(leader: Pid, ask: Ask) -> io::Result<()> {
    Ok(killpg(nix::unistd::Pid::from_raw(signed(leader)), ask.signal())?)
}

/// The id of this process, never a cached one, so it is right after a fork, too.
pub fn own_pid() -> Pid {
    nix::unistd::getpid().as_raw().unsigned_abs()
}

/// Makes this process the leader of a new session without a controlling terminal.
pub fn new_session() -> io::Result<()> {
    nix::unistd::setsid()?;
    Ok(())
}

/// Makes this process adopt its orphaned descendants (a subreaper, prctl(2)).
pub fn adopt_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Sets the name that ps(1) shows for the command, at most 15 bytes.
pub fn set_name(name: &CStr) {
    // The name is only informative, and the kernel accepts any.
    let _ = prctl::set_name(name);
}

/// Resets every signal to its default action, whatever was inherited, including the two that libc reserves and hides.
pub fn default_signals() {
    // The kernel's own sigaction: handler, flags, restorer and mask, all of them zero, which is the default without a handler.
    let default = [0_u64; 8];
    for number in 1..=64 {
        // SAFETY: the kernel reads at most 32 bytes of `default`; no handler is installed. KILL and STOP are refused, which is right.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), null::<u64>(), 8) };
    }
}

/// Installs a handler that does nothing for every signal that asks a process to end: this process continues, and programs that it executes
/// have the default action.
pub fn ignore_end_requests() {
    for number in [
        Signal::SIGHUP,
        Signal::SIGINT,
        Signal::SIGQUIT,
        Signal::SIGTERM,
        Signal::SIGUSR1,
        Signal::SIGUSR2,
        Signal::SIGPIPE,
        Signal::SIGALRM,
        Signal::SIGTSTP,
    ] {
        set_handler(number, SigHandler::Handler(do_nothing));
    }
}

/// Ignores SIGCHLD, so that children need not be waited for.
pub fn ignore_children() {
    set_handler(Signal::SIGCHLD, SigHandler::SigIgn);
}

extern "C" fn do_nothing(_: libc::c_int) {}

fn set_handler(number: Signal, handler: SigHandler) {
    // SAFETY: the only handler that is ever given does nothing at all, so it may run at any point. No signal given here can be refused.
    let _ = unsafe { nix::sys::signal::signal(number, handler) };
}

/// Blocks every signal that can be blocked.
pub fn block_signals() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?)
}

/// Blocks no signal any more.
pub fn unblock_signals() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// Sets the umask and returns the previous one.
pub fn set_umask(mask: u32) -> u32 {
    // nix's wrapper panics where a filter of system calls refuses this one.
    // SAFETY: takes an integer and touches no memory of ours.
    unsafe { libc::umask(mask) }
}

/// Sets another umask until this is dropped.
#[derive(Debug)]
pub struct TemporaryUmask(u32);

impl TemporaryUmask {
    /// Sets the umask of the process, which all its threads would share.
    pub fn set(_threads: &SingleThreaded, mask: u32) -> TemporaryUmask {
        TemporaryUmask(set_umask(mask))
    }
}

impl Drop for TemporaryUmask {
    fn drop(&mut self) {
        set_umask(self.0);
    }
}

/// Resets nice value, I/O priority and scheduling policy to the defaults.
pub fn reset_priority() -> io::Result<()> {
    // The class "none" of the I/O priority is 0 (linux/ioprio.h).
    set_priorities(Some(0), Some(0))?;
    // SAFETY: the calls take integers, and a parameter that is live and for which all-zero bytes are valid: static priority 0.
    unsafe {
        if libc::sched_getscheduler(0) == libc::SCHED_OTHER {
            return Ok(());
        }
        let ordinary: libc::sched_param = std::mem::zeroed();
        check(libc::sched_setscheduler(0, libc::SCHED_OTHER, &ordinary)).map(drop)
    }
}

/// Sets the nice value, from -20 to 19.
pub fn set_nice(nice: i8) -> io::Result<()> {
    set_priorities(Some(nice.into()), None)
}

/// Sets the I/O scheduling class: idle, or best-effort with a level from 0 (highest) to 7 (ioprio_set(2)).
pub fn set_io_priority(best_effort: Option<u8>) -> io::Result<()> {
    // The kernel's values (linux/ioprio.h): the class is in the bits from 13 on, best-effort is 2 and idle is 3.
    set_priorities(None, Some(best_effort.map_or(3 << 13, |level| 2 << 13 | libc::c_int::from(level))))
}

/// Sets the nice value and the I/O priority, as far as they are given.
fn set_priorities(nice: Option<libc::c_int>, io: Option<libc::c_int>) -> io::Result<()> {
    // SAFETY: the calls take integers and touch no memory of ours.
    unsafe {
        if let Some(nice) = nice {
            check(libc::setpriority(libc::PRIO_PROCESS as _, 0, nice))?;
        }
        // IOPRIO_WHO_PROCESS is 1.
        io.map_or(Ok(()), |io| check_long(libc::syscall(libc::SYS_ioprio_set, 1, 0, io)))
    }
}

/// Whether the OOM killer's score adjustment is 0, the default. False if /proc is missing.
pub fn has_default_oom_score() -> bool {
    std::fs::read("/proc/self/oom_score_adj").is_ok_and(|score| score == b"0\n")
}

/// Resets the OOM killer's score adjustment to 0. Without /proc it stays as it was.
pub fn reset_oom_score() -> io::Result<()> {
    match std::fs::write("/proc/self/oom_score_adj", b"0\n") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// The limit on the number of descriptors: the soft and the hard limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DescriptorLimit {
    /// The limit that is in force.
    pub soft: u64,
    /// The limit up to which the soft limit may be raised.
    pub hard: u64,
}

impl DescriptorLimit {
    /// Reads the limit of this process.
    pub fn own() -> io::Result<DescriptorLimit> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        Ok(DescriptorLimit { soft, hard })
    }

    /// Sets the limit of this process.
    pub fn set(self) -> io::Result<()> {
        Ok(setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard)?)
    }
}

/// User and group ids of a process: real, effective, saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The real, effective and saved user ids.
    pub users: [u32; 3],
    /// The real, effective and saved group ids.
    pub groups: [u32; 3],
}

/// Reads the ids of this process.
pub fn own_ids() -> io::Result<Ids> {
    let (users, groups) = (nix::unistd::getresuid()?, nix::unistd::getresgid()?);
    Ok(Ids {
        users: [users.real, users.effective, users.saved].map(Uid::as_raw),
        groups: [groups.real, groups.effective, groups.saved].map(Gid::as_raw),
    })
}

/// The effective user id of this process.
pub fn own_uid() -> u32 {
    Uid::effective().as_raw()
}

/// The effective group id of this process.
pub fn own_gid() -> u32 {
    Gid::effective().as_raw()
}

/// Reads the supplementary groups of this process.
pub fn own_groups() -> io::Result<Vec<u32>> {
    Ok(nix::unistd::getgroups()?.into_iter().map(|group| group.as_raw()).collect())
}

/// Sets the supplementary groups (setgroups(2)).
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    Ok(nix::unistd::setgroups(&groups)?)
}

/// Sets the real, effective and saved group id.
pub fn set_group_ids(group: u32) -> io::Result<()> {
    let group = Gid::from_raw(group);
    Ok(nix::unistd::setresgid(group, group, group)?)
}

/// Sets the real, effective and saved user id. They cannot be changed back unless the id is root's.
pub fn set_user_ids(user: u32) -> io::Result<()> {
    let user = Uid::from_raw(user);
    Ok(nix::unistd::setresuid(user, user, user)?)
}

/// Tries to become root, and returns whether that succeeded. If it did, the process is root now and must end.
pub fn try_become_root() -> bool {
    nix::unistd::setuid(Uid::from_raw(0)).is_ok()
}

/// Allows only root to trace this process or read its memory, whatever its ids, until it executes another program.
pub fn clear_dumpable() -> io::Result<()> {
    Ok(prctl::set_dumpable(false)?)
}

/// The error EPERM, for an operation that the kernel should have refused.
pub fn not_permitted() -> io::Error {
    io::Error::from_raw_os_error(libc::EPERM)
}

/// Changes the current directory (chdir(2)).
pub fn enter(directory: &CStr) -> io::Result<()> {
    Ok(nix::unistd::chdir(directory)?)
}

fn signed(pid: Pid) -> libc::pid_t {
    // The kernel gives out ids up to 2^22; a larger one names nobody.
    libc::pid_t::try_from(pid).unwrap_or(libc::pid_t::MAX)
}

fn check(result: libc::c_int) -> io::Result<libc::c_int> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn check_long(result: libc::c_long) -> io::Result<()> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::contract::alone;

    #[test]
    fn a_child_ends_with_the_status_its_body_returns() {
        alone(|threads| {
            let pid = fork(threads, |_| 7).unwrap();
            assert_eq!(wait(pid).unwrap(), Status::Code(7));
        });
    }

    #[test]
    fn an_ended_child_is_there_until_it_is_waited_for() {
        alone(|threads| {
            assert_eq!(ended_child(), None);
            let child = fork(threads, |_| 7).unwrap();
            let found = loop {
                if let Some(found) = ended_child() {
                    break found;
                }
            };
            assert_eq!((found, ended_child()), (child, Some(child)));
            assert_eq!(wait(child).unwrap(), Status::Code(7));
            assert_eq!(ended_child(), None);
        });
    }

    #[test]
    fn a_panic_in_the_child_stays_in_the_child() {
        alone(|threads| {
            let pid = fork(threads, |_| std::panic::resume_unwind(Box::new("on purpose"))).unwrap();
            assert_eq!(wait(pid).unwrap(), Status::Code(70));
        });
    }

    #[test]
    fn the_status_of_a_child_that_a_real_time_signal_ended_is_known() {
        alone(|threads| {
            let signal = libc::SIGRTMIN() + 3;
            let kill = CString::new(format!("kill -{signal} $$")).unwrap();
            let child = fork(threads, |_| {
                default_signals();
                let shell = Program::new(c"/bin/sh".into(), vec![c"sh".into(), c"-c".into(), kill], Vec::new());
                shell.exec();
                1
            });
            assert_eq!(wait(child.unwrap()).unwrap(), Status::Signal { number: signal, core_dumped: false });
        });
    }

    #[test]
    fn a_status_prints_as_wait_gives_it() {
        assert_eq!(Status::Code(75).raw(), 0x4b00);
        assert_eq!(Status::Signal { number: 9, core_dumped: false }.raw(), 9);
        assert_eq!(Status::from_raw(Status::Signal { number: 11, core_dumped: true }.raw()).raw(), 0x8b);
    }
}
