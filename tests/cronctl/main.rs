//! What is promised about `cronctl`, asked of the built program. No root needed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests, though not inside a #[test].

mod batch;
mod check;
mod command_line;
mod explain;
mod next;
mod simulate;
mod timeline;

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// The result of a call of `cronctl`.
#[derive(Debug)]
struct Answer {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Answer {
    fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }
}

/// `cronctl` on a machine whose zone is UTC and whose terminal has 80 columns.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cronctl"));
    command.args(arguments).env("TZ", "UTC").env("COLUMNS", "80").env_remove("NO_COLOR");
    command
}

fn start(arguments: &[&str]) -> Child {
    let all = || Stdio::piped();
    program(arguments).stdin(all()).stdout(all()).stderr(all()).spawn().expect("cronctl starts")
}

fn ask_with(arguments: &[&str], input: &str) -> Answer {
    let mut child = start(arguments);
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    // A long answer must not wait for a long question, nor the other way round.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("cronctl ends");
    // A program that does not read its input closes the pipe, which is no concern of this test.
    let _ = writer.join().expect("the writer ends");
    Answer {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn ask(arguments: &[&str]) -> Answer {
    ask_with(arguments, "")
}

/// A directory with one table in it.
struct Crontab {
    _directory: TempDir,
    path: PathBuf,
}

impl Crontab {
    fn of(text: &str) -> Crontab {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("table");
        std::fs::write(&path, text).expect("a table");
        Crontab { _directory: directory, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("text")
    }
}

fn caller() -> String {
    let output = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}
