//! The server: accepts connections, bounds them, and hands requests to the routes.

use super::app::{App, CALLS, ServerUser, Shared, Transport};
use super::guard::refuse_other_user;
use super::listen::Listening;
use super::redirect_file::RedirectFile;
use super::routes;
use super::session::{Bearer, Session};
use super::stall_limit::StallLimit;
use crate::config::zones::SystemZones;
use crate::control::Rights;
use crate::profile::Profile;
use crate::schedule::Zones;
use crate::sys::error::OsError;
use crate::sys::local_socket::Peer;
use crate::sys::socket_owner::uid_of_client;
use crate::sys::{files, interrupts, process};
use crate::users::caller_name;
use axum::Router;
use axum::routing::any;
use futures_util::future::{join_all, select, select_all};
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use std::io;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Connections that are served at a time.
const CONNECTIONS: usize = 64;
/// Connections of other users of the machine, who get the answer that the page is not theirs.
const OTHERS: usize = 4;
/// How long a client may take to send the head of a request, and how long a connection without a request stays.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);
/// Most headers of a request, and bytes of its head.
const HEADERS: usize = 64;
const HEAD_BYTES: usize = 16 << 10;
/// How long to wait after the kernel could not accept a connection.
const PAUSE: Duration = Duration::from_millis(200);
/// How long a thread that has asked the daemon waits for the next question.
const IDLE_THREAD: Duration = Duration::from_secs(2);

/// The settings of the server.
#[derive(Debug)]
pub struct Options {
    /// The directories in which the daemon's sockets are searched for.
    pub sockets: Vec<PathBuf>,
    /// The constants of the profile.
    pub profile: &'static Profile,
    /// Whether nothing can be changed.
    pub is_read_only: bool,
    /// The host names that are served on a Unix socket. None: all.
    pub names: Vec<String>,
    /// What programs send for the metrics and the calendar.
    pub bearer: Option<String>,
    /// The groups with more rights.
    pub rights: Rights,
    /// Whose jobs are shown. None: all.
    pub only_user: Option<String>,
}

/// Why the server cannot be started.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// The kernel refuses something.
    #[error("starting the web server: {0}")]
    Os(OsError),
}

impl From<io::Error> for ServerError {
    fn from(error: io::Error) -> ServerError {
        ServerError::Os(error.into())
    }
}

/// A server that listens already.
#[derive(Debug)]
pub struct Server {
    app: Shared,
    socket: Listening,
}

impl Server {
    /// Prepares the pages for a socket that listens.
    ///
    /// # Errors
    ///
    /// The kernel has no random numbers, or does not say who this is.
    pub fn new(options: Options, socket: Listening) -> Result<Server, ServerError> {
        let Options { sockets, profile, is_read_only, names, bearer, rights, only_user } = options;
        let transport = match &socket {
            Listening::Tcp(listeners) => {
                let first = listeners.first().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
                Transport::Loopback { port: first.local_addr()?.port(), session: Session::new(bearer)? }
            }
            Listening::Unix(..) => Transport::Unix { names, bearer: bearer.map(Bearer::new) },
        };
        let (uid, gid) = (process::own_uid(), process::own_gid());
        let peer = Peer { uid, gid, pid: std::process::id(), groups: process::own_groups()? };
        let user = ServerUser { name: caller_name(), peer, rights, only: only_user };
        let machine = String::from_utf8_lossy(&files::host_name()?).into_owned();
        let zone = SystemZones::open().system();
        let app = App::new(sockets, zone, profile, machine, is_read_only, transport, user);
        Ok(Server { app: Arc::new(app), socket })
    }

    /// The address that signs in a browser, once. None: no sign-in is needed.
    pub fn one_time_address(&self) -> Option<String> {
        let Transport::Loopback { port, session } = &self.app.transport else { return None };
        let token = session.token()?;
        Some(format!("http://{}:{port}/open?token={token}", session.host))
    }

    /// Serves until a signal ends the process (INT, TERM, HUP). A redirect file is removed once it has been used.
    ///
    /// # Errors
    ///
    /// The kernel refuses what a server needs.
    pub fn run(self, redirect: Option<RedirectFile>) -> Result<(), ServerError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .max_blocking_threads(CALLS + 2)
            .thread_keep_alive(IDLE_THREAD)
            .build()?;
        let Server { app, socket } = self;
        let result = runtime.block_on(async move {
            let mut kinds = vec![SignalKind::interrupt(), SignalKind::terminate()];
            // It stays ignored below nohup(1).
            if !interrupts::is_hangup_ignored() {
                kinds.push(SignalKind::hangup());
            }
            let signals = kinds.into_iter().map(signal).collect::<io::Result<Vec<_>>>()?;
            let end = select_all(signals.into_iter().map(|mut signal| Box::pin(async move { signal.recv().await })));
            let router = routes::router(Arc::clone(&app), redirect);
            match socket {
                Listening::Tcp(listeners) => {
                    let places = Places::new();
                    let servers = listeners.into_iter().map(|listener| {
                        listener.set_nonblocking(true)?;
                        Ok(serve_tcp(TcpListener::from_std(listener)?, &app, &router, &places))
                    });
                    let servers = servers.collect::<io::Result<Vec<_>>>()?;
                    select(pin!(join_all(servers)), end).await;
                }
                Listening::Unix(listener, _path) => {
                    listener.set_nonblocking(true)?;
                    let listener = UnixListener::from_std(listener)?;
                    select(pin!(serve_unix(&listener, &router)), end).await;
                }
            }
            Ok::<(), io::Error>(())
        });
        // A thread that waits for the daemon is not waited for.
        runtime.shutdown_background();
        Ok(result?)
    }
}

/// Serves one connection until its end, as [`Server::run`] would, but for a client that ends its side before it is answered; for tests/fuzz.
#[doc(hidden)]
impl Server {
    /// Answers the requests that come on this connection.
    ///
    /// # Errors
    ///
    /// The kernel refuses what a server needs.
    pub fn serve_one(&self, connection: std::os::unix::net::UnixStream) -> Result<(), ServerError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        connection.set_nonblocking(true)?;
        runtime.block_on(async {
            let stream = tokio::net::UnixStream::from_std(connection)?;
            let service = TowerToHyperService::new(routes::router(Arc::clone(&self.app), None));
            // A client may close the connection at any time, so an error is not logged.
            let _ = http().half_close(true).serve_connection(TokioIo::new(StallLimit::new(stream)), service).await;
            Ok(())
        })
    }
}

/// Connections at a time, on all sockets together.
struct Places {
    own: Arc<Semaphore>,
    /// Those of other users, who cannot take the places of this one.
    others: Arc<Semaphore>,
}

impl Places {
    fn new() -> Places {
        Places { own: Arc::new(Semaphore::new(CONNECTIONS)), others: Arc::new(Semaphore::new(OTHERS)) }
    }
}

async fn serve_tcp(listener: TcpListener, app: &Shared, router: &Router, places: &Places) {
    let http = http();
    let mut short = http.clone();
    short.keep_alive(false);
    let others = Router::new().fallback(any(refuse_other_user)).with_state(Arc::clone(app));
    loop {
        let Ok((stream, client)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        // Other users of this machine can connect to loopback, too. A connection that is closed already, or cannot be known, goes.
        let Ok(Some(uid)) = stream.local_addr().and_then(|own| uid_of_client(client, own)) else { continue };
        let is_own = uid == app.user.peer.uid;
        let (http, router, places) =
            if is_own { (&http, router, &places.own) } else { (&short, &others, &places.others) };
        if let Ok(place) = Arc::clone(places).try_acquire_owned() {
            start(http, stream, router, place);
        }
    }
}

async fn serve_unix(listener: &UnixListener, router: &Router) {
    let (connections, http) = (Arc::new(Semaphore::new(CONNECTIONS)), http());
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(PAUSE).await;
            continue;
        };
        let Ok(place) = Arc::clone(&connections).try_acquire_owned() else { continue };
        start(&http, stream, router, place);
    }
}

fn http() -> http1::Builder {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEAD_PATIENCE).max_buf_size(HEAD_BYTES).max_headers(HEADERS);
    http
}

/// Serves a connection beside the others.
fn start<S>(http: &http1::Builder, stream: S, router: &Router, place: OwnedSemaphorePermit)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = TowerToHyperService::new(router.clone());
    let connection = http.serve_connection(TokioIo::new(StallLimit::new(stream)), service);
    tokio::spawn(async move {
        // A client may close the connection at any time, so an error is not logged.
        let _ = connection.await;
        drop(place);
    });
}
