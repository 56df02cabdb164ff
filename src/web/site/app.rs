//! What all handlers share: where the daemon is, who asks it, and the bounds of what is asked at once.

use super::backend::{Backend, PageError};
use super::session::{Bearer, Session};
use crate::control::{Access, JobOwner, Permission, Rights};
use crate::profile::{Profile, ProfileName};
use crate::schedule::Zone;
use crate::sys::local_socket::Peer;
use crate::varlink::cron::Job;
use axum::body::Bytes;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{AcquireError, Mutex, OwnedSemaphorePermit, Semaphore, broadcast};

/// Requests that ask the daemon at the same time. It accepts eight connections of a user: each of these has at most two, and other programs of the
/// user want some, too.
pub const CALLS: usize = 2;
/// Outputs that are followed at the same time, each on a connection to the daemon. Root may have more of these than others.
const STREAMS: usize = 2;
const STREAMS_OF_ROOT: usize = 8;
/// Most pages that follow events. With all of these and the outputs, a quarter of the connections is left for short requests.
const LISTENERS: usize = 40;
/// How long a request waits for its turn.
const TIMEOUT: Duration = Duration::from_secs(10);

/// How clients connect and authenticate.
#[derive(Debug)]
pub enum Transport {
    /// A port of loopback, with a session cookie.
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
        /// What programs send for the metrics and the calendar. None: nothing.
        bearer: Option<Bearer>,
    },
}

impl Transport {
    /// Whether the metrics and the calendar are given to programs with a token only.
    pub fn needs_token(&self) -> bool {
        matches!(self, Transport::Unix { bearer: Some(_), .. })
    }
}

/// The user that this server runs as, with whose rights the daemon is asked.
#[derive(Debug)]
pub struct ServerUser {
    /// The login name of this process.
    pub name: String,
    /// What the daemon sees of it.
    pub peer: Peer,
    /// The groups with more rights.
    pub rights: Rights,
    /// Whose jobs are shown. None: all that the daemon lets this process see.
    pub only: Option<String>,
}

/// The state of the server.
#[derive(Debug)]
pub struct App {
    /// The directories in which the daemon's sockets are searched for, in this order.
    pub sockets: Vec<PathBuf>,
    /// The time zone of the system, in which times are shown.
    pub zone: Arc<Zone>,
    /// The constants of the profile.
    pub profile: &'static Profile,
    /// The name of this machine.
    pub machine: String,
    /// Whether nothing can be changed.
    pub is_read_only: bool,
    /// How clients connect and authenticate.
    pub transport: Transport,
    /// The user that this server runs as.
    pub user: ServerUser,
    /// What happens, for all pages that show it; see `live`.
    pub events: Mutex<Option<broadcast::Sender<Bytes>>>,
    calls: Semaphore,
    streams: Arc<Semaphore>,
    listeners: Arc<Semaphore>,
    exports: Arc<Semaphore>,
    health: Semaphore,
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
        let streams = if user.peer.uid == 0 { STREAMS_OF_ROOT } else { STREAMS };
        App {
            sockets,
            zone,
            profile,
            machine,
            is_read_only,
            transport,
            user,
            events: Mutex::new(None),
            calls: Semaphore::new(CALLS),
            streams: Arc::new(Semaphore::new(streams)),
            listeners: Arc::new(Semaphore::new(LISTENERS)),
            exports: Arc::new(Semaphore::new(1)),
            health: Semaphore::new(1),
        }
    }

    /// Asks the daemon, on a thread that may wait.
    ///
    /// # Errors
    ///
    /// The daemon does not answer or refuses, or too much is asked at once.
    pub async fn ask<T: Send + 'static>(
        self: &Arc<App>,
        question: impl FnOnce(&App, &mut Backend) -> Result<T, PageError> + Send + 'static,
    ) -> Result<T, PageError> {
        self.ask_in_turn(&self.calls, question).await
    }

    /// The same for a short question whose answer does not wait for pages.
    ///
    /// # Errors
    ///
    /// As [`App::ask`].
    pub async fn ask_shortly<T: Send + 'static>(
        self: &Arc<App>,
        question: impl FnOnce(&App, &mut Backend) -> Result<T, PageError> + Send + 'static,
    ) -> Result<T, PageError> {
        self.ask_in_turn(&self.health, question).await
    }

    async fn ask_in_turn<T: Send + 'static>(
        self: &Arc<App>,
        places: &Semaphore,
        question: impl FnOnce(&App, &mut Backend) -> Result<T, PageError> + Send + 'static,
    ) -> Result<T, PageError> {
        let _permit = turn(places.acquire()).await?;
        let app = Arc::clone(self);
        let answer = tokio::task::spawn_blocking(move || {
            let mut backend = Backend::open(&app.sockets)?.of_user(app.user.only.clone());
            question(&app, &mut backend)
        });
        answer.await.map_err(|_| PageError::Unexpected("the page could not be made; this is a defect".to_owned()))?
    }

    /// Does something that waits for files, on a thread that may wait.
    ///
    /// # Errors
    ///
    /// Too much is asked at once.
    pub async fn ask_nobody<T: Send + 'static>(
        self: &Arc<App>,
        work: impl FnOnce(&App) -> T + Send + 'static,
    ) -> Result<T, PageError> {
        let _permit = turn(self.calls.acquire()).await?;
        let app = Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || work(&app)).await;
        done.map_err(|_| PageError::Unexpected("the page could not be made; this is a defect".to_owned()))
    }

    /// The place of large answers for programs, which is kept until the answer has been sent.
    ///
    /// # Errors
    ///
    /// Another one is being sent all the time.
    pub async fn export_place(&self) -> Result<OwnedSemaphorePermit, PageError> {
        turn(Arc::clone(&self.exports).acquire_owned()).await
    }

    /// A place among the pages that follow events.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn listener_place(&self) -> Result<OwnedSemaphorePermit, PageError> {
        let place = Arc::clone(&self.listeners).try_acquire_owned();
        place.map_err(|_| PageError::Busy(format!("{LISTENERS} open pages follow events already; close one of them")))
    }

    /// A place among the outputs that are followed.
    ///
    /// # Errors
    ///
    /// There are too many.
    pub fn stream_place(&self) -> Result<OwnedSemaphorePermit, PageError> {
        let place = Arc::clone(&self.streams).try_acquire_owned();
        place.map_err(|_| PageError::Busy("too many outputs are being followed; close one of the pages".to_owned()))
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
            ProfileName::Debian => "systemctl start cron",
            ProfileName::Cronie => "systemctl start crond",
        }
    }
}

/// Waits for a place, not for ever.
async fn turn<P>(place: impl Future<Output = Result<P, AcquireError>>) -> Result<P, PageError> {
    match tokio::time::timeout(TIMEOUT, place).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(PageError::Busy("too many pages are being made at once; try again".to_owned())),
    }
}
