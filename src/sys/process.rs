//! Processes: fork, exec, waiting for them, signals to them, and what a fresh job is to have of its own.
//!
//! Everything that forks here has one thread (the executor, its template, its PAM monitors), so the child of a fork may do whatever its
//! parent could.

use nix::sys::prctl;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, kill, killpg, sigprocmask};
use nix::unistd::{Gid, Uid};
use std::ffi::{CStr, CString, c_char};
use std::io;
use std::ptr::null;

/// A process id.
pub type Pid = u32;

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Status {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// Its number.
        number: i32,
        /// Whether it left a core.
        core_dumped: bool,
    },
}

impl Status {
    /// Whether it is exit code 0.
    pub fn is_success(self) -> bool {
        self == Status::Code(0)
    }

    /// The number that wait(2) gives for it, as the reference implementations print a mailer's status.
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

/// What an ended process and its own ended children used.
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

/// Ends the process at once: no destructors, no buffers written.
pub fn exit_now(status: i32) -> ! {
    // SAFETY: takes an integer and does not return; nothing of ours runs after it.
    unsafe { libc::_exit(status) }
}

/// Forks. The child runs `body` and ends with the status it returns, 70 (EX_SOFTWARE) after a panic; it never comes back here.
///
/// To be called in a process with one thread.
pub fn fork(body: impl FnOnce() -> i32) -> io::Result<Pid> {
    // SAFETY: the callers' processes have one thread, so no lock can be held by a thread that the child does not have.
    let pid = check(unsafe { libc::fork() })?;
    if pid == 0 {
        exit_now(std::panic::catch_unwind(std::panic::AssertUnwindSafe(body)).unwrap_or(70));
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
    _strings: Vec<CString>,
}

impl Program {
    /// What stands at `path`, with these arguments, its name first, and these `NAME=value` strings.
    pub fn new(path: CString, mut arguments: Vec<CString>, mut environment: Vec<CString>) -> Program {
        // The bytes of a CString stay where they are when it is moved.
        let list = |strings: &[CString]| strings.iter().map(|string| string.as_ptr()).chain([null()]).collect();
        let (argument_list, environment_list) = (list(&arguments), list(&environment));
        arguments.append(&mut environment);
        Program { path, arguments: argument_list, environment: environment_list, _strings: arguments }
    }

    /// Where it stands.
    pub fn path(&self) -> &CStr {
        &self.path
    }

    /// Becomes it; returns only when that fails.
    pub fn exec(&self) -> io::Error {
        // SAFETY: a string that ends with NUL and two lists that end with null, whose strings live as long as this does and end with NUL.
        unsafe { libc::execve(self.path.as_ptr(), self.arguments.as_ptr(), self.environment.as_ptr()) };
        io::Error::last_os_error()
    }
}

/// Takes one ended child off the kernel's list, if there is one: any child, orphans that were given to us included.
pub fn reap() -> Option<(Pid, Status)> {
    wait_for(-1, libc::WNOHANG).ok().flatten().map(|(pid, status, _)| (pid, status))
}

/// A child that has ended, if there is one; until [`wait`] is asked for its status, its id is nobody else's.
pub fn ended_child() -> Option<Pid> {
    // SAFETY: all-zero bytes are a valid value, and it is live while the kernel fills it; without a child that has ended it stays as it is.
    let pid = unsafe {
        let mut info: libc::siginfo_t = std::mem::zeroed();
        check(libc::waitid(libc::P_ALL, 0, &mut info, libc::WEXITED | libc::WNOWAIT | libc::WNOHANG)).ok()?;
        info.si_pid()
    };
    (pid != 0).then_some(pid.unsigned_abs())
}

/// Waits until that child has ended.
pub fn wait(pid: Pid) -> io::Result<Status> {
    wait_with_usage(pid).map(|(status, _)| status)
}

/// Waits until that child has ended, and reports what it and the children that it waited for used.
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

/// A signal that we send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// TERM: please end.
    Terminate,
    /// KILL: end.
    Kill,
    /// STOP: do not run, so that nothing is forked meanwhile.
    Stop,
    /// CONT: run on, so that a stopped process gets its other signals.
    Continue,
}

impl Ask {
    pub(super) fn signal(self) -> Signal {
        match self {
            Ask::Terminate => Signal::SIGTERM,
            Ask::Kill => Signal::SIGKILL,
            Ask::Stop => Signal::SIGSTOP,
            Ask::Continue => Signal::SIGCONT,
        }
    }
}

/// Signals one process. Only for a child that is not reaped yet: its id cannot be somebody else's.
pub fn signal(pid: Pid, ask: Ask) -> io::Result<()> {
    Ok(kill(nix::unistd::Pid::from_raw(signed(pid)), ask.signal())?)
}

/// Signals the process group that this process leads.
pub fn signal_group(leader: Pid, ask: Ask) -> io::Result<()> {
    Ok(killpg(nix::unistd::Pid::from_raw(signed(leader)), ask.signal())?)
}

/// Our own process id, asked anew: right after a fork, too.
pub fn own_pid() -> Pid {
    nix::unistd::getpid().as_raw().unsigned_abs()
}

/// Leads a session of its own, without a controlling terminal.
pub fn new_session() -> io::Result<()> {
    nix::unistd::setsid()?;
    Ok(())
}

/// Orphaned descendants are given to this process from now on.
pub fn adopt_orphans() -> io::Result<()> {
    Ok(prctl::set_child_subreaper(true)?)
}

/// Sets the name that ps(1) shows as the command's, at most 15 bytes.
pub fn set_name(name: &CStr) {
    // The name is for people only, and the kernel takes any.
    let _ = prctl::set_name(name);
}

/// Gives every signal its default meaning, whatever was inherited: also the two that libc keeps for itself and hides.
pub fn default_signals() {
    // The kernel's own sigaction: handler, flags, restorer and mask, all of them zero, which is the default without a handler.
    let default = [0_u64; 8];
    for number in 1..=64 {
        // SAFETY: the kernel reads at most 32 bytes of `default`; no handler is installed. KILL and STOP are refused, which is right.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, number, default.as_ptr(), null::<u64>(), 8) };
    }
}

/// Gives every signal that asks a process to end a handler that does nothing: the process goes on, and what it execs has the default.
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

/// Lets ended children vanish without being waited for.
pub fn ignore_children() {
    set_handler(Signal::SIGCHLD, SigHandler::SigIgn);
}

extern "C" fn do_nothing(_: libc::c_int) {}

fn set_handler(number: Signal, handler: SigHandler) {
    // SAFETY: the only handler that is ever given does nothing at all, so it may run at any point. No signal given here can be refused.
    let _ = unsafe { nix::sys::signal::signal(number, handler) };
}

/// Blocks every signal.
pub fn block_signals() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::all()), None)?)
}

/// Blocks no signal any more.
pub fn unblock_signals() -> io::Result<()> {
    Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&SigSet::empty()), None)?)
}

/// Sets which permission bits new files do not get, and returns which they did not get before.
pub fn set_umask(mask: u32) -> u32 {
    // nix's wrapper panics where a filter of system calls refuses this one.
    // SAFETY: takes an integer and touches no memory of ours.
    unsafe { libc::umask(mask) }
}

/// Another umask until this is dropped. To be made in a process with one thread.
#[derive(Debug)]
pub struct TemporaryUmask(u32);

impl TemporaryUmask {
    /// Sets it.
    pub fn set(mask: u32) -> TemporaryUmask {
        TemporaryUmask(set_umask(mask))
    }
}

impl Drop for TemporaryUmask {
    fn drop(&mut self) {
        set_umask(self.0);
    }
}

/// nice 0, no I/O priority of its own, the ordinary scheduling policy.
pub fn reset_priority() -> io::Result<()> {
    // SAFETY: the calls take integers, and a parameter that is live and for which all-zero bytes are valid: static priority 0.
    unsafe {
        check(libc::setpriority(libc::PRIO_PROCESS as _, 0, 0))?;
        // The kernel's names: IOPRIO_WHO_PROCESS is 1, class "none" is 0 (linux/ioprio.h).
        check_long(libc::syscall(libc::SYS_ioprio_set, 1, 0, 0))?;
        if libc::sched_getscheduler(0) == libc::SCHED_OTHER {
            return Ok(());
        }
        let ordinary: libc::sched_param = std::mem::zeroed();
        check(libc::sched_setscheduler(0, libc::SCHED_OTHER, &ordinary)).map(drop)
    }
}

/// Sets the nice value, from -20 to 19.
pub fn set_nice(nice: i8) -> io::Result<()> {
    // SAFETY: takes integers and touches no memory of ours.
    check(unsafe { libc::setpriority(libc::PRIO_PROCESS as _, 0, nice.into()) }).map(drop)
}

/// Sets the I/O scheduling class: idle, or best-effort with a level from 0 (highest) to 7 (ioprio_set(2)).
pub fn set_io_priority(best_effort: Option<u8>) -> io::Result<()> {
    // The kernel's values (linux/ioprio.h): IOPRIO_WHO_PROCESS is 1; the class is in the bits from 13 on, best-effort is 2 and idle is 3.
    let priority = best_effort.map_or(3 << 13, |level| 2 << 13 | libc::c_int::from(level));
    // SAFETY: takes integers and touches no memory of ours.
    check_long(unsafe { libc::syscall(libc::SYS_ioprio_set, 1, 0, priority) })
}

/// Whether the kernel's memory killer looks at us as at anybody, which is 0. Without /proc nobody knows, and nothing can be changed.
pub fn has_default_oom_score() -> bool {
    std::fs::read("/proc/self/oom_score_adj").is_ok_and(|score| score == b"0\n")
}

/// Makes us as likely a victim of the kernel's memory killer as anybody: 0. Without /proc it stays as it was.
pub fn reset_oom_score() -> io::Result<()> {
    match std::fs::write("/proc/self/oom_score_adj", b"0\n") {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// How many descriptors a process may have: what counts, and what it may be raised to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DescriptorLimit {
    /// What counts now.
    pub soft: u64,
    /// What it may be raised to.
    pub hard: u64,
}

impl DescriptorLimit {
    /// Ours.
    pub fn own() -> io::Result<DescriptorLimit> {
        let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
        Ok(DescriptorLimit { soft, hard })
    }

    /// Makes it ours.
    pub fn set(self) -> io::Result<()> {
        Ok(setrlimit(Resource::RLIMIT_NOFILE, self.soft, self.hard)?)
    }
}

/// User and group ids of a process: real, effective, saved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ids {
    /// The three user ids.
    pub users: [u32; 3],
    /// The three group ids.
    pub groups: [u32; 3],
}

/// Ours.
pub fn own_ids() -> io::Result<Ids> {
    let (users, groups) = (nix::unistd::getresuid()?, nix::unistd::getresgid()?);
    Ok(Ids {
        users: [users.real, users.effective, users.saved].map(Uid::as_raw),
        groups: [groups.real, groups.effective, groups.saved].map(Gid::as_raw),
    })
}

/// Our supplementary groups.
pub fn own_groups() -> io::Result<Vec<u32>> {
    Ok(nix::unistd::getgroups()?.into_iter().map(|group| group.as_raw()).collect())
}

/// Sets the supplementary groups.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    let groups: Vec<Gid> = groups.iter().copied().map(Gid::from_raw).collect();
    Ok(nix::unistd::setgroups(&groups)?)
}

/// Sets the real, effective and saved group id.
pub fn set_group_ids(group: u32) -> io::Result<()> {
    let group = Gid::from_raw(group);
    Ok(nix::unistd::setresgid(group, group, group)?)
}

/// Sets the real, effective and saved user id: the way back is closed unless it is root's.
pub fn set_user_ids(user: u32) -> io::Result<()> {
    let user = Uid::from_raw(user);
    Ok(nix::unistd::setresuid(user, user, user)?)
}

/// Whether this process could make itself root now. It does, when it can: only for a process that ends when the answer is yes.
pub fn can_become_root() -> bool {
    nix::unistd::setuid(Uid::from_raw(0)).is_ok()
}

/// Nobody but root may look into this process or trace it, until it becomes another program: whatever id it takes.
pub fn stay_private() -> io::Result<()> {
    Ok(prctl::set_dumpable(false)?)
}

/// The kernel's `Operation not permitted`, for what it should have refused.
pub fn not_permitted() -> io::Error {
    io::Error::from_raw_os_error(libc::EPERM)
}

/// Enters a directory.
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

    #[test]
    fn a_child_ends_with_the_status_its_body_returns() {
        let pid = fork(|| 7).unwrap();
        assert_eq!(wait(pid).unwrap(), Status::Code(7));
    }

    #[test]
    fn an_ended_child_is_there_until_it_is_waited_for() {
        // Alone: the other tests have children, too.
        let alone = fork(|| {
            let none_before = ended_child().is_none();
            let child = fork(|| 7).unwrap();
            let found = loop {
                if let Some(found) = ended_child() {
                    break found;
                }
            };
            let is_still_there = ended_child() == Some(child) && found == child;
            let status = wait(child).unwrap();
            i32::from(!(none_before && is_still_there && status == Status::Code(7) && ended_child().is_none()))
        });
        assert_eq!(wait(alone.unwrap()).unwrap(), Status::Code(0));
    }

    #[test]
    fn a_panic_in_the_child_stays_in_the_child() {
        let pid = fork(|| std::panic::resume_unwind(Box::new("on purpose"))).unwrap();
        assert_eq!(wait(pid).unwrap(), Status::Code(70));
    }

    #[test]
    fn the_status_of_a_child_that_a_real_time_signal_ended_is_known() {
        let signal = libc::SIGRTMIN() + 3;
        let kill = CString::new(format!("kill -{signal} $$")).unwrap();
        let child = fork(|| {
            default_signals();
            let shell = Program::new(c"/bin/sh".into(), vec![c"sh".into(), c"-c".into(), kill], Vec::new());
            shell.exec();
            1
        });
        assert_eq!(wait(child.unwrap()).unwrap(), Status::Signal { number: signal, core_dumped: false });
    }

    #[test]
    fn a_status_prints_as_wait_gives_it() {
        assert_eq!(Status::Code(75).raw(), 0x4b00);
        assert_eq!(Status::Signal { number: 9, core_dumped: false }.raw(), 9);
        assert_eq!(Status::from_raw(Status::Signal { number: 11, core_dumped: true }.raw()).raw(), 0x8b);
    }
}
