//! A private Debian machine for each test that runs as root.
//!
//! ```ignore
//! pub mod common;
//!
//! #[test]
//! fn a_job_runs_as_its_owner() {
//!     let Some(world) = world!(Implementation::OursDebian) else { return };
//!     let daemon = world.start_daemon(&[]);
//!     let shown = world.run_as("alice", "crontab -l");
//!     ...
//! }
//! ```
//!
//! `world!` starts this test once more inside mount, process, network and host name namespaces of its own, where the
//! whole file system is an overlay that is gone afterwards: `/etc`, `/run`, `/var`, `/home` may be written at will, the
//! implementation's programs are installed as its package would, `alice` and `bob` are real users made by `useradd`, and
//! `/dev/log` is read by the test. Outside, it reports what the test inside said. Nothing waits by sleeping: everything
//! is an event or a condition with a deadline.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests, though not inside a #[test].

pub mod cgroup;
pub mod clock;
pub mod implementation;
pub mod log;
pub mod machine;
pub mod stage;

pub use clock::Deadline;
pub use implementation::Implementation;
pub use log::Log;
pub use machine::{Daemon, Shown, World};

/// A [`World`] with the given [`Implementation`] installed, in a test function: `None` outside of it, where the test inside has
/// been run and found good, or was skipped. A list of programs, or of packages that `tests/install-needs` unpacks, may
/// follow: where one of them is missing the test is skipped.
#[macro_export]
macro_rules! world {
    ($implementation:expr) => {
        $crate::world!($implementation, [])
    };
    ($implementation:expr, $needs:expr) => {{
        fn here() {}
        $crate::common::stage::enter(std::any::type_name_of_val(&here), $implementation, &$needs)
    }};
}
