//! The connections of a listening socket. Nothing here blocks, and everything that a client can make grow has a limit.

use super::request_rate::RequestRate;
use crate::sys::descriptor;
use crate::sys::local_socket::{Listener, Peer};
use crate::varlink::{Call, CallError, FrameReader, Reply, cron};
use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Most bytes of a request.
const LONGEST_REQUEST: usize = 64 << 10;
/// Most connections of one user at a time.
const OF_ONE: usize = 8;
/// Most connections, and how many of them are for root alone.
const ALL: usize = 256;
const FOR_ROOT: usize = 64;
/// How long a request may take to arrive, and how long a client may leave replies unread. Milliseconds.
const TIMEOUT_MS: i64 = 10_000;
/// Bytes of replies that may wait for a client where it gets what happens as it happens.
const UNREAD: usize = 256 << 10;
/// Most bytes that are read at once.
const PIECE: usize = 16 << 10;

/// The number of a connection, chosen by the event loop.
pub type ConnectionId = u64;

/// A listening socket and its connections.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    connections: BTreeMap<ConnectionId, Connection>,
    rate: RequestRate,
}

#[derive(Debug)]
struct Connection {
    socket: OwnedFd,
    peer: Peer,
    reader: FrameReader,
    /// Whether a call was taken whose last reply has not been sent.
    is_answering: bool,
    /// Whether that call wants no reply.
    is_oneway: bool,
    /// Replies that the client has not taken.
    unread: Vec<u8>,
    /// Since when a request has been arriving (milliseconds of the monotonic clock).
    request_since: Option<i64>,
    /// Since when replies have been unread and nothing of them was taken.
    unread_since: Option<i64>,
}

impl Connection {
    fn new(socket: OwnedFd, peer: Peer) -> Connection {
        let reader = FrameReader::new(LONGEST_REQUEST);
        Connection {
            socket,
            peer,
            reader,
            is_answering: false,
            is_oneway: false,
            unread: Vec::new(),
            request_since: None,
            unread_since: None,
        }
    }

    /// When its client has taken too long. A request that arrived ahead waits for the one before it, which takes no time of the client.
    fn deadline_ms(&self) -> Option<i64> {
        let request = self.request_since.filter(|_| !self.is_answering);
        Some(request.into_iter().chain(self.unread_since).min()? + TIMEOUT_MS)
    }

    fn flush(&mut self, now_ms: i64) -> io::Result<()> {
        let mut sent = 0;
        while let Some(rest) = self.unread.get(sent..).filter(|rest| !rest.is_empty()) {
            match descriptor::send(self.socket.as_fd(), &[IoSlice::new(rest)]) {
                Ok(count) => sent += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        self.unread.drain(..sent);
        if self.unread.is_empty() {
            self.unread.shrink_to(PIECE);
            self.unread_since = None;
        } else if sent > 0 || self.unread_since.is_none() {
            self.unread_since = Some(now_ms);
        }
        Ok(())
    }
}

impl Server {
    /// A server that has no connections yet.
    pub fn new(listener: Listener) -> Server {
        Server { listener, connections: BTreeMap::new(), rate: RequestRate::default() }
    }

    /// The listening socket, for the event loop.
    pub fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Accepts a connection under this number. None: it was refused.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`]: no more are pending. The process has no descriptor left.
    pub fn accept(&mut self, id: ConnectionId) -> io::Result<Option<BorrowedFd<'_>>> {
        let (socket, peer) = self.listener.accept_peer()?;
        let of_one = self.connections.values().filter(|other| other.peer.uid == peer.uid).count();
        let of_users = self.connections.values().filter(|other| other.peer.uid != 0).count();
        let has_room = match peer.uid {
            0 => of_one < FOR_ROOT,
            _ => of_one < OF_ONE && of_users < ALL - FOR_ROOT,
        };
        if !has_room {
            let refusal = Reply::refusal(&CallError::Cron(cron::Error::Busy { retry_after: 1.0 })).to_bytes();
            // The client finds it as the reply to its first request, or the end of the connection.
            let _ = descriptor::send(socket.as_fd(), &[IoSlice::new(&refusal)]);
            return Ok(None);
        }
        self.connections.insert(id, Connection::new(socket, peer));
        Ok(self.descriptor(id))
    }

    /// The descriptor of a connection.
    pub fn descriptor(&self, id: ConnectionId) -> Option<BorrowedFd<'_>> {
        self.connections.get(&id).map(|connection| connection.socket.as_fd())
    }

    /// Who is at the other end of a connection.
    pub fn peer(&self, id: ConnectionId) -> Option<&Peer> {
        self.connections.get(&id).map(|connection| &connection.peer)
    }

    /// Handles a connection that is readable or writable. False: it is at its end, and is to be closed with [`Server::close`].
    pub fn handle(&mut self, id: ConnectionId, now_ms: i64) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        if connection.flush(now_ms).is_err() {
            return false;
        }
        let mut piece = [0; PIECE];
        match descriptor::read(connection.socket.as_fd(), &mut piece) {
            Ok(0) => return false,
            // Without memory for a request, the client is to try again.
            Ok(count) if connection.reader.push(piece.get(..count).unwrap_or_default()).is_err() => return false,
            Ok(_) => {}
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {}
            Err(_) => return false,
        }
        // Requests that are sent ahead wait here, no more of them than one of the largest size.
        if connection.reader.len() > LONGEST_REQUEST + PIECE {
            return false;
        }
        if connection.reader.has_begun() && !connection.is_answering {
            connection.request_since.get_or_insert(now_ms);
        }
        true
    }

    /// The next request of a connection, unless one is being answered. Requests that cannot be read, and those above the allowed rate, are
    /// answered here.
    ///
    /// # Errors
    ///
    /// The connection is of no more use and is to be closed.
    pub fn next_call(&mut self, id: ConnectionId, now_ms: i64) -> Result<Option<Call>, Unusable> {
        let Some(connection) = self.connections.get_mut(&id) else { return Err(Unusable) };
        loop {
            if connection.is_answering || !connection.unread.is_empty() {
                return Ok(None);
            }
            let Some(message) = connection.reader.next_message().map_err(|_| Unusable)? else { return Ok(None) };
            connection.request_since = connection.reader.has_begun().then_some(now_ms);
            let call = Call::parse(&message).map_err(|_| Unusable)?;
            match self.rate.take(connection.peer.uid, now_ms) {
                Ok(()) => {
                    (connection.is_answering, connection.is_oneway) = (true, call.oneway);
                    return Ok(Some(call));
                }
                Err(_) if call.oneway => {}
                Err(retry_after) => {
                    let refusal = Reply::refusal(&CallError::Cron(cron::Error::Busy { retry_after }));
                    connection.unread = refusal.to_bytes();
                    connection.flush(now_ms).map_err(|_| Unusable)?;
                }
            }
        }
    }

    /// Counts further requests of a user for one that was as much work as so many.
    pub fn charge(&mut self, uid: u32, requests: usize, now_ms: i64) {
        self.rate.charge(uid, requests, now_ms);
    }

    /// Sends a reply to the call that is being answered. False: the connection is of no more use and is to be closed.
    pub fn reply(&mut self, id: ConnectionId, reply: &Reply, now_ms: i64) -> bool {
        self.reply_all(id, std::slice::from_ref(reply), now_ms)
    }

    /// Sends replies to the call that is being answered, all of them at once. False: as [`Server::reply`].
    pub fn reply_all(&mut self, id: ConnectionId, replies: &[Reply], now_ms: i64) -> bool {
        let Some(connection) = self.connections.get_mut(&id) else { return false };
        let mut is_sent = false;
        for reply in replies {
            if !connection.is_answering {
                break;
            }
            connection.is_answering = reply.continues;
            if !connection.is_oneway {
                connection.unread.extend(reply.to_bytes());
                is_sent = true;
            }
        }
        !is_sent || connection.flush(now_ms).is_ok()
    }

    /// Whether a client has left more replies unread than one that follows what happens may.
    pub fn is_behind(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.unread.len() > UNREAD)
    }

    /// Whether a client has read all replies so far.
    pub fn has_read_all(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.unread.is_empty())
    }

    /// Whether a connection is being answered.
    pub fn is_answering(&self, id: ConnectionId) -> bool {
        self.connections.get(&id).is_some_and(|connection| connection.is_answering)
    }

    /// Closes a connection, and drops what was not sent on it.
    pub fn close(&mut self, id: ConnectionId) {
        self.connections.remove(&id);
    }

    /// The connections whose clients have taken too long to send a request or to read replies.
    pub fn overdue(&self, now_ms: i64) -> Vec<ConnectionId> {
        let overdue =
            self.connections.iter().filter(|(_, connection)| connection.deadline_ms().is_some_and(|at| at <= now_ms));
        overdue.map(|(id, _)| *id).collect()
    }

    /// When a connection will be overdue (milliseconds of the monotonic clock).
    pub fn next_deadline_ms(&self) -> Option<i64> {
        self.connections.values().filter_map(Connection::deadline_ms).min()
    }
}

/// A connection that is to be closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unusable;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::contract::SingleThreaded;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    fn server() -> (tempfile::TempDir, Server) {
        let directory = tempfile::tempdir().unwrap();
        let listener = Listener::bind_for_all(&SingleThreaded::for_tests(), &directory.path().join("socket")).unwrap();
        (directory, Server::new(listener))
    }

    fn connect(directory: &tempfile::TempDir) -> UnixStream {
        UnixStream::connect(directory.path().join("socket")).unwrap()
    }

    fn call(method: &str) -> Vec<u8> {
        Call::new(method, &()).to_bytes()
    }

    fn read(client: &mut UnixStream) -> Reply {
        let mut bytes = Vec::new();
        let mut byte = [0];
        while client.read(&mut byte).unwrap() == 1 && byte != [0] {
            bytes.extend(byte);
        }
        Reply::parse(&bytes).unwrap()
    }

    fn read_number(client: &mut UnixStream) -> u32 {
        read(client).result().unwrap()
    }

    #[test]
    fn requests_that_are_sent_ahead_are_answered_one_after_the_other() {
        let (directory, mut server) = server();
        let mut client = connect(&directory);
        server.accept(1).unwrap().unwrap();
        client.write_all(&[call("a.B"), call("a.C")].concat()).unwrap();
        assert!(server.handle(1, 0));
        assert_eq!(server.next_call(1, 0).unwrap().unwrap().method, "a.B");
        assert_eq!(server.next_call(1, 0), Ok(None));
        assert!(server.reply(1, &Reply::continued(&1), 0));
        assert_eq!(server.next_call(1, 0), Ok(None));
        assert!(server.reply(1, &Reply::of(&2), 0));
        assert_eq!(server.next_call(1, 0).unwrap().unwrap().method, "a.C");
        assert_eq!((read_number(&mut client), read_number(&mut client)), (1, 2));
        // Replies are sent together; nothing is sent that was not asked for.
        assert!(
            server.reply_all(1, &[Reply::continued(&5), Reply::of(&3), Reply::of(&4)], 0)
                && server.reply(1, &Reply::of(&4), 0)
        );
        assert_eq!(read_number(&mut client), 5);
        assert_eq!(read_number(&mut client), 3);
        drop(client);
        assert!(!server.handle(1, 0));
    }

    #[test]
    fn a_call_that_wants_no_reply_gets_none_and_the_next_waits_for_its_end() {
        let (directory, mut server) = server();
        let mut client = connect(&directory);
        server.accept(1).unwrap().unwrap();
        let oneway = Call { oneway: true, ..Call::new("a.B", &()) };
        client.write_all(&[oneway.to_bytes(), call("a.C")].concat()).unwrap();
        assert!(server.handle(1, 0));
        assert!(server.next_call(1, 0).unwrap().unwrap().oneway);
        assert_eq!(server.next_call(1, 0), Ok(None));
        assert!(server.reply(1, &Reply::of(&1), 0));
        assert_eq!(server.next_call(1, 0).unwrap().unwrap().method, "a.C");
        assert!(server.reply(1, &Reply::of(&2), 0));
        assert_eq!(read_number(&mut client), 2);
    }

    #[test]
    fn what_is_no_request_ends_the_connection() {
        for bytes in [b"{}\0".to_vec(), b"\0".to_vec(), vec![b'x'; LONGEST_REQUEST + 1]] {
            let (directory, mut server) = server();
            let mut client = connect(&directory);
            server.accept(1).unwrap().unwrap();
            // The socket's buffer is larger than that.
            client.write_all(&bytes).unwrap();
            let is_open = (0..8).all(|_| server.handle(1, 0) && server.next_call(1, 0).is_ok());
            assert!(!is_open, "{} bytes", bytes.len());
        }
    }

    #[test]
    fn a_request_has_ten_seconds_to_arrive_however_it_trickles() {
        let (directory, mut server) = server();
        let mut client = connect(&directory);
        server.accept(1).unwrap().unwrap();
        for second in 0..10 {
            client.write_all(b"{").unwrap();
            assert!(server.handle(1, second * 1_000));
            assert_eq!(server.next_call(1, second * 1_000), Ok(None));
            assert!(server.overdue(second * 1_000).is_empty());
        }
        assert_eq!(server.next_deadline_ms(), Some(TIMEOUT_MS));
        assert_eq!(server.overdue(10_000), [1]);
    }

    #[test]
    fn a_client_that_does_not_read_is_overdue_and_a_slow_one_is_not() {
        let (directory, mut server) = server();
        let mut client = connect(&directory);
        server.accept(1).unwrap().unwrap();
        client.write_all(&call("a.B")).unwrap();
        assert!(server.handle(1, 0) && server.next_call(1, 0).unwrap().is_some());
        while server.has_read_all(1) {
            assert!(server.reply(1, &Reply::continued(&"x".repeat(10_000)), 0));
        }
        assert!(!server.is_behind(1));
        let mut piece = vec![0; 100_000];
        client.read_exact(&mut piece).unwrap();
        assert!(server.handle(1, 9_000));
        // Some was taken, so that the time counts anew.
        assert!(server.overdue(18_999).is_empty());
        for _ in 0..100 {
            assert!(server.reply(1, &Reply::continued(&"x".repeat(10_000)), 9_000));
        }
        assert!(server.is_behind(1));
        assert_eq!(server.overdue(20_000), [1]);
    }

    #[test]
    fn a_user_has_so_many_connections_and_the_next_one_is_told() {
        let (directory, mut server) = server();
        let own = nix::unistd::geteuid().as_raw();
        let most = if own == 0 { FOR_ROOT } else { OF_ONE };
        let mut clients: Vec<UnixStream> = Vec::new();
        for id in 0..most as u64 {
            clients.push(connect(&directory));
            assert!(server.accept(id).unwrap().is_some());
            assert_eq!(server.peer(id).unwrap().uid, own);
        }
        let mut refused = connect(&directory);
        assert!(server.accept(999).unwrap().is_none());
        assert_eq!(read(&mut refused).error.as_deref(), Some("io.cronwheel.Cron.Busy"));
        server.close(0);
        let _client = connect(&directory);
        assert!(server.accept(1_000).unwrap().is_some());
        assert_eq!(server.accept(1_001).unwrap_err().kind(), io::ErrorKind::WouldBlock);
    }

    #[test]
    fn requests_above_the_rate_are_refused() {
        let (directory, mut server) = server();
        let mut client = connect(&directory);
        server.accept(1).unwrap().unwrap();
        for _ in 0..100 {
            client.write_all(&call("a.B")).unwrap();
            assert!(server.handle(1, 0));
            assert!(server.next_call(1, 0).unwrap().is_some());
            assert!(server.reply(1, &Reply::of(&1), 0));
            read(&mut client);
        }
        client.write_all(&call("a.B")).unwrap();
        assert!(server.handle(1, 0));
        assert_eq!(server.next_call(1, 0), Ok(None));
        assert_eq!(read(&mut client).error.as_deref(), Some("io.cronwheel.Cron.Busy"));
    }
}
