//! Processes: fork, exec, waiting for them, signals to them, and what a fresh job is to have of its own.
//!
//! Everything that forks here has one thread (the runner, its template, its keepers), so the child of a fork may do whatever its
//! parent could.

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

    /// The number that wait(2) gives for it, as the incumbents print a mailer's status.
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
    let mut raw = 0;
    loop {
        // SAFETY: `raw` is a live integer for the status.
        match check(unsafe { libc::waitpid(-1, &mut raw, libc::WNOHANG) }) {
            Ok(0) => return None,
            Ok(pid) => return Some((pid.unsigned_abs(), Status::from_raw(raw))),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return None,
        }
    }
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
    let mut raw = 0;
    loop {
        // SAFETY: `raw` is a live integer for the status.
        match check(unsafe { libc::waitpid(signed(pid), &mut raw, 0) }) {
            Ok(_) => return Ok(Status::from_raw(raw)),
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
}

impl Ask {
    fn number(self) -> i32 {
        match self {
            Ask::Terminate => libc::SIGTERM,
            Ask::Kill => libc::SIGKILL,
        }
    }
}

/// Signals one process. Only for a child that is not reaped yet: its id cannot be somebody else's.
pub fn signal(pid: Pid, ask: Ask) -> io::Result<()> {
    // SAFETY: takes two integers and touches no memory of ours.
    check(unsafe { libc::kill(signed(pid), ask.number()) }).map(drop)
}

/// Signals the process group that this process leads.
pub fn signal_group(leader: Pid, ask: Ask) -> io::Result<()> {
    // SAFETY: takes two integers and touches no memory of ours.
    check(unsafe { libc::killpg(signed(leader), ask.number()) }).map(drop)
}

/// Our own process id, asked anew: right after a fork, too.
pub fn own_pid() -> Pid {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getpid() }.unsigned_abs()
}

/// Leads a session of its own, without a controlling terminal.
pub fn new_session() -> io::Result<()> {
    // SAFETY: takes nothing and touches no memory of ours.
    check(unsafe { libc::setsid() }).map(drop)
}

/// Orphaned descendants are given to this process from now on.
pub fn adopt_orphans() -> io::Result<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(drop)
}

/// Sets the name that ps(1) shows as the command's, at most 15 bytes.
pub fn set_name(name: &CStr) {
    // SAFETY: the kernel copies at most 16 bytes of a string that ends with NUL; it cannot fail.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) };
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
pub fn shrug_off_signals() {
    extern "C" fn nothing(_: libc::c_int) {}
    for number in [
        libc::SIGHUP,
        libc::SIGINT,
        libc::SIGQUIT,
        libc::SIGTERM,
        libc::SIGUSR1,
        libc::SIGUSR2,
        libc::SIGPIPE,
        libc::SIGALRM,
        libc::SIGTSTP,
    ] {
        let handler: extern "C" fn(libc::c_int) = nothing;
        // SAFETY: the handler does nothing at all, so it may run at any point.
        unsafe { libc::signal(number, handler as libc::sighandler_t) };
    }
}

/// Lets ended children vanish without being waited for.
pub fn ignore_children() {
    // SAFETY: SIG_IGN installs no code of ours.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_IGN) };
}

/// Blocks every signal.
pub fn block_signals() -> io::Result<()> {
    set_mask(true)
}

/// Blocks no signal any more.
pub fn unblock_signals() -> io::Result<()> {
    set_mask(false)
}

fn set_mask(full: bool) -> io::Result<()> {
    // SAFETY: `set` is a live, then initialised signal set; all-zero bytes are a valid one.
    check(unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        if full {
            libc::sigfillset(&mut set);
        } else {
            libc::sigemptyset(&mut set);
        }
        libc::sigprocmask(libc::SIG_SETMASK, &set, std::ptr::null_mut())
    })
    .map(drop)
}

/// Sets which permission bits new files do not get, and returns which they did not get before.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: takes an integer and cannot fail.
    unsafe { libc::umask(mask) }
}

/// nice 0, no I/O priority of its own, the ordinary scheduling policy.
pub fn ordinary_priority() -> io::Result<()> {
    // The kernel's names: IOPRIO_WHO_PROCESS is 1, class "none" is 0 (linux/ioprio.h).
    // SAFETY: takes integers only.
    unsafe {
        check(libc::setpriority(libc::PRIO_PROCESS as _, 0, 0))?;
        check_long(libc::syscall(libc::SYS_ioprio_set, 1, 0, 0))?;
    }
    // SAFETY: takes integers only.
    if unsafe { libc::sched_getscheduler(0) } == libc::SCHED_OTHER {
        return Ok(());
    }
    // SAFETY: all-zero bytes are a valid parameter: static priority 0.
    unsafe {
        let ordinary: libc::sched_param = std::mem::zeroed();
        check(libc::sched_setscheduler(0, libc::SCHED_OTHER, &ordinary)).map(drop)
    }
}

/// Whether the kernel's memory killer looks at us as at anybody, which is 0. Without /proc nobody knows, and nothing can be changed.
pub fn has_ordinary_oom_score() -> bool {
    std::fs::read("/proc/self/oom_score_adj").is_ok_and(|score| score == b"0\n")
}

/// Makes us as likely a victim of the kernel's memory killer as anybody: 0. Without /proc it stays as it was.
pub fn ordinary_oom_score() -> io::Result<()> {
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
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: `limit` is a live value of the right type.
        check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) })?;
        Ok(DescriptorLimit { soft: limit.rlim_cur, hard: limit.rlim_max })
    }

    /// Makes it ours.
    pub fn set(self) -> io::Result<()> {
        let limit = libc::rlimit { rlim_cur: self.soft, rlim_max: self.hard };
        // SAFETY: `limit` is a live value of the right type.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }).map(drop)
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
    let mut ids = Ids { users: [0; 3], groups: [0; 3] };
    let [real, effective, saved] = &mut ids.users;
    // SAFETY: three live integers.
    check(unsafe { libc::getresuid(real, effective, saved) })?;
    let [real, effective, saved] = &mut ids.groups;
    // SAFETY: three live integers.
    check(unsafe { libc::getresgid(real, effective, saved) })?;
    Ok(ids)
}

/// Our supplementary groups.
pub fn own_groups() -> io::Result<Vec<u32>> {
    Ok(nix::unistd::getgroups()?.into_iter().map(|group| group.as_raw()).collect())
}

/// Sets the supplementary groups.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    // SAFETY: the pointer and the length are those of a live slice of gid_t.
    check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) }).map(drop)
}

/// Sets the real, effective and saved group id.
pub fn set_group_ids(group: u32) -> io::Result<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::setresgid(group, group, group) }).map(drop)
}

/// Sets the real, effective and saved user id: the way back is closed unless it is root's.
pub fn set_user_ids(user: u32) -> io::Result<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::setresuid(user, user, user) }).map(drop)
}

/// Whether this process could make itself root now. It does, when it can: only for a process that ends when the answer is yes.
pub fn can_become_root() -> bool {
    // SAFETY: takes an integer.
    unsafe { libc::setuid(0) == 0 }
}

/// Nobody but root may look into this process or trace it, until it becomes another program: whatever id it takes.
pub fn stay_private() -> io::Result<()> {
    // SAFETY: takes integers only.
    check(unsafe { libc::prctl(libc::PR_SET_DUMPABLE, 0, 0, 0, 0) }).map(drop)
}

/// The kernel's `Operation not permitted`, for what it should have refused.
pub fn not_permitted() -> io::Error {
    io::Error::from_raw_os_error(libc::EPERM)
}

/// Enters a directory.
pub fn enter(directory: &CStr) -> io::Result<()> {
    // SAFETY: a string that ends with NUL.
    check(unsafe { libc::chdir(directory.as_ptr()) }).map(drop)
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
    fn a_status_prints_as_wait_gives_it() {
        assert_eq!(Status::Code(75).raw(), 0x4b00);
        assert_eq!(Status::Signal { number: 9, core_dumped: false }.raw(), 9);
        assert_eq!(Status::from_raw(Status::Signal { number: 11, core_dumped: true }.raw()).raw(), 0x8b);
    }
}
