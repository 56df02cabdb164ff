//! The template process: it has libpam loaded and forks the PAM monitors.
//!
//! It is the executor's child and exists from the first job with PAM on. It is a separate process for two reasons. The executor never loads
//! libpam or its modules, so their code can neither block nor crash the process that all jobs depend on. And fork copies the page tables of
//! the forking process: the template stays small however much memory the executor uses.
//!
//! It does not read the PAM service's files and opens no session. It only receives the descriptors of a PAM monitor and forks it.

use super::exec_spec::Stdio;
use super::link::Link;
use super::pam_monitor::{MonitorEvent, PamMonitor};
use crate::profile::Profile;
use crate::sys::cgroup::DelegatedCgroup;
use crate::sys::contract::{FreshChild, SingleThreaded};
use crate::sys::descriptor;
use crate::sys::pam::Library;
use crate::sys::process;
use crate::sys::selinux::Policy;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The executor's connection to the template process.
#[derive(Debug)]
pub(super) struct MonitorTemplate {
    socket: OwnedFd,
}

impl MonitorTemplate {
    /// Forks the template process. It ends when this is dropped; its PAM monitors do not.
    pub(super) fn fork(
        threads: &SingleThreaded,
        profile: &Profile,
        policy: Option<Policy>,
        cgroup: Option<&DelegatedCgroup>,
    ) -> io::Result<MonitorTemplate> {
        let (ours, theirs) = descriptor::request_pair()?;
        process::fork(threads, |child| template(&child, theirs, profile, policy, cgroup))?;
        Ok(MonitorTemplate { socket: ours })
    }

    /// Whether the template has unread requests. More requests would only wait behind them.
    pub(super) fn is_behind(&self) -> bool {
        !descriptor::takes_output(self.socket.as_fd())
    }

    /// Requests a PAM monitor for a job with these ends of its pipes. Returns the connection to it.
    pub(super) fn make_monitor(&self, stdio: Stdio<'_>) -> io::Result<Link> {
        let (ours, theirs) = descriptor::stream_pair()?;
        descriptor::send_descriptors(self.socket.as_fd(), &[theirs.as_fd(), stdio.input, stdio.output, stdio.error])?;
        Ok(Link::new(ours))
    }
}

/// Runs the template process after its fork and returns its exit status.
fn template(
    child: &FreshChild,
    socket: OwnedFd,
    profile: &Profile,
    policy: Option<Policy>,
    cgroup: Option<&DelegatedCgroup>,
) -> i32 {
    if descriptor::close_from(child, 3, &[socket.as_fd()]).is_err() {
        return 1;
    }
    process::set_name(c"crond: template");
    // Its children are not waited for: the executor is informed about jobs over the sockets of the PAM monitors.
    process::ignore_children();
    let library = Library::open();
    while let Ok(Some(descriptors)) = descriptor::receive_descriptors(socket.as_fd()) {
        let Ok([link, input, output, error]) = <[OwnedFd; 4]>::try_from(descriptors) else { continue };
        let mut monitor = PamMonitor { library: library.as_ref(), profile, policy, cgroup, link: Link::new(link) };
        let mut ends = Some([input, output, error]);
        let forked = process::fork(child.threads(), |child| match ends.take() {
            Some(ends) => {
                let [input, output, error] = ends.each_ref().map(AsFd::as_fd);
                let _ = descriptor::close_from(&child, 3, &[monitor.link.as_fd(), input, output, error]);
                monitor.run(child.threads(), ends)
            }
            None => 1,
        });
        if let Err(error) = forked {
            monitor.send(&MonitorEvent::NoMonitor { number: error.raw_os_error().unwrap_or(0) });
        }
    }
    0
}
