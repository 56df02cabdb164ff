//! Members of a cluster of etcd, as Debian's packages have it.

use crate::common::Deadline;
use crate::common::implementation::package;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

/// The packages that the tests need.
pub const NEEDS: [&str; 4] = ["etcd-server", "etcd-client", "ip", "openssl"];

/// A program of these packages.
pub fn program(package_name: &str, name: &str) -> PathBuf {
    package(package_name).join("usr/bin").join(name)
}

/// A process that is killed when dropped.
#[derive(Debug)]
pub struct Running(Child);

impl Running {
    pub fn start(command: &mut Command) -> Running {
        Running(command.stdin(Stdio::null()).spawn().unwrap_or_else(|why| panic!("{command:?}: {why}")))
    }

    /// One that runs already.
    pub fn of(child: Child) -> Running {
        Running(child)
    }

    pub fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.0.id()).expect("a process id"))
    }

    /// Stops the process, and waits until the last of its threads has stopped.
    pub fn suspend(&self) {
        self.signal(Signal::SIGSTOP);
        let is_stopped = |task: std::io::Result<fs::DirEntry>| {
            let stat = task.and_then(|task| fs::read_to_string(task.path().join("stat"))).unwrap_or_default();
            stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
        };
        let have_stopped = || {
            let mut tasks = fs::read_dir(format!("/proc/{}/task", self.pid())).expect("the process to be there");
            tasks.all(is_stopped).then_some(())
        };
        Deadline::seconds(20).wait_for("the process to stop", have_stopped);
    }

    pub fn signal(&self, signal: Signal) {
        kill(self.pid(), signal).expect("the process to be there");
    }

    /// Waits for its end.
    pub fn wait(&mut self) {
        self.0.wait().expect("the process to be ours");
    }

    /// Kills it, and waits for its end.
    pub fn kill(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs etcdctl against these endpoints, with more arguments. Returns what it prints; it must succeed.
pub fn etcdctl(endpoints: &str, arguments: &[&str]) -> String {
    let output = etcdctl_may_fail(endpoints, arguments);
    output.unwrap_or_else(|told| panic!("etcdctl {arguments:?}: {told}"))
}

/// The same for a command that may fail.
pub fn etcdctl_may_fail(endpoints: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(program("etcd-client", "etcdctl"))
        .args(["--endpoints", endpoints, "--command-timeout", "5s"])
        .args(arguments)
        .env("ETCDCTL_API", "3")
        .stdin(Stdio::null())
        .output()
        .expect("etcdctl");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    match output.status.success() {
        true => Ok(told),
        false => Err(told + &String::from_utf8_lossy(&output.stderr)),
    }
}

/// One member alone on the loopback interface, with its data in a directory of its own.
pub struct Single {
    pub endpoint: String,
    pub process: Running,
    arguments: Vec<String>,
}

impl Single {
    /// Starts it, with more arguments, and waits until it answers.
    pub fn start(name: &str, port: u16, scheme: &str, more: &[&str]) -> Single {
        let endpoint = format!("{scheme}://127.0.0.1:{port}");
        let peer = format!("http://127.0.0.1:{}", port + 1);
        let mut arguments: Vec<String> = [
            ("--name", name),
            ("--data-dir", &format!("/run/etcd-{name}")),
            ("--listen-client-urls", &endpoint),
            ("--advertise-client-urls", &endpoint),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--initial-cluster", &format!("{name}={peer}")),
        ]
        .iter()
        .flat_map(|(key, value)| [(*key).to_owned(), (*value).to_owned()])
        .collect();
        arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
        let process = Single::spawn(name, &arguments);
        Single { endpoint, process, arguments }
    }

    fn spawn(name: &str, arguments: &[String]) -> Running {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(format!("/run/etcd-{name}.log"));
        let log = log.expect("a log");
        let mut command = Command::new(program("etcd-server", "etcd"));
        command.args(arguments).stdout(Stdio::null()).stderr(log);
        Running::start(&mut command)
    }

    /// Starts it again, with its data.
    pub fn restart(&mut self) {
        self.process.kill();
        self.process = Single::spawn(&self.arguments[1].clone(), &self.arguments);
    }

    /// Waits until it answers.
    pub fn wait(&self) {
        Deadline::seconds(30).wait_for("etcd", || etcdctl_may_fail(&self.endpoint, &["endpoint", "health"]).ok());
    }
}
