//! What a test can do inside its world.

use super::clock::Deadline;
use super::implementation::{Implementation, own, package};
use super::log::Log;
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, User};
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, ExitStatus, Stdio};

/// The private machine, seen from inside.
#[derive(Debug)]
pub struct World {
    /// The implementation whose programs are installed.
    pub implementation: Implementation,
    /// The reader of `/dev/log`.
    pub log: Log,
}

/// What a command said and how it ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// All that it wrote to standard output.
    pub stdout: String,
    /// All that it wrote to standard error.
    pub stderr: String,
    /// Its exit status, or the signal that ended it.
    pub status: ExitStatus,
}

impl Shown {
    /// Its exit code; 128 and the signal's number when a signal ended it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// The output of a command that must succeed.
    pub fn ok(self) -> String {
        assert!(self.status.success(), "{self:?}");
        self.stdout
    }
}

/// A daemon under test; killed when dropped.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
}

impl World {
    /// The machine that this process is in, inside.
    pub fn open(implementation: Implementation) -> World {
        World { implementation, log: Log::open() }
    }

    /// Runs a shell line as root.
    pub fn run(&self, line: &str) -> Shown {
        self.run_as("root", line)
    }

    /// Runs a shell line as `user`, in the home directory, with the environment of a fresh login.
    pub fn run_as(&self, user: &str, line: &str) -> Shown {
        self.run_with_input(user, line, b"")
    }

    /// Runs a shell line as `user` with something to read.
    pub fn run_with_input(&self, user: &str, line: &str, input: &[u8]) -> Shown {
        let mut child = self
            .command_as(user, line)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("setpriv, of util-linux");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input = input.to_vec();
        // A command may end without having read everything.
        let writer = std::thread::spawn(move || stdin.write_all(&input).ok());
        let output = child.wait_with_output().expect("the command's end");
        writer.join().expect("the writer");
        Shown {
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
            status: output.status,
        }
    }

    /// Runs a shell line as `user` on a terminal of its own: each text that is to appear, and what is typed then. Needs python3.
    pub fn on_terminal(&self, user: &str, line: &str, steps: &[(&str, &str)]) -> Shown {
        fs::write("/run/terminal.py", include_str!("terminal.py")).expect("/run");
        fs::write("/run/line", line).expect("/run");
        let steps = serde_json::to_string(steps).expect("JSON");
        self.run_as(user, &format!("TERM=ansi python3 /run/terminal.py '{steps}' sh /run/line"))
    }

    /// A shell line as `user`, in the home directory, with the environment of a fresh login: to be started by the caller.
    pub fn command_as(&self, user: &str, line: &str) -> Command {
        let account = User::from_name(user).expect("the users").unwrap_or_else(|| panic!("a user {user}"));
        let mut command = Command::new("setpriv");
        command
            .args([&format!("--reuid={}", account.uid), &format!("--regid={}", account.gid), "--init-groups", "--"])
            .args(["sh", "-c", line])
            .current_dir(if account.dir.exists() { account.dir.as_path() } else { "/".as_ref() })
            .env_clear()
            .env("HOME", &account.dir)
            .env("LOGNAME", user)
            .env("USER", user)
            .env("SHELL", "/bin/sh")
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
        command
    }

    /// Writes a table to `/etc/cron.d`, as a package would.
    pub fn drop_in(&self, name: &str, text: &str) {
        let path = format!("/etc/cron.d/{name}");
        fs::write(&path, text).unwrap_or_else(|e| panic!("{path}: {e}"));
        own(&path, 0, 0, 0o644);
    }

    /// Installs a user's table through the installed `crontab`.
    pub fn crontab(&self, user: &str, text: &str) -> Shown {
        self.run_with_input(user, "crontab -", text.as_bytes())
    }

    /// Starts the daemon in the foreground, as its unit would, and waits until it holds its PID file.
    pub fn start_daemon(&self, arguments: &[&str]) -> Daemon {
        self.start_daemon_with(arguments, &[])
    }

    /// The same with more variables in its environment.
    pub fn start_daemon_with(&self, arguments: &[&str], variables: &[(&str, &str)]) -> Daemon {
        let child = Command::new(self.implementation.daemon())
            .arg(self.implementation.foreground())
            .args(arguments)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("LANG", "C.UTF-8")
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the daemon");
        let mut daemon = Daemon { child };
        let pid = daemon.pid();
        Deadline::seconds(20).wait_for("the daemon's PID file", || {
            if let Some(status) = daemon.child.try_wait().expect("the daemon") {
                panic!("the daemon ended at once, {status}: {}", daemon.last_words());
            }
            let written = fs::read_to_string("/run/crond.pid").unwrap_or_default();
            (written.trim() == pid.to_string()).then_some(())
        });
        daemon
    }

    /// Waits for a file with something in it, and reads it.
    pub fn wait_for_file(&self, path: &str, deadline: Deadline) -> String {
        deadline.wait_for(path, || {
            let bytes = fs::read(path).ok().filter(|bytes| !bytes.is_empty())?;
            Some(String::from_utf8_lossy(&bytes).into_owned())
        })
    }

    /// Every process of this machine as `(pid, parent, state, command line)`, the test's own two left out.
    pub fn processes(&self) -> Vec<Process> {
        let own = [1, std::process::id()];
        let mut found: Vec<Process> = fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter(|pid| !own.contains(pid))
            .filter_map(Process::read)
            .collect();
        found.sort_by_key(|process| process.pid);
        found
    }
}

/// A line of the process list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// The process id.
    pub pid: u32,
    /// The process id of the parent.
    pub parent: u32,
    /// `S` sleeping, `R` running, `Z` a zombie, as in proc(5).
    pub state: char,
    /// The name of its program, at most 15 bytes.
    pub name: String,
    /// Its arguments, separated by blanks.
    pub line: String,
}

impl Process {
    fn read(pid: u32) -> Option<Process> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name is in brackets and may hold anything.
        let (before, after) = stat.rsplit_once(") ")?;
        let mut fields = after.split(' ');
        let state = fields.next()?.chars().next()?;
        let parent = fields.next()?.parse().ok()?;
        let line = fs::read(format!("/proc/{pid}/cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ").trim_end().to_owned();
        Some(Process { pid, parent, state, name: before.split_once('(')?.1.to_owned(), line })
    }
}

impl Daemon {
    /// The process id of the daemon.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it is still there.
    pub fn is_alive(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, signal: Signal) {
        kill(self.os_pid(), signal).expect("the daemon to be there");
    }

    /// Sends TERM, and waits for its end.
    pub fn stop(mut self) -> ExitStatus {
        self.signal(Signal::SIGTERM);
        self.end(Deadline::seconds(20))
    }

    /// Waits for the end of the daemon.
    pub fn end(&mut self, deadline: Deadline) -> ExitStatus {
        deadline.wait_for("the daemon's end", || self.child.try_wait().expect("the daemon"))
    }

    /// What it wrote to stdout and stderr, once it has ended.
    pub fn last_words(&mut self) -> String {
        let mut text = Vec::new();
        if let Some(mut stdout) = self.child.stdout.take() {
            stdout.read_to_end(&mut text).expect("its stdout");
        }
        if let Some(mut stderr) = self.child.stderr.take() {
            stderr.read_to_end(&mut text).expect("its stderr");
        }
        String::from_utf8_lossy(&text).into_owned()
    }

    fn os_pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a process id"))
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Already gone is as good.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Runs a command that must succeed, and gives what it printed on both outputs.
pub fn run(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let told = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{told}", output.status);
    told
}

/// Debian's `dma`, a real mailer that delivers to /var/mail, installed as its package does.
pub fn install_dma(world: &World) {
    let files = package("dma").display().to_string();
    for line in [
        format!("cp {files}/usr/sbin/dma /usr/sbin/dma && chgrp mail /usr/sbin/dma && chmod 2755 /usr/sbin/dma"),
        "ln -sf dma /usr/sbin/sendmail".to_owned(),
        format!("mkdir -p /usr/lib/dma /etc/dma && cp {files}/usr/lib/dma/dma-mbox-create /usr/lib/dma/"),
        "chgrp mail /usr/lib/dma/dma-mbox-create && chmod 4754 /usr/lib/dma/dma-mbox-create".to_owned(),
        format!("cp {files}/etc/dma/dma.conf /etc/dma/ 2>/dev/null || cp {files}/usr/share/dma/dma.conf /etc/dma/"),
        ": >/etc/dma/auth.conf; hostname >/etc/mailname".to_owned(),
        "mkdir -p /var/spool/dma && chgrp mail /var/spool/dma && chmod 2775 /var/spool/dma".to_owned(),
    ] {
        world.run(&line).ok();
    }
}
