//! A site: a cluster of etcd and machines with crond, each in a network of its own.
//!
//! All are processes of one private machine. A node has file systems of its own for /run, the state and the tables; what jobs write goes to
//! one ledger that all nodes share.

use crate::common::{Deadline, World};
use crate::etcd::{Running, etcdctl_may_fail, program};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

/// Where everything that is shared lies.
pub const SHARED: &str = "/srv/fleet";
const LEDGER: &str = "/srv/fleet/ledger";

/// The address of a member of etcd, and of a node, each counted from 1.
fn member_address(member: usize) -> String {
    format!("10.77.0.{member}")
}

fn node_address(node: usize) -> String {
    format!("10.77.0.{}", 10 + node)
}

pub struct Site {
    members: BTreeMap<usize, Running>,
    nodes: BTreeMap<usize, Node>,
    count: usize,
    quota: String,
}

/// A node: the process that holds its namespaces, and its daemon.
pub struct Node {
    holder: Running,
    daemon: Option<Running>,
}

/// A line of the ledger.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Entry {
    pub job: String,
    /// The slot, `CRON_SCHEDULED_AT`.
    pub slot: String,
    pub fence: u64,
    pub node: String,
    pub word: String,
    /// When it was written, milliseconds of UTC by the clock of the node.
    pub at_ms: i64,
}

fn shell(line: &str) {
    let output = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().expect("sh");
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Site {
    /// A network for members of etcd and nodes, all of whose processes see each other, and etcd, which is started and waited for.
    pub fn new(world: &World, members: usize, nodes: usize, quota: u64) -> Site {
        world.run("useradd --system --no-create-home --shell /usr/sbin/nologin _cronwheel-fleet").ok();
        fs::create_dir_all(SHARED).expect(SHARED);
        fs::write(LEDGER, "").expect(LEDGER);
        shell(&format!("chmod 777 {SHARED} && chmod 666 {LEDGER}"));
        shell("ip link add br0 type bridge && ip addr add 10.77.0.254/24 dev br0 && ip link set br0 up");
        for (name, address) in (1..=members)
            .map(|member| (format!("e{member}"), member_address(member)))
            .chain((1..=nodes).map(|node| (format!("n{node}"), node_address(node))))
        {
            shell(&format!(
                "ip netns add {name} && ip link add v{name} type veth peer name eth0 netns {name} && ip link set v{name} master br0 up \
                 && ip -n {name} addr add {address}/24 dev eth0 && ip -n {name} link set eth0 up && ip -n {name} link set lo up"
            ));
        }
        let source = format!("{SHARED}/skew.c");
        fs::write(&source, include_str!("skew.c")).expect("the source");
        shell(&format!("cc -std=gnu11 -O1 -Wall -Wextra -Werror -shared -fPIC -o {SHARED}/skew.so {source}"));
        let mut site =
            Site { members: BTreeMap::new(), nodes: BTreeMap::new(), count: members, quota: quota.to_string() };
        (1..=members).for_each(|member| site.start_member(member));
        Deadline::seconds(60)
            .wait_for("the cluster", || etcdctl_may_fail(&site.endpoints(), &["endpoint", "health"]).ok());
        site
    }

    /// The addresses of all members.
    pub fn endpoints(&self) -> String {
        let endpoints: Vec<String> =
            (1..=self.count).map(|member| format!("http://{}:2379", member_address(member))).collect();
        endpoints.join(",")
    }

    /// Starts a member, with the data that it has.
    pub fn start_member(&mut self, member: usize) {
        let address = member_address(member);
        let cluster: Vec<String> =
            (1..=self.count).map(|other| format!("e{other}=http://{}:2380", member_address(other))).collect();
        let log = fs::OpenOptions::new().create(true).append(true).open(format!("{SHARED}/e{member}.log"));
        let mut command = Command::new("nsenter");
        command
            .arg(format!("--net=/run/netns/e{member}"))
            .arg(program("etcd-server", "etcd"))
            .args(["--name", &format!("e{member}"), "--data-dir", &format!("{SHARED}/data{member}")])
            .args(["--listen-client-urls", &format!("http://{address}:2379")])
            .args(["--advertise-client-urls", &format!("http://{address}:2379")])
            .args(["--listen-peer-urls", &format!("http://{address}:2380")])
            .args(["--initial-advertise-peer-urls", &format!("http://{address}:2380")])
            .args(["--initial-cluster", &cluster.join(","), "--quota-backend-bytes", &self.quota])
            .stdout(Stdio::null())
            .stderr(log.expect("a log"));
        self.members.insert(member, Running::start(&mut command));
    }

    pub fn kill_member(&mut self, member: usize) {
        drop(self.members.remove(&member));
    }

    /// Has the only member write what it has to a file.
    pub fn save_snapshot(&self) {
        let snapshot = format!("{SHARED}/snapshot");
        etcdctl_may_fail(&self.endpoints(), &["snapshot", "save", &snapshot]).expect("a snapshot");
    }

    /// Replaces what the only member has, which is not running, by what was saved.
    pub fn restore_snapshot(&self) {
        let (snapshot, data) = (format!("{SHARED}/snapshot"), format!("{SHARED}/data1"));
        fs::remove_dir_all(&data).expect("the data");
        let peer = format!("http://{}:2380", member_address(1));
        let cluster = format!("e1={peer}");
        let arguments = ["snapshot", "restore", &snapshot, "--data-dir", &data, "--name", "e1", "--initial-cluster"];
        let arguments = [&arguments[..], &[&cluster, "--initial-advertise-peer-urls", &peer]].concat();
        etcdctl_may_fail(&self.endpoints(), &arguments).expect("the restored data");
    }

    /// The bytes of the database of a member.
    pub fn database_size(&self, member: usize) -> u64 {
        let endpoint = format!("http://{}:2379", member_address(member));
        let told = etcdctl_may_fail(&endpoint, &["endpoint", "status", "-w", "json"]).expect("the status");
        let status: serde_json::Value = serde_json::from_str(&told).expect("JSON");
        status[0]["Status"]["dbSize"].as_u64().expect("a size")
    }

    pub fn signal_member(&self, member: usize, signal: Signal) {
        self.members[&member].signal(signal);
    }

    /// The member that leads.
    pub fn leader(&self) -> usize {
        Deadline::seconds(30).wait_for("a leader", || {
            let told = etcdctl_may_fail(&self.endpoints(), &["endpoint", "status", "-w", "json"]).ok()?;
            let members: serde_json::Value = serde_json::from_str(&told).ok()?;
            let leads =
                |member: &&serde_json::Value| member["Status"]["leader"] == member["Status"]["header"]["member_id"];
            let endpoint = members.as_array()?.iter().find(leads)?["Endpoint"].as_str()?.to_owned();
            (1..=self.count).find(|member| endpoint.contains(&format!("//{}:", member_address(*member))))
        })
    }

    /// Makes a node whose clock is some seconds off, with more lines in `[fleet]`, and these tables in /etc/cron.d. The daemon is not started yet.
    pub fn add_node(&mut self, node: usize, skew: i64, lines: &str, tables: &[(&str, &str)]) {
        let endpoints: Vec<String> = self.endpoints().split(',').map(|endpoint| format!("\"{endpoint}\"")).collect();
        let config = format!(
            "log = \"stderr\"\nhistory = false\n[fleet]\nname = \"prod\"\nnode = \"web{node}\"\nendpoints = [{}]\nzone = \"UTC\"\n{lines}",
            endpoints.join(", ")
        );
        let place = format!("{SHARED}/n{node}");
        fs::create_dir_all(format!("{place}/cron.d")).expect("a directory");
        fs::write(format!("{place}/cronwheel.toml"), config).expect("settings");
        fs::write(format!("{place}/preload"), format!("{SHARED}/skew.so\n")).expect("a file");
        for (name, text) in tables {
            fs::write(format!("{place}/cron.d/{name}"), text).expect("a table");
        }
        shell(&format!("chown -R root:root {place} && chmod 755 {place}/cron.d && chmod 644 {place}/cron.d/*"));
        shell("touch /etc/cronwheel.toml /etc/ld.so.preload && mkdir -p /var/lib/cronwheel");
        let script = format!(
            "set -e; hostname web{node}; mount -t tmpfs -o mode=755 tmpfs /run; mount -t tmpfs -o mode=711 tmpfs /var/lib/cronwheel; \
             mount --bind {place}/cronwheel.toml /etc/cronwheel.toml; mount --bind {place}/cron.d /etc/cron.d; \
             echo {skew} >/run/skew; mount --bind {place}/preload /etc/ld.so.preload; touch /run/ready; exec sleep infinity"
        );
        let mut command = Command::new("nsenter");
        command.arg(format!("--net=/run/netns/n{node}")).args([
            "unshare",
            "--mount",
            "--uts",
            "--propagation",
            "private",
            "sh",
            "-c",
            &script,
        ]);
        let holder = Running::start(&mut command);
        let ready = format!("/proc/{}/root/run/ready", holder.pid());
        Deadline::seconds(20).wait_for("the node", || Path::new(&ready).exists().then_some(()));
        self.nodes.insert(node, Node { holder, daemon: None });
    }

    /// A command inside of a node.
    pub fn command(&self, node: usize, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        let holder = &self.nodes[&node].holder;
        command
            .args(["--target", &holder.pid().to_string(), "--mount", "--uts", "--net", "--root", "--wd", "--"])
            .args(words)
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .stdin(Stdio::null());
        command
    }

    /// Starts the daemon of a node.
    pub fn start(&mut self, node: usize) {
        let log = fs::OpenOptions::new().create(true).append(true).open(self.log_path(node)).expect("a log");
        let mut command = self.command(node, &["/usr/sbin/cron", "-f"]);
        command.stdout(log.try_clone().expect("a log")).stderr(log);
        let daemon = Running::start(&mut command);
        self.nodes.get_mut(&node).expect("the node").daemon = Some(daemon);
    }

    /// Ends the daemon of a node as a service manager does, and waits for its end. What it runs goes on.
    pub fn stop(&mut self, node: usize) {
        let mut daemon = self.nodes.get_mut(&node).expect("the node").daemon.take().expect("a daemon");
        daemon.signal(Signal::SIGTERM);
        daemon.wait();
    }

    /// Gives a node another name in its settings.
    pub fn rename(&self, node: usize, name: &str) {
        let path = format!("{SHARED}/n{node}/cronwheel.toml");
        let text = fs::read_to_string(&path).expect("settings");
        // The file is mounted, so that it must stay the same.
        fs::write(&path, text.replace(&format!("\"web{node}\""), &format!("\"{name}\""))).expect("settings");
    }

    fn log_path(&self, node: usize) -> String {
        format!("{SHARED}/n{node}.log")
    }

    /// What the daemon of a node has logged.
    pub fn log(&self, node: usize) -> String {
        fs::read_to_string(self.log_path(node)).unwrap_or_default()
    }

    /// How often the daemon of a node has connected to the engine.
    pub fn connections(&self, node: usize) -> usize {
        self.log(node).matches("connected to the engine of the fleet").count()
    }

    /// Waits until the daemon has connected more often than that.
    pub fn wait_connected(&self, node: usize, before: usize) {
        let connected = Deadline::seconds(30).try_wait_for(|| (self.connections(node) > before).then_some(()));
        assert!(connected.is_some(), "node {node} does not connect: {}", self.log(node));
    }

    /// The processes of a node but the one that holds it: daemon, executor, agent and jobs.
    pub fn processes(&self, node: usize) -> Vec<Pid> {
        let holder = self.nodes[&node].holder.pid();
        let namespace = |pid: Pid| fs::read_link(format!("/proc/{pid}/ns/mnt")).ok();
        let own = namespace(holder);
        let numbers = fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok().map(Pid::from_raw));
        numbers.filter(|pid| *pid != holder && namespace(*pid) == own).collect()
    }

    fn signal_all(&self, node: usize, signal: Signal) {
        // Some may be gone already.
        for pid in self.processes(node) {
            let _ = kill(pid, signal);
        }
    }

    /// Stops all processes of a node, as a hypervisor does that suspends it.
    pub fn suspend(&self, node: usize) {
        // A process that is started meanwhile is found in the second pass.
        self.signal_all(node, Signal::SIGSTOP);
        self.signal_all(node, Signal::SIGSTOP);
    }

    pub fn resume(&self, node: usize) {
        self.signal_all(node, Signal::SIGCONT);
    }

    /// Ends a node as a power cut does.
    pub fn crash(&mut self, node: usize) {
        while !self.processes(node).is_empty() {
            self.signal_all(node, Signal::SIGKILL);
            if let Some(daemon) = &mut self.nodes.get_mut(&node).expect("the node").daemon {
                daemon.kill();
            }
        }
    }

    /// Stops or continues the daemon alone.
    pub fn signal_daemon(&self, node: usize, signal: Signal) {
        self.nodes[&node].daemon.as_ref().expect("a daemon").signal(signal);
    }

    /// Kills the agent of a node.
    pub fn kill_agent(&self, node: usize) {
        let is_agent = |pid: &Pid| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.ends_with(b"cronctl\0fleet-agent\0"))
        };
        let agents: Vec<Pid> = self.processes(node).into_iter().filter(is_agent).collect();
        assert_eq!(agents.len(), 1, "one agent");
        kill(agents[0], Signal::SIGKILL).expect("the agent");
    }

    /// Cuts what a node sends to the members of etcd: they do not even see its requests.
    pub fn cut_requests(&self, node: usize) {
        for member in 1..=self.count {
            shell(&format!("ip -n n{node} route replace blackhole {}/32", member_address(member)));
        }
    }

    /// Cuts what the members of etcd send to a node: its requests are executed, and the answers are lost.
    pub fn cut_answers(&self, node: usize) {
        for member in 1..=self.count {
            shell(&format!("ip -n e{member} route replace blackhole {}/32", node_address(node)));
        }
    }

    /// Mends both.
    pub fn mend(&self, node: usize) {
        for member in 1..=self.count {
            shell(&format!("ip -n n{node} route del blackhole {}/32 2>/dev/null || true", member_address(member)));
            shell(&format!("ip -n e{member} route del blackhole {}/32 2>/dev/null || true", node_address(node)));
        }
    }

    /// What jobs have written.
    pub fn ledger(&self) -> Vec<Entry> {
        let text = fs::read_to_string(LEDGER).expect(LEDGER);
        text.lines()
            .map(|line| {
                let parts: Vec<&str> = line.split(' ').collect();
                let [word, job, slot, fence, node, at] = parts[..] else { panic!("{line}") };
                let fence = fence.parse().unwrap_or_else(|_| panic!("no fence: {line}"));
                let at_ms = at.parse().unwrap_or_else(|_| panic!("no time: {line}"));
                Entry { job: job.into(), slot: slot.into(), fence, node: node.into(), word: word.into(), at_ms }
            })
            .collect()
    }
}

/// The command of a job that writes a line to the ledger.
pub fn note(word: &str, job: &str) -> String {
    format!("echo {word} {job} $CRON_SCHEDULED_AT $CRON_FENCE $(hostname) $(date +\\%s\\%3N) >>{LEDGER}")
}
