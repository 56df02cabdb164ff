//! Whether jobs have a PAM service, and the template process that PAM monitors are forked from.

use crate::executor::template::MonitorTemplate;
use crate::profile::Profile;
use crate::sys::cgroup::DelegatedCgroup;
use crate::sys::contract::SingleThreaded;
use crate::sys::pam;
use crate::sys::selinux::Policy;
use crate::sys::stamp::Stamp;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Directories in which distributions install libpam. On Debian it is in a subdirectory named for the architecture.
const LIBRARY_DIRECTORIES: [&str; 4] = ["/usr/lib64", "/usr/lib", "/lib64", "/lib"];

/// Whether jobs have a PAM service, and the template process that PAM monitors are forked from.
#[derive(Default)]
pub(super) struct Pam {
    has_service: bool,
    template: Option<MonitorTemplate>,
    /// The state of libpam's files when the template was forked.
    library: Vec<Option<Stamp>>,
}

impl Pam {
    /// Whether jobs have a PAM service.
    pub(super) fn has_service(&self) -> bool {
        self.has_service
    }

    /// Whether the template has unread requests.
    pub(super) fn is_behind(&self) -> bool {
        self.template.as_ref().is_some_and(MonitorTemplate::is_behind)
    }

    /// Drops a template that does not accept requests.
    pub(super) fn drop_template(&mut self) {
        self.template = None;
    }

    /// Checks again whether the service exists. Drops a template that has an earlier version of libpam or of a module loaded. The files of libpam
    /// are compared as well, because an earlier version of it may stay installed under another name.
    pub(super) fn refresh_template(&mut self, service: &str) {
        self.has_service = pam::has_service(service);
        if self.template.as_ref().is_some_and(|template| template.is_outdated() || library_files() != self.library) {
            self.template = None;
        }
    }

    pub(super) fn template(
        &mut self,
        threads: &SingleThreaded,
        profile: &Profile,
        policy: Option<Policy>,
        cgroup: Option<&DelegatedCgroup>,
    ) -> io::Result<&MonitorTemplate> {
        if self.template.is_none() {
            self.library = library_files();
            self.template = Some(MonitorTemplate::fork(threads, profile, policy, cgroup)?);
        }
        self.template.as_ref().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

/// The state of each file that may be the installed libpam.
fn library_files() -> Vec<Option<Stamp>> {
    let below = format!("{}-linux-gnu", std::env::consts::ARCH);
    let directories = LIBRARY_DIRECTORIES.iter().map(Path::new);
    let state = |path: PathBuf| Some(Stamp::from(&fs::metadata(path.join("libpam.so.0")).ok()?));
    directories.flat_map(|directory| [directory.join(&below), directory.to_owned()]).map(state).collect()
}
