//! The template process: it has libpam and the service's modules loaded and forks the PAM monitors.
//!
//! It is the executor's child and exists from the first job with PAM on. It is a separate process for two reasons. The executor never loads
//! libpam or its modules, so their code can neither block nor crash the process that all jobs depend on. And fork copies the page tables of
//! the forking process: the template stays small however much memory the executor uses.
//!
//! At its start it begins a PAM transaction that is neither used nor ended. pam_start(3) reads the service's files and loads the modules but calls
//! none of their functions, so nothing is opened, logged or changed. Since the modules are then in memory, a PAM monitor saves loading and
//! relocating them: about a quarter of the CPU and a third of the memory that a job with PAM costs (figures in tests/bench/README.md, "What helped").
//! If the transaction fails, PAM monitors load the modules themselves.
//!
//! Each PAM monitor begins a transaction of its own, which reads the service's files as they are then and loads modules that the template does not
//! have. An upgraded module, or a library of one, would go unnoticed, as it is already loaded under its name. So before jobs are started the
//! executor replaces a template that has a library mapped whose file has been deleted or replaced, or an earlier libpam.
//!
//! It opens no session. It only receives the descriptors of a PAM monitor and forks it.

use super::exec_spec::Stdio;
use super::link::Link;
use super::pam_monitor::{MonitorEvent, PamMonitor};
use crate::profile::Profile;
use crate::sys::cgroup::DelegatedCgroup;
use crate::sys::contract::{FreshChild, SingleThreaded};
use crate::sys::descriptor;
use crate::sys::pam::Library;
use crate::sys::process::{self, Pid};
use crate::sys::process_list;
use crate::sys::selinux::Policy;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// The request to the template process: to fork a PAM monitor with these descriptors. It is sent as they are (SCM_RIGHTS), in this order.
#[derive(Debug)]
struct MonitorStart<Descriptor> {
    /// The monitor's end of its connection to the executor, over which the [`MonitorRequest`](super::pam_monitor::MonitorRequest) comes.
    link: Descriptor,
    /// The job's ends of its pipes: input, output, errors.
    stdio: [Descriptor; 3],
}

impl MonitorStart<BorrowedFd<'_>> {
    fn send(&self, socket: BorrowedFd<'_>) -> io::Result<()> {
        let [input, output, error] = self.stdio;
        descriptor::send_descriptors(socket, &[self.link, input, output, error])
    }
}

impl MonitorStart<OwnedFd> {
    /// Waits for the next request. None: the executor has gone. Whatever is no request is passed over.
    fn receive(socket: BorrowedFd<'_>) -> Option<MonitorStart<OwnedFd>> {
        loop {
            let descriptors = descriptor::receive_descriptors(socket).ok().flatten()?;
            if let Ok([link, input, output, error]) = <[OwnedFd; 4]>::try_from(descriptors) {
                return Some(MonitorStart { link, stdio: [input, output, error] });
            }
        }
    }
}

/// The executor's connection to the template process.
#[derive(Debug)]
pub(super) struct MonitorTemplate {
    pid: Pid,
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
        let pid = process::fork(threads, |child| template(&child, theirs, profile, policy, cgroup))?;
        Ok(MonitorTemplate { pid, socket: ours })
    }

    /// Whether a library that it has loaded is not installed any more. Its PAM monitors would use the earlier version.
    pub(super) fn is_outdated(&self) -> bool {
        process_list::has_deleted_libraries(self.pid)
    }

    /// Whether the template has unread requests. More requests would only wait behind them.
    pub(super) fn is_behind(&self) -> bool {
        !descriptor::takes_output(self.socket.as_fd())
    }

    /// Requests a PAM monitor for a job with these ends of its pipes. Returns the connection to it.
    pub(super) fn make_monitor(&self, stdio: Stdio<'_>) -> io::Result<Link> {
        let (ours, theirs) = descriptor::stream_pair()?;
        let start = MonitorStart { link: theirs.as_fd(), stdio: [stdio.input, stdio.output, stdio.error] };
        start.send(self.socket.as_fd())?;
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
    // The children of the template are not waited for: the executor is informed about jobs over the sockets of the PAM monitors.
    process::ignore_children();
    let library = Library::open();
    if let (Some(library), Ok(service)) = (&library, CString::new(profile.pam_service)) {
        library.preload_modules(&service);
    }
    while let Some(MonitorStart { link, stdio }) = MonitorStart::receive(socket.as_fd()) {
        let mut monitor = PamMonitor { library: library.as_ref(), profile, policy, cgroup, link: Link::new(link) };
        let mut ends = Some(stdio);
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
