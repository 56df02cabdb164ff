//! How jobs are ended with all their processes, and what counts as success.

use crate::common::{Deadline, Implementation, World};
use crate::harness::{Harness, PERMISSIVE, config, describe_services, install_mailer, mail, read, start};
use crate::world;
use cronwheel::crontab::{ExitStatuses, IoClass, ResourceLimits};
use cronwheel::profile::ProfileName;
use cronwheel::scheduler::{EndReason, RunId, RunOutcome, RunRequest, RunRules};
use std::fs;

/// Grandchildren that ignore TERM: one in the job's process group, one in another group, three in a session of their own, and one whose
/// parent has ended. They hold the job's output open.
const STUBBORN: &str = "trap '' TERM\n\
    sleep 1000 &\n\
    setsid sh -c 'sleep 1001 & sleep 1001' &\n\
    (sleep 1002 &)\n\
    perl -e 'setpgrp; exec \"sleep\", \"1003\"' &\n\
    until [ $(pgrep -c -x sleep) = 5 ]; do sleep 0.01; done; touch ready\n\
    while :; do sleep 0.1; done";

fn with_rules(start: RunRequest, rules: RunRules) -> RunRequest {
    RunRequest { rules, ..start }
}

fn script(text: &str) -> String {
    fs::write("/home/alice/script", text).unwrap();
    ". ./script".to_owned()
}

fn sleeps(world: &World) -> usize {
    world.processes().iter().filter(|process| process.name == "sleep" && process.state != 'Z').count()
}

#[test]
fn at_its_timeout_a_job_is_ended_with_all_its_processes() {
    let Some(world) = world!(Implementation::OursDebian, ["perl"]) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let rules = RunRules { timeout: Some(2), grace: 1, ..RunRules::default() };
        harness.start(&with_rules(start(1, "alice", &script(STUBBORN)), rules));
        let result = harness.result_of(1);
        assert!(result.is_timeout, "{result:?}");
        assert_eq!(result.outcome, RunOutcome::Signal { number: 9, core_dumped: false });
        assert!((3000..6000).contains(&result.duration_ms), "{result:?}");
        // They were there, and when the result comes none is left.
        assert!(fs::exists("/home/alice/ready").unwrap());
        assert_eq!(sleeps(&world), 0, "{:#?}", world.processes());
        world.log.wait_for("(alice) FAILED (. ./script) timeout after 2s", Deadline::seconds(10));
        fs::remove_file("/home/alice/ready").unwrap();
    }
}

#[test]
fn a_job_that_obeys_term_ends_within_its_grace_and_its_handler_is_not_disturbed() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let rules = RunRules { timeout: Some(1), grace: 20, ..RunRules::default() };
        let command = script("trap 'sleep 1; echo cleaned >out; exit 5' TERM\nwhile :; do sleep 0.1; done");
        harness.start(&with_rules(start(1, "alice", &command), rules));
        let result = harness.result_of(1);
        assert_eq!((result.outcome, result.is_timeout), (RunOutcome::Code(5), true));
        assert!(result.duration_ms < 10_000, "{}", result.duration_ms);
        assert_eq!(read("/home/alice/out"), "cleaned\n");
        fs::remove_file("/home/alice/out").unwrap();
    }
}

#[test]
fn a_run_is_ended_on_request_and_others_go_on() {
    let Some(world) = world!(Implementation::OursDebian, ["perl"]) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let rules = RunRules { grace: 1, ..RunRules::default() };
        harness.start(&start(2, "bob", "until [ -e /tmp/go ]; do sleep 0.05; done; exit 4"));
        harness.start(&with_rules(start(1, "alice", &script(&STUBBORN.replace("= 5", "-ge 5"))), rules));
        Deadline::seconds(20).wait_for("the processes", || fs::exists("/home/alice/ready").unwrap().then_some(()));
        harness.executor.end(RunId(1), EndReason::Replaced);
        harness.executor.flush().unwrap();
        let result = harness.result_of(1);
        assert_eq!((result.outcome, result.is_timeout), (RunOutcome::Signal { number: 9, core_dumped: false }, false));
        let of_alice = || world.run("pgrep -u alice -r D,R,S,T -c .").stdout;
        assert_eq!(of_alice().trim(), "0", "{:#?}", world.processes());
        fs::write("/tmp/go", "").unwrap();
        assert_eq!(harness.end_of(2), RunOutcome::Code(4));
        fs::remove_file("/tmp/go").unwrap();
        fs::remove_file("/home/alice/ready").unwrap();
    }
}

#[test]
fn a_further_request_to_end_a_run_does_not_prolong_its_grace() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    let mut harness = Harness::debian();
    let rules = RunRules { grace: 2, ..RunRules::default() };
    let command = script("trap '' TERM\ntouch ready\nwhile :; do sleep 0.1; done");
    harness.start(&with_rules(start(1, "alice", &command), rules));
    Deadline::seconds(20).wait_for("the process", || fs::exists("/home/alice/ready").unwrap().then_some(()));
    // Requests come more often than the grace period ends. Were it prolonged by each, the run would outlast them all: for ten times its grace.
    let mut requests = 0;
    while harness.ended.is_empty() {
        assert!(requests < 100, "the run has not ended");
        harness.executor.end(RunId(1), EndReason::Killed("root".into()));
        harness.executor.flush().unwrap();
        requests += 1;
        harness.hear_within(200);
    }
    assert_eq!(harness.end_of(1), RunOutcome::Signal { number: 9, core_dumped: false });
}

#[test]
fn a_signal_reaches_all_processes_of_a_run_and_nothing_else_is_decided() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        // Two processes in the session, and one in another.
        let command = script(
            "trap 'echo first >>got' USR1\n\
             (trap 'echo second >>got; exit' USR1; touch a; while :; do sleep 0.1; done) &\n\
             setsid sh -c \"trap 'echo third >>got; exit' USR1; touch b; while :; do sleep 0.1; done\" &\n\
             until [ -e /tmp/go ]; do sleep 0.1; done; exit 4",
        );
        harness.start(&start(1, "alice", &command));
        harness.start(&start(2, "bob", "until [ -e /tmp/go ]; do sleep 0.1; done"));
        let is_ready = || ["a", "b"].iter().all(|name| fs::exists(format!("/home/alice/{name}")).unwrap());
        Deadline::seconds(20).wait_for("the processes", || is_ready().then_some(()));
        // A sleep between two of the shell's commands is ended by the signal, too.
        harness.executor.signal(RunId(1), 10);
        // Neither is sent to anybody.
        harness.executor.signal(RunId(1), 0);
        harness.executor.signal(RunId(3), 9);
        harness.executor.flush().unwrap();
        let got = || {
            let text = fs::read_to_string("/home/alice/got").unwrap_or_default();
            let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
            lines.sort();
            (lines == ["first", "second", "third"]).then_some(())
        };
        Deadline::seconds(20).wait_for("the signal", got);
        assert!(harness.ended.is_empty());
        fs::write("/tmp/go", "").unwrap();
        assert_eq!((harness.end_of(1), harness.end_of(2)), (RunOutcome::Code(4), RunOutcome::Code(0)));
        world.run("rm /tmp/go /home/alice/*").ok();
    }
}

#[test]
fn a_run_without_a_policy_is_ended_on_request_too() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        harness.start(&start(1, "alice", "trap 'exit 9' TERM; sleep 1000 & wait"));
        while harness.started.is_empty() {
            harness.hear(nix::poll::PollFlags::POLLIN);
        }
        std::thread::sleep(std::time::Duration::from_millis(500));
        harness.executor.end(RunId(1), EndReason::Replaced);
        harness.executor.flush().unwrap();
        assert_eq!(harness.end_of(1), RunOutcome::Code(9));
    }
}

#[test]
fn processes_are_reported_with_other_events_and_on_request() {
    let Some(_world) = world!(Implementation::OursDebian) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let before = cronwheel::sys::clock::wall_ms();
        let long = start(1, "alice", "echo $$ >/tmp/pid; until [ -e /tmp/go ]; do sleep 0.1; done");
        harness.executor.start(&long, false).unwrap();
        harness.executor.flush().unwrap();
        Deadline::seconds(20).wait_for("the job", || fs::exists("/tmp/pid").unwrap().then_some(()));
        while harness.processes.is_empty() {
            harness.executor.report_processes();
            harness.executor.flush().unwrap();
            harness.hear(nix::poll::PollFlags::POLLIN);
        }
        let process = harness.processes[0];
        assert_eq!((process.run, format!("{}\n", process.pid)), (RunId(1), read("/tmp/pid")));
        assert!((before..=cronwheel::sys::clock::wall_ms()).contains(&process.started_at_ms), "{process:?}");
        fs::write("/tmp/go", "").unwrap();
        harness.end_of(1);
        assert_eq!(harness.processes.len(), 1);
        fs::remove_file("/tmp/go").unwrap();
        fs::remove_file("/tmp/pid").unwrap();
    }
}

#[test]
fn a_job_that_forks_without_end_is_ended_while_other_jobs_are_started() {
    let Some(world) = world!(Implementation::OursDebian, ["perl"]) else { return };
    let mut harness = Harness::debian();
    let rules = RunRules { timeout: Some(1), grace: 0, ..RunRules::default() };
    // At most 100 processes of alice, by the kernel's limit, without which nothing is started, and each ends by itself after 30 seconds.
    // Parents end before their children, but for the first one.
    let bomb = "exec prlimit --nproc=100:100 perl -e '$SIG{TERM} = \"IGNORE\"; $SIG{CHLD} = \"IGNORE\"; my ($first, $end) = ($$, time + 30); \
                while (time < $end) { my $p = fork; if (!defined $p) { select undef, undef, undef, 0.01 } \
                elsif ($p && $$ != $first && rand() < 0.3) { exit } }'";
    harness.start(&with_rules(start(1, "alice", &script(bomb)), rules));
    let result = harness.result_of(1);
    assert!(result.is_timeout && result.duration_ms < 20_000, "{result:?}");
    assert_eq!(world.run("pgrep -u alice -r D,R,S,T -c .").stdout.trim(), "0", "{:#?}", world.processes());
    assert_eq!(harness.run("bob", "exit 3"), RunOutcome::Code(3));
}

#[test]
fn standard_error_is_counted_where_it_is_a_failure_and_the_mail_has_both_streams_in_order() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let rules = RunRules { fails_on_stderr: true, ..RunRules::default() };
        let command = "echo one; sleep 0.2; echo two >&2; sleep 0.2; echo three";
        harness.start(&with_rules(start(1, "alice", command), rules.clone()));
        let result = harness.result_of(1);
        assert_eq!(result.outcome, RunOutcome::Code(0));
        assert_eq!((result.output.bytes, result.output.stderr_bytes), (14, 4));
        let text = mail(&world);
        assert!(text.ends_with("\none\ntwo\nthree\n"), "{text}");
        assert!(text.contains("\nX-Cron-Status: output on standard error\n"), "{text}");
        world.log.wait_for(&format!("FAILED ({command}) output on standard error after "), Deadline::seconds(10));

        harness.start(&with_rules(start(2, "alice", "echo all well"), rules));
        assert_eq!(harness.result_of(2).output.stderr_bytes, 0);
        mail(&world);
        harness.start(&start(3, "alice", "echo usual >&2"));
        assert_eq!(harness.result_of(3).output.stderr_bytes, 0);
        mail(&world);
        assert!(
            !world
                .log
                .lines()
                .iter()
                .any(|line| line.contains("FAILED (echo all") || line.contains("FAILED (echo usual")),
            "{:#?}",
            world.log.lines()
        );
    }
}

#[test]
fn exit_statuses_that_count_as_success_are_no_failures_in_log_and_mail() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    let mut harness = Harness::debian();
    let rules = RunRules { success: ExitStatuses::of([0, 24]), ..RunRules::default() };
    let quiet = |run, command: &str| {
        let mut start = with_rules(start(run, "alice", command), rules.clone());
        start.flags.mail_only_on_failure = true;
        start
    };
    harness.start(&quiet(1, "echo vanished; exit 24"));
    assert_eq!(harness.end_of(1), RunOutcome::Code(24));
    harness.start(&quiet(2, "echo broken; exit 23"));
    assert_eq!(harness.end_of(2), RunOutcome::Code(23));
    assert!(mail(&world).contains("\nbroken\n"));
    world.log.wait_for("FAILED (echo broken; exit 23) exit 23 after", Deadline::seconds(10));
    assert!(!world.log.lines().iter().any(|line| line.contains("FAILED (echo vanished")), "{:#?}", world.log.lines());
}

#[test]
fn limits_of_a_job_are_set_and_where_that_fails_the_job_runs_without() {
    let Some(world) = world!(Implementation::OursDebian, ["ionice"]) else { return };
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let cases = [
            (Some(7), Some(IoClass::Idle), "7\nidle\n"),
            (Some(-5), Some(IoClass::BestEffort(6)), "-5\nbest-effort: prio 6\n"),
            (None, None, "0\nnone: prio 0\n"),
        ];
        for (run, (nice, io, expected)) in (1..).zip(cases) {
            let rules = RunRules { limits: ResourceLimits { nice, io }, ..RunRules::default() };
            harness.start(&with_rules(start(run, "alice", "(nice; ionice -p $$) >out"), rules));
            assert_eq!(harness.end_of(run), RunOutcome::Code(0));
            assert_eq!(read("/home/alice/out"), expected);
        }
    }
    assert!(!world.log.lines().iter().any(|line| line.contains("LIMIT FAILED")));
}

#[test]
fn a_job_knows_its_run_and_what_its_table_sets_stays() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    for services in ["", PERMISSIVE] {
        describe_services(services);
        let mut harness = Harness::of(config(ProfileName::Debian));
        let command = "env | grep ^CRON_ | sort";
        let mut request = start(7, "alice", command);
        request.variables = crate::harness::environment(&[("CRON_TRIGGER", b"mine"), ("CRON_RETRY", b"2")]);
        request.attempt = 2;
        harness.start(&request);
        assert_eq!(harness.end_of(7), RunOutcome::Code(0));
        let expected = "CRON_ATTEMPT=2\nCRON_JOB=alice:job\nCRON_RETRY=2\nCRON_RUN_ID=7\n\
                        CRON_SCHEDULED_AT=2027-01-15T08:00:00Z\nCRON_TRIGGER=mine\n";
        let text = mail(&world);
        assert!(text.ends_with(&format!("\n\nattempt 2: exit 0\n{expected}")), "{text}");
        assert!(!text.contains("X-Cron-Env: <CRON_RUN_ID") && !text.contains("X-Cron-Env: <CRON_JOB"), "{text}");
    }
}
