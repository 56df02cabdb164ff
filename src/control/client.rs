//! A connection to a service, for commands, which can wait.

use crate::sys::error::OsError;
use crate::sys::local_socket;
use crate::varlink::{Call, FrameReader, Reply, ReplyError};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Most bytes of a reply. The largest is a page of jobs.
const LONGEST_REPLY: usize = 64 << 20;

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

/// A connection to a service.
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

    /// Calls a method that has one reply.
    ///
    /// # Errors
    ///
    /// The call was refused, or the connection failed.
    pub fn call<T: DeserializeOwned>(&mut self, method: &str, arguments: &impl Serialize) -> Result<T, ClientError> {
        self.send(&Call::new(method, arguments))?;
        Ok(self.receive()?.result()?)
    }

    /// Calls a method and passes each reply to `take`, which says whether more are wanted. An empty reply, the end of an answer without results, is
    /// not passed on.
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
    pub fn set_patience(&self, patience: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(patience)
    }

    /// The socket, and what has been read of it, for an event loop.
    pub fn into_parts(self) -> (UnixStream, FrameReader) {
        (self.socket, self.reader)
    }

    /// Takes a reply that has arrived. None: there is none yet.
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

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}
