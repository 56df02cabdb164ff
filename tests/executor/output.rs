//! The output that the history keeps.

use crate::common::{Deadline, Implementation};
use crate::harness::{
    Harness, KeptOutput, PERMISSIVE, config, describe_services, environment, install_mailer, mail, start,
};
use crate::world;
use cronwheel::crontab::MailRule;
use cronwheel::executor::{Config, Mailer};
use cronwheel::profile::ProfileName;
use cronwheel::scheduler::{HISTORY_OUTPUT, RunId, RunOutcome, RunRequest, RunRules};
use nix::poll::PollFlags;
use std::fs;

impl Harness {
    /// What is kept of that run's output, as it was sent the last time.
    fn kept_of(&mut self, run: u64) -> KeptOutput {
        loop {
            if let Some(kept) = self.kept.iter().rev().find(|kept| kept.run == RunId(run)) {
                return kept.clone();
            }
            self.hear(PollFlags::POLLIN);
        }
    }
}

/// A start whose output nobody is mailed.
fn unmailed(run: u64, command: &str) -> RunRequest {
    RunRequest { variables: environment(&[("MAILTO", b"")]), ..start(run, "alice", command) }
}

fn whole(run: u64, text: &str) -> KeptOutput {
    KeptOutput { run: RunId(run), head: text.into(), tail: Vec::new(), cut: 0 }
}

#[test]
fn the_history_gets_the_output_whether_or_not_it_is_mailed() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    let usual = || config(ProfileName::Debian);
    let never = |mut start: RunRequest| {
        start.rules.mail = MailRule::Never;
        start
    };
    let on_failure = |mut start: RunRequest| {
        start.flags.mail_only_on_failure = true;
        start
    };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(usual());
        harness.start(&start(1, "alice", "true"));
        harness.start(&unmailed(2, "echo two"));
        harness.start(&never(start(3, "alice", "echo three")));
        harness.start(&on_failure(start(4, "alice", "echo four")));
        for (run, text) in [(2, "two\n"), (3, "three\n"), (4, "four\n")] {
            assert_eq!(harness.kept_of(run), whole(run, text));
        }
        let mut without = start(5, "alice", "echo five");
        without.rules.history_output = 0;
        harness.start(&without);
        harness.start(&start(6, "alice", "echo six; exit 3"));
        assert_eq!(harness.kept_of(6), whole(6, "six\n"));
        assert!(harness.kept.iter().all(|kept| ![1, 5].contains(&kept.run.0)), "{:?}", harness.kept);
        while harness.mailed.len() < 2 {
            harness.hear(PollFlags::POLLIN);
        }
        assert!(fs::exists("/tmp/mail").unwrap());
    }
    for config in [Config { output_to_log: true, ..usual() }, Config { mailer: Mailer::Off, ..usual() }] {
        let mut harness = Harness::of(config);
        harness.start(&start(1, "alice", "echo logged"));
        assert_eq!(harness.kept_of(1), whole(1, "logged\n"));
    }
    world.log.wait_for("(logged)", Deadline::seconds(10));
}

#[test]
fn of_a_gigabyte_beginning_and_end_are_kept_in_little_memory() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mut harness = Harness::debian();
    harness.start(&start(1, "alice", "true"));
    harness.end_of(1);
    let limit = bounded(&world, harness.executor.pid(), 8 << 20);
    harness.start(&unmailed(2, "echo begin; yes 1234567 | head -c 1000000000; echo end"));
    let kept = harness.kept_of(2);
    let most = HISTORY_OUTPUT as usize;
    assert_eq!((kept.head.len(), kept.tail.len(), kept.cut), (most, most, 1_000_000_010 - 2 * most as u64));
    assert!(kept.head.starts_with(b"begin\n1234567\n") && kept.tail.ends_with(b"\n1234567\nend\n"));
    let result = harness.result_of(2);
    assert_eq!((result.output.bytes, result.output.dropped_bytes), (1_000_000_010, kept.cut));
    assert!(limit > 0);
}

/// Lets a process have only so much more memory than it has now. Returns the limit in bytes.
fn bounded(world: &crate::common::World, pid: u32, more: u64) -> u64 {
    let statm = crate::harness::read(&format!("/proc/{pid}/statm"));
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    let limit = pages * 4096 + more;
    world.run(&format!("prlimit --pid {pid} --as={limit}")).ok();
    limit
}

#[test]
fn late_output_is_added_and_sent_when_it_ends() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    for profile in [ProfileName::Debian, ProfileName::Cronie] {
        for is_mailed in [true, false] {
            let mut harness = Harness::of(config(profile));
            let command = "echo early; (until test -e /tmp/go; do sleep 0.1; done; echo late) &";
            harness.start(&if is_mailed { start(1, "alice", command) } else { unmailed(1, command) });
            assert_eq!(harness.end_of(1), RunOutcome::Code(0));
            assert_eq!(harness.kept_of(1), whole(1, "early\n"));
            fs::write("/tmp/go", "").unwrap();
            while harness.kept.len() < 2 {
                harness.hear(PollFlags::POLLIN);
            }
            assert_eq!(harness.kept[1], whole(1, "early\nlate\n"));
            fs::remove_file("/tmp/go").unwrap();
            // Nothing is sent again if nothing was added.
            harness.start(&unmailed(2, "echo early; (until test -e /tmp/go; do sleep 0.1; done) &"));
            assert_eq!(harness.kept_of(2), whole(2, "early\n"));
            fs::write("/tmp/go", "").unwrap();
            harness.start(&unmailed(3, "sleep 0.5; echo x"));
            assert_eq!(harness.kept_of(3), whole(3, "x\n"));
            assert_eq!(harness.kept.len(), 4, "{:?}", harness.kept);
            fs::remove_file("/tmp/go").unwrap();
        }
    }
}

#[test]
fn a_main_that_does_not_read_gets_a_bounded_amount_of_output_and_every_result() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mut harness = Harness::debian();
    // Each is 64 KiB.
    let starts: Vec<RunRequest> =
        (1..=200).map(|run| unmailed(run, "yes | head -c 100000; echo >>/home/alice/ended")).collect();
    starts.iter().for_each(|start| harness.executor.start(start, false));
    while harness.executor.wants_to_write() {
        harness.executor.flush().unwrap();
    }
    let ended = || fs::read_to_string("/home/alice/ended").is_ok_and(|text| text.lines().count() == 200);
    Deadline::seconds(120).wait_for("the jobs", || ended().then_some(()));
    Deadline::seconds(20).wait_for("their ends", || {
        let of_alice = world.run("pgrep -u alice -c .").stdout;
        (of_alice.trim() == "0").then_some(())
    });
    (1..=200).for_each(|run| assert_eq!(harness.end_of(run), RunOutcome::Code(0)));
    let kept = harness.kept.len();
    // 4 MiB in the queue, and what the socket holds.
    assert!((60..=72).contains(&kept), "{kept}");
    // When it reads again, it gets output again.
    harness.start(&unmailed(300, "echo again"));
    assert_eq!(harness.kept_of(300), whole(300, "again\n"));
}

#[test]
fn an_attempts_output_is_its_own_though_the_mail_has_all_of_them() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    let mut harness = Harness::debian();
    let attempt = |run, attempt, retries_left, command: &str| {
        let rules = RunRules { retries_left, ..RunRules::default() };
        RunRequest { attempt, rules, ..start(run, "alice", command) }
    };
    harness.start(&attempt(1, 1, 1, "echo one; exit 1"));
    assert_eq!(harness.kept_of(1), whole(1, "one\n"));
    harness.start(&attempt(2, 2, 0, "echo two"));
    assert_eq!(harness.kept_of(2), whole(2, "two\n"));
    assert!(mail(&world).ends_with("attempt 1: exit 1\none\nattempt 2: exit 0\ntwo\n"));
}
