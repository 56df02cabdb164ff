//! A server under test, and an HTTP client that sends exactly what it is told.

use crate::common::{Deadline, World};
use nix::unistd::{Uid, User, setfsuid};
use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::process::{Child, Stdio};
use std::time::Duration;

/// `cronctl web` on loopback; killed when dropped.
#[derive(Debug)]
pub struct Site {
    child: Child,
    /// The address that was printed.
    pub address: String,
    /// `RANDOM.localhost:PORT`.
    pub host: String,
    /// `cronwheel=SECRET`, once signed in.
    pub cookie: String,
    /// The user who runs it, and whose client is let in.
    owner: Uid,
}

/// A response of the server.
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Site {
    /// Starts the server as a user, with these arguments.
    pub fn start(world: &World, user: &str, arguments: &str) -> Site {
        let line = format!("exec cronctl web {arguments}");
        let mut child = world.command_as(user, &line).stdout(Stdio::piped()).spawn().expect("cronctl");
        let mut address = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut address).expect("a line");
        let address = address.trim().to_owned();
        let host =
            address.strip_prefix("http://").and_then(|rest| rest.split('/').next()).unwrap_or_default().to_owned();
        let owner = User::from_name(user).expect("the users").expect("a user").uid;
        Site { child, address, host, cookie: String::new(), owner }
    }

    /// Starts it and signs in.
    pub fn signed_in(world: &World, user: &str, arguments: &str) -> Site {
        let mut site = Site::start(world, user, arguments);
        let answer = site.open();
        assert_eq!(answer.status, 303, "{answer:?}");
        let cookie = answer.header("set-cookie").expect("a cookie");
        site.cookie = cookie.split(';').next().expect("a pair").to_owned();
        site
    }

    /// The process id of the server.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Follows the one-time address.
    pub fn open(&self) -> Answer {
        let path = self.address.splitn(4, '/').nth(3).expect("a path").to_owned();
        self.send(&format!("GET /{path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.host))
    }

    /// The socket's address.
    pub fn socket(&self) -> SocketAddr {
        let port = self.host.rsplit_once(':').expect("a port").1;
        format!("127.0.0.1:{port}").parse().expect("an address")
    }

    /// A connection from a process of the same user.
    pub fn connect(&self) -> TcpStream {
        // A new socket belongs to the user as whom files are accessed, which each thread has of its own.
        let before = setfsuid(self.owner);
        let stream = TcpStream::connect(self.socket());
        setfsuid(before);
        stream.expect("a connection")
    }

    /// Sends bytes and reads until the server closes.
    pub fn send(&self, request: &str) -> Answer {
        let mut stream = self.connect();
        exchange(&mut stream, request)
    }

    /// Gets a page with the cookie.
    pub fn get(&self, path: &str) -> Answer {
        self.send(&format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nConnection: close\r\n\r\n",
            self.host, self.cookie
        ))
    }

    /// Presses a button, as the script of a page does.
    pub fn post(&self, path: &str, body: &str) -> Answer {
        let origin = format!("Origin: http://{}\r\nContent-Type: application/json\r\n", self.host);
        self.post_with(path, &origin, body)
    }

    /// Sends a body with these header lines.
    pub fn post_with(&self, path: &str, headers: &str, body: &str) -> Answer {
        self.send(&format!(
            "POST {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\nConnection: close\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            self.host,
            self.cookie,
            body.len()
        ))
    }

    /// Gets a page until it has a text.
    pub fn wait_for(&self, path: &str, text: &str) -> Answer {
        Deadline::seconds(20).wait_for(&format!("{text} on {path}"), || {
            let answer = self.get(path);
            answer.body.contains(text).then_some(answer)
        })
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        // Already gone is as good.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Answer {
    /// The value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().filter_map(|line| line.split_once(": "));
        lines.into_iter().find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// What the server says about a button.
    pub fn message(&self) -> String {
        let body: serde_json::Value = serde_json::from_str(&self.body).unwrap_or_else(|why| panic!("{why}: {self:?}"));
        body["message"].as_str().expect("a message").to_owned()
    }
}

/// Sends a request over a Unix socket.
pub fn over_unix(path: &str, request: &str) -> Answer {
    let mut stream = UnixStream::connect(path).unwrap_or_else(|why| panic!("{path}: {why}"));
    exchange(&mut stream, request)
}

fn exchange(stream: &mut (impl Read + Write), request: &str) -> Answer {
    // A server that refuses the beginning may close before the end.
    stream.write_all(request.as_bytes()).ok();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).ok();
    parse(&bytes)
}

/// Reads an answer; status 0: there is none.
pub fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    let mut body = body.to_owned();
    if head.to_ascii_lowercase().contains("transfer-encoding: chunked") {
        body = unchunked(&body);
    }
    Answer { status, head: head.to_owned(), body }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((length, more)) = rest.split_once("\r\n") {
        let Ok(length) = usize::from_str_radix(length.trim(), 16) else { break };
        body.push_str(more.get(..length).unwrap_or(more));
        rest = more.get(length + 2..).unwrap_or_default();
    }
    body
}

/// A stream of events of a site, read until it has all of these texts.
pub fn read_events(site: &Site, path: &str, mut until: impl FnMut(&str) -> bool) -> String {
    let mut stream = site.connect();
    stream.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\nCookie: {}\r\n\r\n", site.host, site.cookie);
    stream.write_all(request.as_bytes()).expect("a request");
    let mut bytes = Vec::new();
    let mut piece = [0; 4096];
    Deadline::seconds(30).wait_for(&format!("events of {path}"), || {
        if let Ok(count) = stream.read(&mut piece) {
            bytes.extend_from_slice(&piece[..count]);
        }
        let text = String::from_utf8_lossy(&bytes).into_owned();
        until(&text).then_some(text)
    })
}
