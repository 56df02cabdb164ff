//! The sandbox of the helpers: processes that parse what others have written, and cannot execute a program.
//!
//! A helper opens what it has from outside, calls [`enter`] once, and only then reads what it did not write itself. From then on it can do what
//! its groups of system calls ([`groups`]) and its paths allow, for good; everything else is denied. seccomp(2) filters the system calls, and Landlock
//! (landlock(7)) restricts them to paths, and to TCP connections to the engine for the agent of a fleet, none for the others, and forbids signals to others, as far as the kernel has it.
//!
//! A denied system call fails with ENOSYS ("Function not implemented"), as on a kernel that does not have it. The process is not killed, since a
//! later libc may use system calls that are not in the list yet: it takes ENOSYS for an older kernel and does it in the old way, whereas it would pass
//! EPERM on as a failure. What Landlock denies fails with EACCES.
//!
//! | file | content |
//! |---|---|
//! | `calls` | the groups of system calls, and the filter that is made of them |
//! | this one | the helpers, with their groups and paths |

#[cfg(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "x86_64"))]
mod calls;

#[cfg(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "x86_64"))]
pub use calls::Group;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, NetPort, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
    make_bitflags, path_beneath_rules,
};
use std::path::{Path, PathBuf};

/// The latest version of Landlock whose restrictions are asked for. Older kernels have a part of them.
const LANDLOCK: ABI = ABI::V6;

/// What a lookup of users, groups or zones reads, also after the files were replaced: rules for single files would be those of the old ones.
const SYSTEM: [&str; 6] = ["/etc", "/usr", "/lib", "/lib64", "/var/lib/sss", "/var/lib/extrausers"];
/// What a lookup of a host reads besides, and the port of name servers.
const RESOLVER: [&str; 2] = ["/run/systemd/resolve", "/run/nscd"];
const DOMAIN_PORT: u16 = 53;
/// Random numbers where the kernel has no getrandom(2), and for SQLite.
const RANDOM: &str = "/dev/urandom";

/// A helper and what it works on.
#[derive(Clone, Copy, Debug)]
pub enum Helper<'a> {
    /// The process that writes the history and answers questions about it.
    Recorder {
        /// The directory of the database. None: the database is in memory.
        directory: Option<&'a Path>,
    },
    /// The agent of a fleet.
    Fleet {
        /// The ports of the engine's members.
        ports: &'a [u16],
    },
    /// The server of `cronctl web`.
    Web {
        /// The directories of the files that it removes at its end.
        removes_in: &'a [PathBuf],
    },
}

/// The groups of system calls that a helper may make.
#[cfg(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "x86_64"))]
pub fn groups(helper: Helper<'_>) -> &'static [&'static Group] {
    match helper {
        Helper::Recorder { .. } => {
            &[&calls::PROCESS, &calls::DESCRIPTORS, &calls::ACCEPT, &calls::TALK, &calls::READ, &calls::WRITE]
        }
        Helper::Fleet { .. } => &[
            &calls::PROCESS,
            &calls::THREADS,
            &calls::LIBRARIES,
            &calls::DESCRIPTORS,
            &calls::TALK,
            &calls::NETWORK,
            &calls::READ,
        ],
        Helper::Web { .. } => &[
            &calls::PROCESS,
            &calls::THREADS,
            &calls::LIBRARIES,
            &calls::DESCRIPTORS,
            &calls::ACCEPT,
            &calls::TALK,
            &calls::CLIENT,
            &calls::READ,
            &calls::REMOVE,
        ],
    }
}

/// Restricts this thread, and those that it starts from now on, to what the helper needs. Returns a line for the log if system calls cannot be
/// filtered, or if the kernel has Landlock and it fails. Where the kernel has no Landlock, nothing is returned for that, as many kernels have none.
#[must_use = "what does not hold is to be logged"]
pub fn enter(helper: Helper<'_>) -> Option<String> {
    // First, as the filter has no call of Landlock.
    let files = restrict_files(helper).map_err(|why| format!("its files are not restricted (Landlock): {why}"));
    let calls = filter_calls(helper).map_err(|why| format!("its system calls are not filtered (seccomp): {why}"));
    let missing: Vec<String> = [files, calls].into_iter().filter_map(Result::err).collect();
    (!missing.is_empty()).then(|| missing.join("; "))
}

fn restrict_files(helper: Helper<'_>) -> Result<(), RulesetError> {
    let read = make_bitflags!(AccessFs::{ReadFile | ReadDir});
    let write = make_bitflags!(AccessFs::{WriteFile | Truncate | MakeReg | RemoveFile});
    let ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(LANDLOCK))?
        .handle_access(AccessNet::from_all(LANDLOCK))?
        .scope(Scope::from_all(LANDLOCK))?
        .create()?
        .add_rules(path_beneath_rules([RANDOM], read))?;
    let ruleset = match helper {
        Helper::Fleet { ports } => {
            let connect = |port: &u16| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp));
            ruleset
                .add_rules(path_beneath_rules(SYSTEM.iter().chain(&RESOLVER), read))?
                .add_rules(ports.iter().chain([&DOMAIN_PORT]).map(connect))?
        }
        Helper::Recorder { directory } => ruleset.add_rules(path_beneath_rules(directory, read | write))?,
        Helper::Web { removes_in } => {
            let zones = std::env::var_os("TZDIR").map(PathBuf::from);
            ruleset
                .add_rules(path_beneath_rules(SYSTEM.iter().map(Path::new).chain(zones.as_deref()), read))?
                .add_rules(path_beneath_rules(removes_in, BitFlags::from(AccessFs::RemoveFile)))?
        }
    };
    ruleset.restrict_self().map(drop)
}

#[cfg(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "x86_64"))]
fn filter_calls(helper: Helper<'_>) -> Result<(), String> {
    calls::filter(groups(helper))
}

#[cfg(not(any(target_arch = "aarch64", target_arch = "riscv64", target_arch = "x86_64")))]
fn filter_calls(_: Helper<'_>) -> Result<(), &'static str> {
    Err("there is no list of calls for this processor")
}
