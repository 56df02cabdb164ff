//! What all handlers share: where the daemon is, who asks it, and the bounds of what is asked at once.

use super::backend::{Backend, Fault};
use super::session::Session;
use crate::control::{Access, JobOwner, Permission, Rights};
use crate::profile::Profile;
use crate::schedule::Zone;
use crate::sys::local_socket::Peer;
use crate::varlink::cron::Job;
use axum::body::Bytes;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, SemaphorePermit, broadcast};

/// Requests that ask the daemon at the same time. It accepts eight connections of a user: each of these has at most two, and other programs of the
/// user want some, too.
pub const CALLS: usize = 2;
/// Outputs that are followed at the same time.
const STREAMS: usize = 2;
/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// How clients come in.
#[derive(Debug)]
pub enum Transport {
    /// On loopback, with a cookie.
    Loopback {
        /// The port.
        port: u16,
        /// The secrets.
        session: Session,
    },
    /// Through a Unix socket. Whoever can connect may see the pages.
    Unix {
        /// The host names that are served. None: all, since the server in front decides.
        names: Vec<String>,
    },
}

/// Who asks the daemon.
#[derive(Debug)]
pub struct ServerUser {
    /// The login name of this process.
    pub name: String,
    /// What the daemon sees of it.
    pub peer: Peer,
    /// The groups with more rights.
    pub rights: Rights,
}

/// The state of the server.
#[derive(Debug)]
pub struct App {
    /// The directories in which the daemon's sockets are looked for, in this order.
    pub sockets: Vec<PathBuf>,
    /// The time zone of the system, in which times are shown.
    pub zone: Arc<Zone>,
    /// What follows from the profile.
    pub profile: &'static Profile,
    /// The name of this machine.
    pub machine: String,
    /// Whether nothing can be changed.
    pub is_read_only: bool,
    /// How clients come in.
    pub transport: Transport,
    /// Who asks the daemon.
    pub user: ServerUser,
    /// What happens, for all pages that show it; see `live`.
    pub events: Mutex<Option<broadcast::Sender<Bytes>>>,
    calls: Semaphore,
    streams: Arc<Semaphore>,
}

/// The state as handlers have it.
pub type Shared = Arc<App>;

impl App {
    /// A server that has not been asked anything.
    pub fn new(
        sockets: Vec<PathBuf>,
        zone: Arc<Zone>,
        profile: &'static Profile,
        machine: String,
        is_read_only: bool,
        transport: Transport,
        user: ServerUser,
    ) -> App {
        let (calls, streams) = (Semaphore::new(CALLS), Arc::new(Semaphore::new(STREAMS)));
        App { sockets, zone, profile, machine, is_read_only, transport, user, events: Mutex::new(None), calls, streams }
    }

    /// Asks the daemon, on a thread that may wait.
    ///
    /// # Errors
    ///
    /// The daemon does not answer or refuses, or too much is asked at once.
    pub async fn ask<T: Send + 'static>(
        self: &Arc<App>,
        question: impl FnOnce(&App, &mut Backend) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let _permit = self.turn().await?;
        let app = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || {
            let mut backend = Backend::open(&app.sockets)?;
            question(&app, &mut backend)
        });
        answer.await.map_err(|_| Fault::Unexpected("the page could not be made; this is a defect".to_owned()))?
    }

    /// Does something that waits for files, on a thread that may wait.
    ///
    /// # Errors
    ///
    /// Too much is asked at once.
    pub async fn ask_nobody<T: Send + 'static>(
        self: &Arc<App>,
        work: impl FnOnce(&App) -> T + Send + 'static,
    ) -> Result<T, Fault> {
        let _permit = self.turn().await?;
        let app = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&app)).await;
        done.map_err(|_| Fault::Unexpected("the page could not be made; this is a defect".to_owned()))
    }

    async fn turn(&self) -> Result<SemaphorePermit<'_>, Fault> {
        let busy = || Fault::Busy("too many pages are being made at once; try again".to_owned());
        match tokio::time::timeout(PATIENCE, self.calls.acquire()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) | Err(_) => Err(busy()),
        }
    }

    /// A place among the outputs that are followed.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn stream_place(&self) -> Result<OwnedSemaphorePermit, Fault> {
        let place = Arc::clone(&self.streams).try_acquire_owned();
        place.map_err(|_| Fault::Busy("too many outputs are being followed; close one of the pages".to_owned()))
    }

    /// What may be done with a job from here. The daemon has the last word.
    pub fn may(&self, job: &Job) -> Permission {
        if self.is_read_only {
            return Permission::Nothing;
        }
        let uid = (job.user == self.user.name).then_some(self.user.peer.uid);
        let owner = match (job.kind.as_str(), uid) {
            ("user", Some(uid)) => JobOwner::User(uid),
            ("standalone", Some(uid)) => JobOwner::Standalone(uid),
            (_, uid) => JobOwner::System(uid),
        };
        let Access { may, .. } = self.user.rights.access(&self.user.peer, owner);
        may
    }

    /// The command that starts the daemon.
    pub fn start_command(&self) -> &'static str {
        match self.profile.profile {
            crate::profile::ProfileName::Debian => "systemctl start cron",
            crate::profile::ProfileName::Cronie => "systemctl start crond",
        }
    }
}
