//! A connection to a service, for commands, which can wait.

use crate::sys::clock;
use crate::sys::error::OsError;
use crate::sys::local_socket;
use crate::varlink::{Call, CallError, FrameReader, Reply, ReplyError, cron, service};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Most bytes of a reply. The largest is a page of jobs.
const LONGEST_REPLY: usize = 64 << 20;
/// How long a call is made again that is refused as one too many, and the shortest pause before that, in milliseconds.
const BUSY_MS: i64 = 3_000;
const LEAST_PAUSE_MS: f64 = 20.0;

/// Why a call has no result.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection failed.
    #[error("talking to the daemon: {0}")]
    Io(#[source] OsError),
    /// The daemon closed the connection.
    #[error("the daemon has closed the connection")]
    Closed,
    /// The call was refused, or the reply cannot be read.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

impl From<io::Error> for ClientError {
    fn from(error: io::Error) -> ClientError {
        ClientError::Io(error.into())
    }
}

/// A connection to the control socket or another Varlink service.
#[derive(Debug)]
pub struct Client {
    socket: UnixStream,
    reader: FrameReader,
}

impl Client {
    /// Connects to the service with that socket.
    ///
    /// # Errors
    ///
    /// Nobody listens there.
    pub fn connect(path: &Path) -> io::Result<Client> {
        // It must not wait for a daemon that accepts no connections.
        let (socket, _) = local_socket::connect(path)?;
        let socket = UnixStream::from(socket);
        socket.set_nonblocking(false)?;
        Ok(Client { socket, reader: FrameReader::new(LONGEST_REPLY) })
    }

    /// Connects to the service with that socket, and has it answer once: somebody may have to accept the connection, or be stopped.
    ///
    /// # Errors
    ///
    /// Nobody listens there, or nobody answers in time: [`io::ErrorKind::TimedOut`].
    pub fn connect_answering(path: &Path, timeout: Duration) -> io::Result<Client> {
        let mut client = Client::connect(path)?;
        client.set_timeout(Some(timeout))?;
        let asked = client.send(&Call::new(format!("{}.GetInfo", service::INTERFACE), &serde_json::json!({})));
        match asked.map_err(ClientError::from).and_then(|()| client.receive()) {
            Ok(reply) if reply.result::<serde_json::Value>().is_ok() => client.set_timeout(None)?,
            // It answers, and may have closed the connection as one too many: the call that follows finds that out.
            Ok(_) | Err(ClientError::Reply(_)) => client = Client::connect(path)?,
            Err(ClientError::Closed) => return Err(io::ErrorKind::ConnectionReset.into()),
            Err(ClientError::Io(why)) if why.kind() == io::ErrorKind::WouldBlock => {
                return Err(io::ErrorKind::TimedOut.into());
            }
            Err(ClientError::Io(why)) => return Err(why.kind().into()),
        }
        Ok(client)
    }

    /// Calls a method that has one reply. If the service refuses the call as one too many, it is made again for up to three seconds.
    ///
    /// # Errors
    ///
    /// The call was refused, or the connection failed.
    pub fn call<T: DeserializeOwned>(&mut self, method: &str, arguments: &impl Serialize) -> Result<T, ClientError> {
        let mut refusals = Refusals::default();
        loop {
            let called = self.send(&Call::new(method, arguments)).map_err(ClientError::from);
            let called = called.and_then(|()| Ok(self.receive()?.result()?));
            match called {
                Err(error) => refusals.wait(error)?,
                called => return called,
            }
        }
    }

    /// Calls a method and passes each reply to `take`, which says whether more are wanted. An empty reply, the end of an answer without results, is
    /// not passed on. If the service refuses the call as one too many, it is made again for up to three seconds.
    ///
    /// # Errors
    ///
    /// The call was refused, or the connection failed.
    pub fn call_more<T: DeserializeOwned>(
        &mut self,
        method: &str,
        arguments: &impl Serialize,
        mut take: impl FnMut(T) -> bool,
    ) -> Result<(), ClientError> {
        let mut refusals = Refusals::default();
        loop {
            let mut has_taken = false;
            let called = self.call_more_once(method, arguments, |reply| {
                has_taken = true;
                take(reply)
            });
            match called {
                Err(error) if !has_taken => refusals.wait(error)?,
                called => return called,
            }
        }
    }

    fn call_more_once<T: DeserializeOwned>(
        &mut self,
        method: &str,
        arguments: &impl Serialize,
        mut take: impl FnMut(T) -> bool,
    ) -> Result<(), ClientError> {
        self.send(&Call { more: true, ..Call::new(method, arguments) })?;
        loop {
            let reply = self.receive()?;
            if (!reply.is_empty() && !take(reply.result()?)) || !reply.continues {
                return Ok(());
            }
        }
    }

    /// Sends a call.
    ///
    /// # Errors
    ///
    /// The connection failed.
    pub fn send(&mut self, call: &Call) -> io::Result<()> {
        self.socket.write_all(&call.to_bytes())
    }

    /// Waits for replies no longer than this. [`Client::receive`] then fails with [`io::ErrorKind::WouldBlock`].
    ///
    /// # Errors
    ///
    /// The kernel refuses it.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(timeout)
    }

    /// The socket, and what has been read of it, for an event loop.
    pub fn into_parts(self) -> (UnixStream, FrameReader) {
        (self.socket, self.reader)
    }

    /// Takes a reply that has arrived. None: no reply has arrived yet.
    ///
    /// # Errors
    ///
    /// The connection failed or was closed, or what arrived is not a reply.
    pub fn try_receive(&mut self) -> Result<Option<Reply>, ClientError> {
        self.socket.set_nonblocking(true)?;
        let received = self.receive();
        self.socket.set_nonblocking(false)?;
        match received {
            Err(ClientError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(None),
            received => received.map(Some),
        }
    }

    /// Waits for the next reply.
    ///
    /// # Errors
    ///
    /// The connection failed or was closed, or what arrived is not a reply.
    pub fn receive(&mut self) -> Result<Reply, ClientError> {
        let mut piece = [0; 16 << 10];
        loop {
            let message = self.reader.next_message().map_err(|why| ReplyError::Unexpected { why: why.to_string() })?;
            if let Some(message) = message {
                return Ok(Reply::parse(&message)?);
            }
            match self.socket.read(&mut piece) {
                Ok(0) => return Err(ClientError::Closed),
                Ok(count) => self
                    .reader
                    .push(piece.get(..count).unwrap_or_default())
                    .map_err(|why| ReplyError::Unexpected { why: why.to_string() })?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// How often a call was refused as one too many.
#[derive(Debug, Default)]
struct Refusals {
    /// When the call is not made again any more (milliseconds of the monotonic clock), once it was refused.
    until_ms: Option<i64>,
    last: Option<ClientError>,
}

impl Refusals {
    /// Waits as long as the service asks for.
    ///
    /// # Errors
    ///
    /// The call failed for another reason, or the time is over. That of the refusal, if the service has closed the connection after it.
    fn wait(&mut self, error: ClientError) -> Result<(), ClientError> {
        let ClientError::Reply(ReplyError::Refused(CallError::Cron(cron::Error::Busy { retry_after }))) = &error else {
            let is_end = matches!(error, ClientError::Closed | ClientError::Io(_));
            return Err(self.last.take().filter(|_| is_end).unwrap_or(error));
        };
        let now_ms = clock::monotonic_ms();
        let until_ms = *self.until_ms.get_or_insert(now_ms + BUSY_MS);
        let pause_ms = (retry_after * 1_000.0).ceil().clamp(LEAST_PAUSE_MS, f64::from(u16::MAX));
        if now_ms + pause_ms as i64 > until_ms {
            return Err(error);
        }
        std::thread::sleep(Duration::from_millis(pause_ms as u64));
        self.last = Some(error);
        Ok(())
    }
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
