//! A reader of `/dev/log`, which receives what programs log.

use super::clock::Deadline;
use nix::sys::socket::{SockaddrStorage, recvfrom};
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::fd::AsRawFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;

/// Where the lines are kept, for scripts too: `facility.level TAG[PID]: TEXT`.
pub const FILE: &str = "/run/log-lines";

/// Where programs send their lines.
const SOCKET: &str = "/dev/log";

/// The reader of `/dev/log`.
#[derive(Debug)]
pub struct Log {
    marks: std::cell::Cell<u32>,
    reader: std::cell::RefCell<Option<Reader>>,
}

/// The thread that reads, and a second descriptor of its socket.
#[derive(Debug)]
struct Reader {
    socket: UnixDatagram,
    thread: std::thread::JoinHandle<()>,
}

impl Log {
    /// Binds the socket and reads it in a thread, for as long as the process lives.
    pub(super) fn open() -> Log {
        let log = Log { marks: std::cell::Cell::new(0), reader: std::cell::RefCell::new(None) };
        log.come_back();
        log
    }

    /// Removes the socket and ends the reader, as a log daemon that stops does.
    pub fn go_away(&self) {
        let Some(Reader { socket, thread }) = self.reader.take() else { return };
        fs::remove_file(SOCKET).expect("removing /dev/log");
        socket.shutdown(std::net::Shutdown::Both).expect("the end of the socket");
        thread.join().expect("the reader of the log");
    }

    /// Binds the socket anew after [`Log::go_away`].
    pub fn come_back(&self) {
        let socket = UnixDatagram::bind(SOCKET).expect("/dev/log");
        fs::set_permissions(SOCKET, fs::Permissions::from_mode(0o666)).expect("mode of /dev/log");
        let mut file = OpenOptions::new().create(true).append(true).open(FILE).expect("a file for the log");
        fs::set_permissions(FILE, fs::Permissions::from_mode(0o644)).expect("mode of the log");
        let own = socket.try_clone().expect("a second descriptor");
        let thread = std::thread::spawn(move || {
            let mut packet = vec![0; 1 << 18];
            loop {
                let Ok((size, _)) = recvfrom::<SockaddrStorage>(socket.as_raw_fd(), &mut packet) else { return };
                if size == 0 {
                    // The socket was shut down: nobody sends an empty line.
                    return;
                }
                let line = plain(&String::from_utf8_lossy(&packet[..size]));
                file.write_all(line.as_bytes()).expect("the log's file");
            }
        });
        self.reader.replace(Some(Reader { socket: own, thread }));
    }

    /// Every line so far, once all that was sent has been read.
    pub fn lines(&self) -> Vec<String> {
        // The socket keeps the order: when our own line has come through, so has everything before it.
        let mark = format!("mark {}", self.marks.replace(self.marks.get() + 1));
        let sender = UnixDatagram::unbound().expect("a socket");
        sender.send_to(format!("<13>{mark}").as_bytes(), "/dev/log").expect("sending to /dev/log");
        let text = Deadline::seconds(30).wait_for("the log to be read", || {
            let text = String::from_utf8_lossy(&fs::read(FILE).expect("the log")).into_owned();
            text.lines().any(|line| line.ends_with(&mark)).then_some(text)
        });
        text.lines().filter(|line| !line.starts_with("user.notice mark ")).map(str::to_owned).collect()
    }

    /// Waits for a line that contains `part`.
    pub fn wait_for(&self, part: &str, deadline: Deadline) -> String {
        deadline
            .wait_for(&format!("the log line {part:?}"), || self.lines().into_iter().find(|line| line.contains(part)))
    }
}

/// One packet as `facility.level TAG[PID]: TEXT`: the time stamp left out, control characters as Unicode's pictures of them (`␊`), which no
/// program writes itself.
fn plain(packet: &str) -> String {
    let (priority, rest) = packet
        .strip_prefix('<')
        .and_then(|rest| rest.split_once('>'))
        .and_then(|(number, rest)| Some((number.parse::<usize>().ok()?, rest)))
        .unwrap_or((usize::MAX, packet));
    // `Nov 22 10:15:00 `, as syslog(3) writes it.
    let stamped = rest.as_bytes().get(15) == Some(&b' ') && rest.as_bytes().get(6) == Some(&b' ');
    let rest = if stamped { &rest[16..] } else { rest };
    let rest = rest.strip_suffix('\n').unwrap_or(rest);
    let mut text = format!("{}.{} ", facility(priority / 8), LEVELS.get(priority % 8).unwrap_or(&"?"));
    for c in rest.trim_end_matches('\0').chars() {
        match u32::from(c) {
            control @ 0..0x20 => text.extend(char::from_u32(0x2400 + control)),
            0x7f..0xa0 => text.extend(c.escape_default()),
            _ => text.push(c),
        }
    }
    text.push('\n');
    text
}

const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

fn facility(number: usize) -> &'static str {
    const NAMES: [&str; 12] =
        ["kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp"];
    NAMES.get(number).unwrap_or(&"?")
}
