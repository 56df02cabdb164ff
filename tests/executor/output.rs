//! The output that the history keeps, and output that is followed while it is written.

use crate::common::{Deadline, Implementation, World};
use crate::harness::{
    Harness, KeptOutput, PERMISSIVE, config, describe_services, environment, install_mailer, mail, read, start,
};
use crate::world;
use cronwheel::crontab::MailRule;
use cronwheel::executor::{ExecutorConfig, Mailer, OutputStream};
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
    for config in [ExecutorConfig { output_to_log: true, ..usual() }, ExecutorConfig { mailer: Mailer::Off, ..usual() }]
    {
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
    bounded(&world, harness.executor.pid(), 8 << 20);
    harness.start(&unmailed(2, "echo begin; yes 1234567 | head -c 1000000000; echo end"));
    let kept = harness.kept_of(2);
    let most = HISTORY_OUTPUT as usize;
    assert_eq!((kept.head.len(), kept.tail.len(), kept.cut), (most, most, 1_000_000_010 - 2 * most as u64));
    assert!(kept.head.starts_with(b"begin\n1234567\n") && kept.tail.ends_with(b"\n1234567\nend\n"));
    let result = harness.result_of(2);
    assert_eq!((result.output.bytes, result.output.dropped_bytes), (1_000_000_010, kept.cut));
}

/// Lets a process have only so many more bytes of memory than it has now.
fn bounded(world: &World, pid: u32, more: u64) {
    let statm = read(&format!("/proc/{pid}/statm"));
    let pages: u64 = statm.split(' ').next().unwrap().parse().unwrap();
    let limit = pages * 4096 + more;
    world.run(&format!("prlimit --pid {pid} --as={limit}")).ok();
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
    starts.iter().for_each(|start| harness.executor.start(start, false).unwrap());
    while harness.executor.wants_to_write() {
        harness.executor.flush().unwrap();
    }
    let ended = || fs::read_to_string("/home/alice/ended").is_ok_and(|text| text.lines().count() == 200);
    Deadline::seconds(120).wait_for("the jobs", || ended().then_some(()));
    Deadline::seconds(20).wait_for("their ends", || {
        let of_alice = world.run("pgrep -u alice -r D,R,S,T -c .").stdout;
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

impl Harness {
    fn follow(&mut self, run: u64, follower: u64) {
        self.executor.follow(RunId(run), follower);
        self.executor.flush().unwrap();
    }

    /// Waits until the followed output has these bytes, or has ended, and returns it: all streams together, and the number of bytes left out.
    fn followed(&mut self, follower: u64, until: &[u8]) -> (Vec<u8>, u64) {
        loop {
            let parts = || self.parts.iter().filter(|part| part.follower == follower);
            let data: Vec<u8> = parts().flat_map(|part| &part.data).copied().collect();
            let skipped = parts().map(|part| part.skipped).sum();
            let is_end = parts().any(|part| part.is_end);
            if is_end || (!until.is_empty() && data.windows(until.len()).any(|window| window == until)) {
                return (data, skipped);
            }
            self.hear(PollFlags::POLLIN);
        }
    }

    fn has_ended(&self, follower: u64) -> bool {
        self.parts.iter().any(|part| part.follower == follower && part.is_end)
    }
}

#[test]
fn a_follower_gets_what_was_written_and_what_is_written_until_the_output_ends() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let go = |name: &str| fs::write(format!("/tmp/{name}"), "").unwrap();
        let wait = |name: &str| format!("until test -e /tmp/{name}; do sleep 0.05; done");
        let command =
            format!("echo one; {}; echo two; ({}; echo late) & {}; echo three", wait("a"), wait("c"), wait("b"));
        // Before it has a process, and after something was written.
        harness.executor.start(&unmailed(1, &command), false).unwrap();
        harness.follow(1, 10);
        assert_eq!(harness.followed(10, b"one\n"), (b"one\n".to_vec(), 0));
        harness.follow(1, 11);
        assert_eq!(harness.followed(11, b"one\n"), (b"one\n".to_vec(), 0));
        go("a");
        assert_eq!(harness.followed(10, b"two\n").0, b"one\ntwo\n");
        assert_eq!(harness.followed(11, b"two\n").0, b"one\ntwo\n");
        harness.executor.stop_following(11);
        harness.executor.flush().unwrap();
        assert_eq!(harness.followed(11, b""), (b"one\ntwo\n".to_vec(), 0));
        go("b");
        assert_eq!(harness.end_of(1), RunOutcome::Code(0));
        harness.kept_of(1);
        assert!(!harness.has_ended(10));
        // Also after the end of the command.
        harness.follow(1, 12);
        assert_eq!(harness.followed(12, b"three\n").0, b"one\ntwo\nthree\n");
        go("c");
        for follower in [10, 12] {
            assert_eq!(harness.followed(follower, b""), (b"one\ntwo\nthree\nlate\n".to_vec(), 0));
        }
        harness.follow(1, 13);
        assert_eq!(harness.followed(13, b""), (Vec::new(), 0));
        ["a", "b", "c"].iter().for_each(|name| fs::remove_file(format!("/tmp/{name}")).unwrap());
        // A run that cannot be started.
        harness.executor.start(&start(2, "nobody-there", "true"), false).unwrap();
        harness.follow(2, 14);
        assert_eq!(harness.followed(14, b""), (Vec::new(), 0));
    }
}

#[test]
fn a_follower_that_does_not_read_delays_no_job_and_takes_little_memory() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let mut harness = Harness::debian();
    harness.start(&start(1, "alice", "true"));
    harness.end_of(1);
    bounded(&world, harness.executor.pid(), 48 << 20);
    let command = "yes 1234567 | head -c 1000000000; touch /home/alice/ended";
    harness.executor.start(&unmailed(2, command), false).unwrap();
    (0..70).for_each(|follower| harness.executor.follow(RunId(2), follower));
    while harness.executor.wants_to_write() {
        harness.executor.flush().unwrap();
    }
    Deadline::seconds(120).wait_for("the job", || fs::exists("/home/alice/ended").unwrap().then_some(()));
    assert_eq!(harness.end_of(2), RunOutcome::Code(0));
    for follower in 0..64 {
        let (data, skipped) = harness.followed(follower, b"");
        assert_eq!(data.len() as u64 + skipped, 1_000_000_000);
        assert!((100_000..100_000_000).contains(&data.len()), "{}", data.len());
    }
    // There are too many followers.
    (64..70).for_each(|follower| assert_eq!(harness.followed(follower, b""), (Vec::new(), 0)));
    assert_eq!(harness.kept_of(2).cut, 1_000_000_000 - 2 * u64::from(HISTORY_OUTPUT));
}

#[test]
fn standard_error_is_told_from_standard_output_where_it_has_its_own_pipe() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    let mut harness = Harness::debian();
    let mut order = unmailed(1, "sleep 0.5; echo out; echo err >&2");
    order.rules.fails_on_stderr = true;
    harness.executor.start(&order, false).unwrap();
    harness.follow(1, 1);
    harness.followed(1, b"");
    let of = |stream| -> Vec<u8> {
        harness.parts.iter().filter(|part| part.stream == stream).flat_map(|part| part.data.clone()).collect()
    };
    assert_eq!((of(OutputStream::Output), of(OutputStream::Error)), (b"out\n".to_vec(), b"err\n".to_vec()));
}
