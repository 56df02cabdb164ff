//! The system calls that helpers may make, in groups with a reason for each.
//!
//! Calls that only one processor has are marked with it. On x86-64 these are the older forms of others, which musl uses, and glibc for some.

use crate::sys::files::reason;
use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, Error, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule,
};
use std::collections::BTreeMap;

/// System calls for one purpose.
#[derive(Debug)]
pub struct Group {
    /// Why the program needs these calls.
    pub reason: &'static str,
    calls: &'static [Call],
}

/// A system call, and the conditions on its arguments, all of which must hold. With two entries for one call, one of them is enough.
#[derive(Debug)]
struct Call(c_long, &'static [Condition]);

/// A condition on the bits of `mask` in the argument with this index.
#[derive(Debug)]
struct Condition {
    argument: u8,
    mask: u64,
    value: u64,
}

/// The condition that an argument of 32 bits is this number.
const fn is(argument: u8, value: u32) -> Condition {
    Condition { argument, mask: u32::MAX as u64, value: value as u64 }
}

/// The condition that an argument has none of these bits.
const fn has_none(argument: u8, bits: i32) -> Condition {
    Condition { argument, mask: bits as u64, value: 0 }
}

/// The condition that an argument has all of these bits.
const fn has_all(argument: u8, bits: i32) -> Condition {
    Condition { argument, mask: bits as u64, value: bits as u64 }
}

/// Bits of the flags of open(2) with which a file could be changed.
const CHANGING: i32 = libc::O_ACCMODE | libc::O_CREAT | libc::O_TRUNC;

pub(super) const PROCESS: Group = Group {
    reason: "its memory, not executable, time, random numbers, its own ids and signal handlers, its end",
    calls: &[
        Call(libc::SYS_brk, &[]),
        Call(libc::SYS_mmap, &[has_none(2, libc::PROT_EXEC)]),
        Call(libc::SYS_mprotect, &[has_none(2, libc::PROT_EXEC)]),
        Call(libc::SYS_munmap, &[]),
        Call(libc::SYS_mremap, &[]),
        Call(libc::SYS_madvise, &[]),
        Call(libc::SYS_futex, &[]),
        Call(libc::SYS_clock_gettime, &[]),
        Call(libc::SYS_clock_getres, &[]),
        Call(libc::SYS_gettimeofday, &[]),
        Call(libc::SYS_nanosleep, &[]),
        Call(libc::SYS_clock_nanosleep, &[]),
        Call(libc::SYS_getrandom, &[]),
        Call(libc::SYS_getpid, &[]),
        Call(libc::SYS_gettid, &[]),
        Call(libc::SYS_getuid, &[]),
        Call(libc::SYS_geteuid, &[]),
        Call(libc::SYS_getgid, &[]),
        Call(libc::SYS_getegid, &[]),
        Call(libc::SYS_uname, &[]),
        Call(libc::SYS_sysinfo, &[]),
        // To ask for a limit, not to set one.
        Call(libc::SYS_prlimit64, &[Condition { argument: 2, mask: u64::MAX, value: 0 }]),
        Call(libc::SYS_rt_sigaction, &[]),
        Call(libc::SYS_rt_sigprocmask, &[]),
        Call(libc::SYS_rt_sigreturn, &[]),
        Call(libc::SYS_sigaltstack, &[]),
        Call(libc::SYS_restart_syscall, &[]),
        Call(libc::SYS_exit, &[]),
        Call(libc::SYS_exit_group, &[]),
        #[cfg(target_arch = "x86_64")]
        Call(libc::SYS_time, &[]),
    ],
};

pub(super) const THREADS: Group = Group {
    reason: "threads, not processes",
    calls: &[
        // glibc tries clone3(2) first, whose flags a filter cannot see, and then this.
        Call(libc::SYS_clone, &[has_all(0, libc::CLONE_THREAD)]),
        Call(libc::SYS_set_robust_list, &[]),
        Call(libc::SYS_rseq, &[]),
        Call(libc::SYS_sched_yield, &[]),
        Call(libc::SYS_sched_getaffinity, &[]),
        Call(libc::SYS_prctl, &[is(0, libc::PR_SET_NAME as u32)]),
    ],
};

pub(super) const LIBRARIES: Group = Group {
    reason: "libraries of the name service, which libc loads for lookups: files may be mapped executable, not writable",
    calls: &[Call(
        libc::SYS_mmap,
        &[has_all(2, libc::PROT_EXEC), has_none(2, libc::PROT_WRITE), has_none(3, libc::MAP_ANONYMOUS)],
    )],
};

pub(super) const DESCRIPTORS: Group = Group {
    reason: "reading, writing, waiting for and closing what is open, and locks of files",
    calls: &[
        Call(libc::SYS_read, &[]),
        Call(libc::SYS_readv, &[]),
        Call(libc::SYS_pread64, &[]),
        Call(libc::SYS_write, &[]),
        Call(libc::SYS_writev, &[]),
        Call(libc::SYS_pwrite64, &[]),
        Call(libc::SYS_lseek, &[]),
        Call(libc::SYS_close, &[]),
        Call(libc::SYS_fcntl, &[]),
        Call(libc::SYS_ioctl, &[is(1, libc::FIONBIO as u32)]),
        Call(libc::SYS_ioctl, &[is(1, libc::FIOCLEX as u32)]),
        Call(libc::SYS_ppoll, &[]),
        Call(libc::SYS_epoll_create1, &[]),
        Call(libc::SYS_epoll_ctl, &[]),
        Call(libc::SYS_epoll_pwait, &[]),
        Call(libc::SYS_epoll_pwait2, &[]),
        Call(libc::SYS_eventfd2, &[]),
        #[cfg(target_arch = "x86_64")]
        Call(libc::SYS_poll, &[]),
        #[cfg(target_arch = "x86_64")]
        Call(libc::SYS_epoll_wait, &[]),
    ],
};

pub(super) const ACCEPT: Group = Group {
    reason: "accepting connections; the sockets that listen were passed on or made before",
    calls: &[Call(libc::SYS_accept4, &[])],
};

pub(super) const TALK: Group = Group {
    reason: "sending and receiving on connections",
    calls: &[
        Call(libc::SYS_sendto, &[]),
        Call(libc::SYS_sendmsg, &[]),
        Call(libc::SYS_recvfrom, &[]),
        Call(libc::SYS_recvmsg, &[]),
        Call(libc::SYS_shutdown, &[]),
        Call(libc::SYS_getsockopt, &[]),
        Call(libc::SYS_setsockopt, &[]),
        Call(libc::SYS_getsockname, &[]),
        Call(libc::SYS_getpeername, &[]),
    ],
};

pub(super) const CLIENT: Group = Group {
    reason: "connections to Unix sockets (daemon, recorder, name service), and questions to the kernel for the owner of a connection",
    calls: &[
        Call(libc::SYS_socket, &[is(0, libc::AF_UNIX as u32)]),
        Call(libc::SYS_socket, &[is(0, libc::AF_NETLINK as u32), is(2, libc::NETLINK_SOCK_DIAG as u32)]),
        Call(libc::SYS_socketpair, &[is(0, libc::AF_UNIX as u32)]),
        Call(libc::SYS_connect, &[]),
    ],
};

pub(super) const NETWORK: Group = Group {
    reason: "connections to the engine of a fleet, lookups of its hosts, and questions to the kernel for the addresses of this one",
    calls: &[
        Call(libc::SYS_socket, &[is(0, libc::AF_UNIX as u32)]),
        Call(libc::SYS_socket, &[is(0, libc::AF_INET as u32)]),
        Call(libc::SYS_socket, &[is(0, libc::AF_INET6 as u32)]),
        Call(libc::SYS_socket, &[is(0, libc::AF_NETLINK as u32), is(2, libc::NETLINK_ROUTE as u32)]),
        Call(libc::SYS_connect, &[]),
        Call(libc::SYS_bind, &[]),
        Call(libc::SYS_sendmmsg, &[]),
        // How many bytes of an answer of a name server wait.
        Call(libc::SYS_ioctl, &[is(1, libc::FIONREAD as u32)]),
    ],
};

pub(super) const READ: Group = Group {
    reason: "opening files and directories for reading, and looking at what paths lead to",
    calls: &[
        Call(libc::SYS_openat, &[has_none(2, CHANGING)]),
        Call(libc::SYS_getdents64, &[]),
        Call(libc::SYS_fstat, &[]),
        Call(libc::SYS_newfstatat, &[]),
        Call(libc::SYS_statx, &[]),
        Call(libc::SYS_faccessat, &[]),
        Call(libc::SYS_faccessat2, &[]),
        Call(libc::SYS_readlinkat, &[]),
        Call(libc::SYS_getcwd, &[]),
        #[cfg(target_arch = "x86_64")]
        Call(libc::SYS_open, &[has_none(1, CHANGING)]),
        #[cfg(target_arch = "x86_64")]
        Call(libc::SYS_stat, &[]),
        #[cfg(target_arch = "x86_64")]
        Call(libc::SYS_lstat, &[]),
        #[cfg(target_arch = "x86_64")]
        Call(libc::SYS_access, &[]),
        #[cfg(target_arch = "x86_64")]
        Call(libc::SYS_readlink, &[]),
    ],
};

pub(super) const REMOVE: Group = Group {
    reason: "removing the socket and the file for the browser that it has made",
    calls: &[
        Call(libc::SYS_unlinkat, &[]),
        #[cfg(target_arch = "x86_64")]
        Call(libc::SYS_unlink, &[]),
    ],
};

pub(super) const WRITE: Group = Group {
    reason: "files of the database: made, written, brought to the disk, renamed and removed",
    calls: &[
        Call(libc::SYS_openat, &[]),
        Call(libc::SYS_ftruncate, &[]),
        Call(libc::SYS_fsync, &[]),
        Call(libc::SYS_fdatasync, &[]),
        Call(libc::SYS_fchmod, &[]),
        Call(libc::SYS_renameat2, &[]),
        Call(libc::SYS_unlinkat, &[]),
        #[cfg(not(target_arch = "riscv64"))]
        Call(libc::SYS_renameat, &[]),
        #[cfg(target_arch = "x86_64")]
        Call(libc::SYS_open, &[]),
        #[cfg(target_arch = "x86_64")]
        Call(libc::SYS_rename, &[]),
        #[cfg(target_arch = "x86_64")]
        Call(libc::SYS_unlink, &[]),
    ],
};

/// Has the kernel filter the system calls of this thread.
///
/// # Errors
///
/// Why it does not.
pub(super) fn filter(groups: &[&Group]) -> Result<(), String> {
    let program = program(groups).map_err(|why| why.to_string())?;
    seccompiler::apply_filter(&program).map_err(|why| match why {
        Error::Prctl(why) | Error::Seccomp(why) => reason(&why),
        why => why.to_string(),
    })
}

fn program(groups: &[&Group]) -> Result<BpfProgram, BackendError> {
    let mut rules: BTreeMap<c_long, Vec<SeccompRule>> = BTreeMap::new();
    let calls = || groups.iter().flat_map(|group| group.calls);
    for Call(number, conditions) in calls().filter(|Call(_, conditions)| !conditions.is_empty()) {
        let conditions = conditions.iter().map(Condition::compile).collect::<Result<_, _>>()?;
        rules.entry(*number).or_default().push(SeccompRule::new(conditions)?);
    }
    // Without conditions a call may be made whatever other groups say of it.
    rules.extend(calls().filter(|Call(_, conditions)| conditions.is_empty()).map(|Call(number, _)| (*number, vec![])));
    let denied = SeccompAction::Errno(libc::ENOSYS as u32);
    SeccompFilter::new(rules, denied, SeccompAction::Allow, std::env::consts::ARCH.try_into()?)?.try_into()
}

impl Condition {
    fn compile(&self) -> Result<SeccompCondition, BackendError> {
        SeccompCondition::new(self.argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(self.mask), self.value)
    }
}
