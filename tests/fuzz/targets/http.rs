//! Any bytes as what a browser sends to `cronctl web`, on loopback and through a Unix socket, where no daemon answers: without the cookie nothing is
//! shown that is not for everybody, every response has the headers that protect it, and no byte of a request comes back as markup.

use super::input::Input;
use cronwheel::control::Rights;
use cronwheel::profile::DEBIAN;
use cronwheel::web::site::{Listening, Options, Server};
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::LazyLock;
use tempfile::TempDir;

/// What an input has in place of what is drawn: the host name with the port, the cookie.
const HOST: &[u8] = b"{HOST}";
const COOKIE: &[u8] = b"{COOKIE}";
/// Something that no page has of its own.
const MARK: &[u8] = b"<x9>";

/// What a page without a cookie may be: those for everybody, and refusals.
const OPEN: [&str; 6] = ["/healthz", "/style.css", "/app.js", "/icon.svg", "/favicon.ico", "/open"];

/// The headers of every response.
const HEADERS: [&str; 5] = [
    "content-security-policy: ",
    "x-content-type-options: nosniff",
    "x-frame-options: DENY",
    "referrer-policy: no-referrer",
    "cache-control: ",
];

struct Servers {
    loopback: Server,
    unix: Server,
    host: String,
    cookie: String,
    _directory: TempDir,
}

static SERVERS: LazyLock<Servers> = LazyLock::new(|| {
    let directory = tempfile::tempdir().unwrap();
    let options = || Options {
        sockets: vec![directory.path().to_owned()],
        profile: &DEBIAN,
        is_read_only: false,
        names: Vec::new(),
        bearer: Some("token-of-a-program".to_owned()),
        rights: Rights::default(),
        only_user: None,
    };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let loopback = Server::new(options(), Listening::Tcp(vec![listener])).unwrap();
    let socket = UnixListener::bind(directory.path().join("web")).unwrap();
    let unix = Server::new(options(), Listening::Unix(socket, None)).unwrap();
    let address = loopback.one_time_address().unwrap();
    let (host, path) = address.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let request = format!("GET /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    let answer = String::from_utf8(exchange(&loopback, request.as_bytes())).unwrap();
    let cookie = answer.split("set-cookie: ").nth(1).unwrap_or_else(|| panic!("{answer}")).split(';').next().unwrap();
    Servers { loopback, unix, host: host.to_owned(), cookie: cookie.to_owned(), _directory: directory }
});

pub fn run(input: &[u8]) {
    let servers = &*SERVERS;
    let mut input = Input(input);
    let is_unix = input.byte() & 1 == 1;
    let request = replaced(&replaced(input.0, HOST, servers.host.as_bytes()), COOKIE, servers.cookie.as_bytes());
    let request = &request[..request.len().min(64 << 10)];
    let server = if is_unix { &servers.unix } else { &servers.loopback };
    let answer = exchange(server, request);
    let requests = request.windows(4).filter(|end| end == b"\r\n\r\n").count()
        + request.windows(2).filter(|end| end == b"\n\n").count();
    assert!(answer.len() <= (64 << 10) * (requests + 1), "{} bytes", answer.len());
    assert!(!contains(&answer, MARK), "a mark of the request is in a page");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", answer.escape_ascii());
    let has_secret = contains(request, servers.cookie.as_bytes()) || contains(request, b"token-of-a-program");
    check_responses(&String::from_utf8_lossy(&answer), is_unix || has_secret, request);
    // The secret is given out for the one-time token alone.
    assert!(
        !contains(&answer, b"set-cookie") && !contains(&answer, servers.cookie.split('=').nth(1).unwrap().as_bytes())
    );
}

fn check_responses(answer: &str, may_see: bool, request: &[u8]) {
    for response in answer.split("HTTP/1.").skip(1).filter(|part| part.starts_with("1 ") || part.starts_with("0 ")) {
        let status: u32 = response[2..].split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
        let head = response.split("\r\n\r\n").next().unwrap_or_default();
        assert!((100..600).contains(&status), "{head}");
        if status == 100 {
            continue;
        }
        // What cannot be read as HTTP is answered before the pages see it.
        if !matches!(status, 400 | 414 | 431 | 505) || head.contains("content-type") {
            for header in HEADERS {
                assert!(head.contains(header), "{header:?} is missing in {head}");
            }
        }
        assert!(status != 500, "{head}\n{}", request.escape_ascii());
        if status == 200 && !may_see {
            let for_everybody = OPEN.iter().any(|path| contains(request, path.as_bytes()));
            assert!(for_everybody, "{head}\n{}", request.escape_ascii());
        }
    }
}

/// What a server answers to bytes that come at once and then end.
fn exchange(server: &Server, request: &[u8]) -> Vec<u8> {
    let (mut client, connection) = UnixStream::pair().unwrap();
    // Both directions hold what an input can cause, so that one thread is enough.
    for socket in [&client, &connection] {
        nix::sys::socket::setsockopt(socket, nix::sys::socket::sockopt::SndBuf, &(1 << 20)).unwrap();
    }
    client.write_all(request).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    server.serve_one(connection).unwrap();
    let mut answer = Vec::new();
    // An answer to a request that was not read to its end comes with a reset, of which the kernel tells first.
    if client.read_to_end(&mut answer).is_err() {
        client.read_to_end(&mut answer).unwrap();
    }
    answer
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

fn replaced(text: &[u8], name: &[u8], value: &[u8]) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    while at < text.len() {
        if text[at..].starts_with(name) {
            out.extend_from_slice(value);
            at += name.len();
        } else {
            out.push(text[at]);
            at += 1;
        }
    }
    out
}
