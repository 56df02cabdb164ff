//! System calls and functions of libc behind safe types. This is the only module with `unsafe`, and each block says why it is sound.
//!
//! | file | content |
//! |---|---|
//! | `contract`, `error`, `retry` | tokens for what a function relies on; failed system calls; repetition while the kernel is short of memory |
//! | `clock`, `timer`, `poll` | the clocks; a timer on the wall clock; epoll, and waking a waiting thread |
//! | `process`, `pidfd`, `process_list`, `process_lock` | fork, exec, wait, signals; processes that are not our children; locks that end with a process |
//! | `signal`, `interrupts` | signals read from a descriptor (daemon); signals that end a command |
//! | `daemon`, `handover`, `lock`, `notify_socket` | going to the background; descriptors for the next program; one daemon at a time; sd_notify(3) |
//! | `descriptor`, `local_socket`, `wake_socket`, `socket_owner` | pipes and socket pairs; Unix sockets; the owner of a TCP connection |
//! | `files`, `created`, `stamp` | files by directory descriptor; files that this process has created; change detection |
//! | `record_file`, `state_file` | files of records; small files that a daemon leaves for the next one |
//! | `file_system`, `mount_table`, `cgroup` | what inotify(7) reports where; mounts; control groups |
//! | `identity`, `passwd`, `pam`, `selinux`, `audit` | set-id identities; the user database; PAM; SELinux; audit records |
//! | `host`, `power`, `terminal`, `locale` | host and boot; battery; the terminal; the locale |
//! | `memory`, `library` | memory of this process; libraries loaded at run time |
//! | `allocator_tests` | the allocator of the unit tests, which can fail |

#[cfg(test)]
pub(crate) mod allocator_tests;
pub mod audit;
pub mod cgroup;
pub mod clock;
pub mod contract;
pub mod created;
pub mod daemon;
pub mod descriptor;
pub mod error;
pub mod file_system;
pub mod files;
pub mod handover;
pub mod host;
pub mod identity;
pub mod interrupts;
mod library;
pub mod local_socket;
pub mod locale;
pub mod lock;
pub mod memory;
pub mod mount_table;
pub mod notify_socket;
pub mod pam;
pub mod passwd;
pub mod pidfd;
pub mod poll;
pub mod power;
pub mod process;
pub mod process_list;
pub mod process_lock;
pub mod record_file;
pub mod retry;
pub mod selinux;
pub mod signal;
pub mod socket_owner;
pub mod stamp;
pub mod state_file;
pub mod terminal;
pub mod timer;
pub mod wake_socket;
