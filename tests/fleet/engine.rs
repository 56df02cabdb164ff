//! The agent alone, as the daemon talks to it, against one etcd.

use crate::common::{Deadline, Implementation};
use crate::etcd::{NEEDS, Running, Single, etcdctl};
use crate::world;
use cronwheel::fleet::check::AgentCheck;
use cronwheel::fleet::link::{Link, LinkError};
use cronwheel::fleet::message::{AgentMessage, AgentRequest, AgentSettings, PROTOCOL, VERB};
use cronwheel::scheduler::{Change, Compare, FleetAnswer, FleetEntry, FleetEvent, FleetRequest, Transaction};
use cronwheel::sys::{clock, descriptor};
use nix::sys::signal::Signal;
use std::collections::VecDeque;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};

/// An agent, and what it has said.
struct Agent {
    link: Link,
    check: AgentCheck,
    process: Running,
    said: VecDeque<AgentMessage>,
    next: u64,
}

fn settings(endpoints: &[&str]) -> AgentSettings {
    AgentSettings {
        protocol: PROTOCOL,
        version: "0.1".into(),
        name: "prod".into(),
        node: "web1".into(),
        endpoints: endpoints.iter().map(|endpoint| (*endpoint).to_owned()).collect(),
        ca: None,
        identity: None,
        login: None,
        only_checks: false,
    }
}

impl Agent {
    fn start(settings: &AgentSettings) -> Agent {
        let (ours, theirs) = descriptor::stream_pair().unwrap();
        let mut command = Command::new("/usr/bin/cronctl");
        command.arg(VERB).env_clear().stdout(Stdio::null());
        let check = AgentCheck::new(clock::monotonic_ms());
        let process = {
            command.stdin(Stdio::from(theirs));
            Running::of(command.spawn().expect("cronctl"))
        };
        let mut link = Link::new(ours);
        link.push(settings).unwrap();
        link.flush().unwrap();
        Agent { link, check, process, said: VecDeque::new(), next: 0 }
    }

    /// The next message; None: the agent has closed the connection.
    fn next(&mut self) -> Option<AgentMessage> {
        Deadline::seconds(40).wait_for("the agent to say something", || {
            if let Some(message) = self.said.pop_front() {
                return Some(Some(message));
            }
            // What did not fit before.
            self.link.flush().ok();
            descriptor::wait_until(self.link.as_fd(), 100).unwrap();
            match self.link.receive() {
                Ok(messages) => {
                    for message in &messages {
                        self.check
                            .accept(message, clock::monotonic_ms())
                            .unwrap_or_else(|why| panic!("{why}: {message:?}"));
                    }
                    self.said.extend(messages);
                    None
                }
                Err(LinkError::Closed) => Some(None),
                Err(why) => panic!("{why}"),
            }
        })
    }

    /// The next event for the scheduler.
    fn event(&mut self) -> FleetEvent {
        loop {
            match self.next() {
                Some(AgentMessage::Event(event)) => return event,
                Some(AgentMessage::Member { .. }) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Reads the listing. Returns the lease and the keys.
    fn listing(&mut self) -> (u64, Vec<FleetEntry>) {
        let FleetEvent::Listing { lease, .. } = self.event() else { panic!("no listing") };
        let mut all = Vec::new();
        loop {
            match self.event() {
                FleetEvent::Entries(entries) => all.extend(entries),
                FleetEvent::Listed => return (lease, all),
                other => panic!("{other:?}"),
            }
        }
    }

    fn send(&mut self, request: &AgentRequest) {
        match request {
            AgentRequest::Transact(request) => self.check.note_transaction(request),
            AgentRequest::Renew => assert!(self.check.note_renewal(clock::monotonic_ms())),
            AgentRequest::Read { id, prefix, .. } => self.check.note_read(*id, prefix),
        }
        self.link.push(request).unwrap();
        self.link.flush().unwrap();
    }

    fn ask(&mut self, transaction: Transaction, within_ms: i64) -> u64 {
        self.next += 1;
        let expires_ms = clock::monotonic_ms() + within_ms;
        self.send(&AgentRequest::Transact(FleetRequest { id: self.next, expires_ms, transaction }));
        self.next
    }

    /// The answer to a request, and the changes that were seen before it.
    fn answer(&mut self, wanted: u64) -> (FleetAnswer, Vec<FleetEntry>) {
        let mut seen = Vec::new();
        loop {
            match self.event() {
                FleetEvent::Answered { id, answer } if id == wanted => return (answer, seen),
                FleetEvent::Entries(entries) => seen.extend(entries),
                other => panic!("{other:?}"),
            }
        }
    }

    /// Why the connection was lost.
    fn loss(&mut self) -> String {
        loop {
            match self.next() {
                Some(AgentMessage::Lost(why)) => {
                    assert_eq!(self.next(), None);
                    return why;
                }
                Some(_) => {}
                None => panic!("the agent has ended without a word"),
            }
        }
    }
}

fn set(key: &str, old: Option<&str>, new: Option<&str>, lease: Option<u64>) -> Transaction {
    Transaction {
        compares: vec![Compare { key: key.into(), value: old.map(str::to_owned) }],
        changes: vec![Change { key: key.into(), value: new.map(str::to_owned), lease }],
    }
}

fn found(key: &str, value: Option<&str>, entry: &FleetEntry) {
    assert_eq!((entry.key.as_str(), entry.value.as_deref()), (key, value));
}

#[test]
fn a_connection_lists_transacts_watches_and_renews() {
    let Some(_world) = world!(Implementation::OursDebian, NEEDS) else { return };
    let etcd = Single::start("one", 2379, "http", &[]);
    etcd.wait();
    // More than a page, and another fleet whose name begins as this one's.
    for number in 0..1_200 {
        if number % 300 == 0 {
            etcdctl(&etcd.endpoint, &["put", &format!("/cronwheel/prod/outcome/x/{number}"), "o"]);
        }
    }
    let script: String =
        (0..1_200).map(|number| format!("put /cronwheel/prod/mark/job{number:04} v{number}\n")).collect();
    txn(&etcd.endpoint, &script);
    etcdctl(&etcd.endpoint, &["put", "/cronwheel/prod2/mark/other", "x"]);

    let mut agent = Agent::start(&settings(&[&etcd.endpoint]));
    let (lease, keys) = agent.listing();
    let marks: Vec<&FleetEntry> = keys.iter().filter(|entry| entry.key.starts_with("mark/")).collect();
    assert_eq!((marks.len(), keys.len()), (1_200, 1_201), "the marks and the clock of this node");
    found("mark/job0007", Some("v7"), marks[7]);

    // A transaction, the same once more, and one that deletes.
    let id = agent.ask(set("mark/a", None, Some("1"), None), 20_000);
    let (FleetAnswer::Done { revision }, _) = agent.answer(id) else { panic!("not done") };
    let id = agent.ask(set("mark/a", None, Some("1"), None), 20_000);
    let (FleetAnswer::Refused { found: keys }, _) = agent.answer(id) else { panic!("not refused") };
    found("mark/a", Some("1"), &keys[0]);
    assert_eq!(keys[0].revision, revision, "the fence");
    let id = agent.ask(set("run/a", None, Some("r"), Some(lease)), 20_000);
    assert!(matches!(agent.answer(id).0, FleetAnswer::Done { .. }));
    let id = agent.ask(set("mark/a", Some("1"), None, None), 20_000);
    assert!(matches!(agent.answer(id).0, FleetAnswer::Done { .. }));
    let id = agent.ask(set("mark/a", Some("1"), None, None), 20_000);
    let (FleetAnswer::Refused { found: keys }, _) = agent.answer(id) else { panic!("not refused") };
    found("mark/a", None, &keys[0]);

    // Many at once, of which some are for the same key: one of these is done.
    let ids: Vec<u64> = (0..300)
        .map(|number| agent.ask(set(&format!("mark/m{}", number % 250), None, Some("n"), None), 20_000))
        .collect();
    let mut done = 0;
    let mut waiting: std::collections::BTreeSet<u64> = ids.into_iter().collect();
    while !waiting.is_empty() {
        if let FleetEvent::Answered { id, answer } = agent.event() {
            assert!(waiting.remove(&id));
            done += usize::from(matches!(answer, FleetAnswer::Done { .. }));
        }
    }
    assert_eq!(done, 250);

    // Outcomes are read, not watched.
    agent.send(&AgentRequest::Read { id: 77, prefix: "outcome/x/".into(), limit: 100 });
    let entries = loop {
        match agent.next() {
            Some(AgentMessage::Found { id: 77, entries }) => break entries.expect("keys"),
            Some(_) => {}
            None => panic!("the agent has ended"),
        }
    };
    assert_eq!(entries.len(), 4);
    found("outcome/x/0", Some("o"), &entries[0]);

    // What others change is seen, in order.
    etcdctl(&etcd.endpoint, &["put", "/cronwheel/prod/outcome/x/9", "unseen"]);
    etcdctl(&etcd.endpoint, &["put", "/cronwheel/prod/mark/z", "1"]);
    etcdctl(&etcd.endpoint, &["put", "/cronwheel/prod/mark/z", "2"]);
    etcdctl(&etcd.endpoint, &["del", "/cronwheel/prod/mark/z"]);
    let mut seen = Vec::new();
    while seen.last() != Some(&None) {
        if let FleetEvent::Entries(entries) = agent.event() {
            assert!(entries.iter().all(|entry| !entry.key.starts_with("outcome")), "{entries:?}");
            seen.extend(entries.into_iter().filter(|entry| entry.key == "mark/z").map(|entry| entry.value));
        }
    }
    assert_eq!(seen, [Some("1".to_owned()), Some("2".to_owned()), None]);

    // The lease is renewed, and the clock is written with it.
    agent.send(&AgentRequest::Renew);
    let (mut is_renewed, mut is_seen) = (false, false);
    while !(is_renewed && is_seen) {
        match agent.event() {
            FleetEvent::Renewed { .. } => is_renewed = true,
            FleetEvent::Entries(entries) => is_seen |= entries.iter().any(|entry| entry.key == "clock/web1"),
            other => panic!("{other:?}"),
        }
    }

    // The end of the agent ends the lease only when it is over; its keys go with it.
    agent.process.kill();
    Deadline::seconds(40).wait_for("the end of the lease", || {
        etcdctl(&etcd.endpoint, &["get", "/cronwheel/prod/run/a"]).is_empty().then_some(())
    });
}

/// Puts many keys, a hundred in a transaction.
fn txn(endpoint: &str, script: &str) {
    let lines: Vec<&str> = script.lines().collect();
    for part in lines.chunks(100) {
        let text = format!("\n{}\n\n\n", part.join("\n"));
        let mut child = Command::new(crate::etcd::program("etcd-client", "etcdctl"))
            .args(["--endpoints", endpoint, "txn"])
            .env("ETCDCTL_API", "3")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), text.as_bytes()).unwrap();
        assert!(child.wait().unwrap().success());
    }
}

#[test]
fn a_request_is_answered_once_etcd_goes_on_and_is_unknown_when_its_time_is_over() {
    let Some(_world) = world!(Implementation::OursDebian, NEEDS) else { return };
    let mut etcd = Single::start("one", 2379, "http", &[]);
    etcd.wait();
    // The first address never answers.
    let mut agent = Agent::start(&settings(&["http://127.0.0.1:9", &etcd.endpoint]));
    agent.listing();
    etcd.process.suspend();
    let late = agent.ask(set("mark/a", None, Some("1"), None), 60_000);
    let lost = agent.ask(set("mark/b", None, Some("1"), None), 1_000);
    assert_eq!(agent.answer(lost).0, FleetAnswer::Unknown);
    etcd.process.signal(Signal::SIGCONT);
    // The first execution may have been delayed and answered nobody: then the second is refused and finds its own value.
    match agent.answer(late).0 {
        FleetAnswer::Done { .. } => {}
        FleetAnswer::Refused { found: keys } => found("mark/a", Some("1"), &keys[0]),
        other => panic!("{other:?}"),
    }
    // A restart of etcd within the lease is no loss of the connection, and the watch goes on without a gap.
    etcd.restart();
    etcdctl_until(&etcd.endpoint, &["put", "/cronwheel/prod/mark/c", "1"]);
    loop {
        if let FleetEvent::Entries(entries) = agent.event()
            && entries.iter().any(|entry| entry.key == "mark/c")
        {
            break;
        }
    }
    // Without etcd the lease ends, and so does the agent.
    etcd.process.kill();
    agent.send(&AgentRequest::Renew);
    let why = agent.loss();
    assert!(why.contains("the lease could not be renewed in time") || why.contains("cannot be watched"), "{why}");
    assert!(Agent::start(&settings(&[&etcd.endpoint])).loss().contains("http://127.0.0.1:2379: Connection refused"));
}

fn etcdctl_until(endpoint: &str, arguments: &[&str]) {
    Deadline::seconds(30).wait_for("etcd", || crate::etcd::etcdctl_may_fail(endpoint, arguments).ok());
}

#[test]
fn an_engine_without_space_refuses_and_a_compacted_or_younger_one_ends_the_connection() {
    let Some(_world) = world!(Implementation::OursDebian, NEEDS) else { return };
    let etcd = Single::start("one", 2379, "http", &["--quota-backend-bytes", "65536"]);
    etcd.wait();
    let long = "x".repeat(40_000);
    while crate::etcd::etcdctl_may_fail(&etcd.endpoint, &["put", "/fill", &long]).is_ok() {}
    // Without space nothing can be written, the clock neither.
    let why = Agent::start(&settings(&[&etcd.endpoint])).loss();
    assert!(why.contains("no space") || why.contains("space exceeded"), "{why}");
}

#[test]
fn an_agent_of_another_version_than_the_daemon_says_so_and_ends() {
    let Some(_world) = world!(Implementation::OursDebian, NEEDS) else { return };
    let mut agent = Agent::start(&AgentSettings { protocol: PROTOCOL + 1, ..settings(&["http://127.0.0.1:9"]) });
    match agent.next() {
        Some(AgentMessage::NotStarted(why)) => assert!(
            why.contains("the running daemon version 0.1 (protocol") && why.contains("restart the daemon"),
            "{why}"
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(agent.next(), None);
}

#[test]
fn tls_with_certificates_of_both_sides_and_a_login_work_and_a_wrong_password_is_told() {
    let Some(world) = world!(Implementation::OursDebian, NEEDS) else { return };
    world
        .run(
            "cd /run && openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 30 -subj /CN=ca -keyout ca.key -out ca.pem \
             && for name in server client; do \
             openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=$name -keyout $name.key -out $name.csr \
             && printf 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth,clientAuth\\n' >ext \
             && openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -extfile ext -out $name.pem || exit 1; done",
        )
        .ok();
    let plain = Single::start("one", 2379, "http", &[]);
    plain.wait();
    for line in [
        &["role", "add", "cron"][..],
        &["role", "grant-permission", "cron", "--prefix=true", "readwrite", "/cronwheel/prod/"],
        &["user", "add", "cron:secret"],
        &["user", "grant-role", "cron", "cron"],
        &["user", "add", "root:root"],
        &["user", "grant-role", "root", "root"],
        &["auth", "enable"],
    ] {
        etcdctl(&plain.endpoint, line);
    }
    let mut with_login = settings(&[&plain.endpoint]);
    with_login.login = Some(("cron".into(), "secret".into()));
    let mut agent = Agent::start(&with_login);
    agent.listing();
    let id = agent.ask(set("mark/a", None, Some("1"), None), 20_000);
    assert!(matches!(agent.answer(id).0, FleetAnswer::Done { .. }));
    with_login.login = Some(("cron".into(), "wrong".into()));
    let why = Agent::start(&with_login).loss();
    assert!(why.contains("authentication failed"), "{why}");
    let why = Agent::start(&settings(&[&plain.endpoint])).loss();
    assert!(why.contains("user name is empty") || why.contains("permission"), "{why}");
    // Rights to read only.
    for line in [
        &["--user", "root:root", "role", "add", "reader"][..],
        &["--user", "root:root", "role", "grant-permission", "reader", "--prefix=true", "read", "/cronwheel/prod/"],
        &["--user", "root:root", "user", "add", "reader:secret"],
        &["--user", "root:root", "user", "grant-role", "reader", "reader"],
    ] {
        etcdctl(&plain.endpoint, line);
    }
    let mut agent = Agent::start(&AgentSettings {
        login: Some(("reader".into(), "secret".into())),
        only_checks: true,
        ..settings(&[&plain.endpoint])
    });
    let warnings: Vec<AgentMessage> = std::iter::from_fn(|| agent.next()).collect();
    let is_told = |part: &str| {
        warnings.iter().any(|warning| matches!(warning, AgentMessage::Warning(text) if text.contains(part)))
    };
    assert!(warnings.len() == 2 && is_told("the password is sent without encryption"), "{warnings:?}");
    assert!(is_told("the keys below /cronwheel/prod/ cannot be written") && is_told("permission"), "{warnings:?}");
    drop(plain);

    let files = [
        "--cert-file=/run/server.pem",
        "--key-file=/run/server.key",
        "--trusted-ca-file=/run/ca.pem",
        "--client-cert-auth",
    ];
    let etcd = Single::start("tls", 2389, "https", &files);
    let read = |name: &str| std::fs::read_to_string(format!("/run/{name}")).unwrap();
    let mut secure = settings(&[&etcd.endpoint]);
    secure.ca = Some(read("ca.pem"));
    secure.identity = Some((read("client.pem"), read("client.key")));
    Deadline::seconds(30).wait_for("etcd with TLS", || {
        let flags = ["--cacert=/run/ca.pem", "--cert=/run/client.pem", "--key=/run/client.key", "endpoint", "health"];
        crate::etcd::etcdctl_may_fail(&etcd.endpoint, &flags).ok()
    });
    let mut agent = Agent::start(&secure);
    agent.listing();
    let id = agent.ask(set("mark/a", None, Some("1"), None), 20_000);
    assert!(matches!(agent.answer(id).0, FleetAnswer::Done { .. }));
    let mut wrong = secure.clone();
    wrong.identity = Some((read("client.pem"), read("server.key")));
    assert!(Agent::start(&wrong).loss().contains("do not belong together"));
    let mut untrusted = secure.clone();
    untrusted.ca = Some(read("server.pem"));
    let why = Agent::start(&untrusted).loss();
    assert!(why.contains("invalid peer certificate"), "another authority: {why}");
    let mut broken = secure.clone();
    broken.ca = Some("nothing".into());
    assert_eq!(Agent::start(&broken).loss(), "[fleet] ca: expected a certificate (PEM)");

    // What --check says.
    let mut checks = secure;
    checks.only_checks = true;
    checks.endpoints.push("https://127.0.0.1:9".into());
    let mut agent = Agent::start(&checks);
    assert_eq!(agent.next(), Some(AgentMessage::Warning("https://127.0.0.1:9: Connection refused".into())));
    assert_eq!(agent.next(), None);
}

#[test]
fn crond_check_tells_what_keeps_this_machine_out_of_its_fleet() {
    let Some(world) = world!(Implementation::OursDebian, NEEDS) else { return };
    let etcd = Single::start("one", 2379, "http", &[]);
    etcd.wait();
    world.run("ln -sf /bin/true /usr/sbin/sendmail && useradd --system --no-create-home _cronwheel").ok();
    let check = |endpoints: &str, zone: &str, more: &str| {
        let text = format!("[fleet]\nname = 'prod'\nnode = 'web1'\nendpoints = [{endpoints}]\nzone = '{zone}'\n{more}");
        std::fs::write("/etc/cronwheel.toml", text).unwrap();
        world.run("cron --check 2>&1 >/dev/null").stdout
    };
    let good = format!("'{}'", etcd.endpoint);
    assert_eq!(
        check(&good, "UTC", ""),
        "warning: this machine takes no part in the fleet prod: there is no user _cronwheel-fleet; cronwheel-fleet(7) has the command that makes it\n"
    );
    world.run("useradd --system --no-create-home --shell /usr/sbin/nologin _cronwheel-fleet").ok();
    assert_eq!(check(&good, "UTC", ""), "");
    assert_eq!(
        check(&good, "Europe/Berln", ""),
        "warning: this machine takes no part in the fleet prod: zone: there is no time zone Europe/Berln; expected a name like Europe/Berlin in [fleet]\n"
    );
    assert_eq!(
        check(&format!("{good}, 'http://127.0.0.1:9'"), "UTC", ""),
        "warning: fleet prod: http://127.0.0.1:9: Connection refused\n"
    );
    assert_eq!(
        check(&good, "UTC", "ca = '/etc/missing.pem'\n"),
        "warning: this machine takes no part in the fleet prod: reading /etc/missing.pem: No such file or directory\n"
    );
    std::fs::write("/etc/cron.d/report", "CRON_FLEET=one\n1 2 * * * root true\n").unwrap();
    assert_eq!(check(&good, "UTC", ""), "");
    world.run("echo secret >/etc/password && chmod 640 /etc/password && chgrp daemon /etc/password").ok();
    let said = check(&good, "UTC", "user = 'cron'\npassword-file = '/etc/password'\n");
    let warned = "warning: /etc/password: others can read this secret (mode 0640): chown root /etc/password && chmod 600 /etc/password\n";
    assert!(said.starts_with(warned), "{said}");
    world.run("chmod 600 /etc/password").ok();
    let said = check(&good, "UTC", "user = 'cron'\npassword-file = '/etc/password'\n");
    assert!(!said.contains("secret") && said.contains("fleet prod: the login of cron fails"), "{said}");
    std::fs::write("/etc/cronwheel.toml", "").unwrap();
    assert_eq!(
        world.run("cron --check 2>&1 >/dev/null").stdout,
        "warning: /etc/cron.d/report: entries with CRON_FLEET=one run on this machine in any case, as there is no section [fleet] in /etc/cronwheel.toml\n"
    );
    // Nothing was written.
    assert_eq!(etcdctl(&etcd.endpoint, &["get", "--prefix", "--keys-only", "/cronwheel/"]), "");
}
