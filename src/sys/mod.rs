//! Kernel and libc, handed out as safe types. The only room with `unsafe`; each block says why it is sound.

pub mod audit;
pub mod clock;
pub mod daemon;
pub mod descriptor;
pub mod entry;
pub mod files;
pub mod host;
pub mod identity;
pub mod interrupts;
mod library;
pub mod locale;
pub mod lock;
pub mod memory;
pub mod name_watch;
pub mod notify_socket;
pub mod pam;
pub mod passwd;
pub mod poll;
pub mod power;
pub mod process;
pub mod selinux;
pub mod signal;
pub mod terminal;
pub mod timer;
pub mod user;
pub mod zoneinfo;
