//! The history of runs, by the installed programs on a private machine.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // A test program, helpers included.

#[path = "../common/mod.rs"]
pub mod common;

mod crashes;
mod database;
mod rows;
mod sandbox;

use common::{Deadline, World};
use std::io::{Read as _, Write as _};

/// Where the database is.
pub const DATABASE: &str = "/var/lib/cronwheel/history/history.db";
/// The socket at which the recorder answers.
pub const SOCKET: &str = "/run/cronwheel/io.cronwheel.History";

/// Makes the user that the package makes.
pub fn add_account(world: &World) {
    world.run("useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin _cronwheel").ok();
}

/// What Debian's sqlite3 answers, a line a row.
pub fn rows(world: &World, sql: &str) -> Vec<String> {
    let line = format!("cd / && runuser -u _cronwheel -- sqlite3 -readonly {DATABASE} \"{sql}\"");
    let shown = world.run(&line);
    shown.stdout.lines().map(str::to_owned).collect()
}

/// Waits until the query has these rows.
pub fn wait_for_rows(world: &World, sql: &str, is_wanted: impl Fn(&[String]) -> bool) -> Vec<String> {
    let mut last = Vec::new();
    Deadline::seconds(60).wait_for(sql, || {
        last = rows(world, sql);
        is_wanted(&last).then(|| last.clone())
    })
}

/// A job that runs each second: `root:job`.
pub const JOB: &str = "CRON_NAME=job\n@every_second root echo run\n";

/// Waits until [`JOB`] has succeeded so many times.
pub fn wait_for_runs(world: &World, count: usize) {
    let is_enough =
        |rows: &[String]| rows.first().is_some_and(|row| row.parse().is_ok_and(|found: usize| found >= count));
    wait_for_rows(world, "SELECT count(*) FROM runs WHERE outcome = 'ok' AND job = 'root:job'", is_enough);
}

/// The recorder's process.
pub fn recorder(world: &World) -> Option<u32> {
    let processes = world.processes();
    processes
        .iter()
        .find(|process| process.line.ends_with("cronctl recorder") && process.state != 'Z')
        .map(|found| found.pid)
}

/// Waits for the recorder to run.
pub fn wait_for_recorder(world: &World) -> u32 {
    Deadline::seconds(30).wait_for("the recorder", || recorder(world))
}

/// The replies to a call, as that user: calls with more than one reply end with one that has no `continues`.
pub fn call(world: &World, user: &str, message: &str) -> Vec<String> {
    call_at(world, user, SOCKET, message)
}

/// Sends a message to the socket at `path` as a user; returns its replies.
pub fn call_at(world: &World, user: &str, path: &str, message: &str) -> Vec<String> {
    let script = format!(
        "python3 -c 'import socket,sys
s=socket.socket(socket.AF_UNIX); s.connect(\"{path}\")
# Whoever is refused finds the reply before the end of the connection.
try: s.sendall(sys.stdin.buffer.read()+bytes(1))
except BrokenPipeError: pass
b=bytes()
while True:
  while not bytes(1) in b:
    p=s.recv(65536)
    if not p: sys.exit()
    b+=p
  m,b=b.split(bytes(1),1)
  print(m.decode(),flush=True)
  if not (chr(34)+\"continues\"+chr(34)+\":true\").encode() in m: sys.exit()
'"
    );
    let shown = world.run_with_input(user, &script, message.as_bytes());
    assert!(shown.status.success(), "{shown:?}");
    shown.stdout.lines().map(str::to_owned).collect()
}

/// A connection of this process, which is root.
pub fn connect() -> std::os::unix::net::UnixStream {
    std::os::unix::net::UnixStream::connect(SOCKET).unwrap()
}

/// Sends a request over a connection and reads until a reply ends.
pub fn ask(socket: &mut std::os::unix::net::UnixStream, message: &str) -> String {
    socket.write_all(message.as_bytes()).unwrap();
    socket.write_all(&[0]).unwrap();
    let mut reply = Vec::new();
    let mut byte = [0];
    while socket.read(&mut byte).unwrap() == 1 && byte != [0] {
        reply.push(byte[0]);
    }
    String::from_utf8(reply).unwrap()
}
