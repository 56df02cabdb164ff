//! Mail: what is sent, to real mailers too, and what becomes of mailers that fail, hang or are not there.

use crate::common::machine::install_dma;
use crate::common::{Deadline, Implementation, World};
use crate::harness::{
    Harness, config, describe_services, environment, install_mailer, mail, not_started, start, uid_of,
};
use crate::world;
use cronwheel::crontab::MailRule;
use cronwheel::executor::{ExecutorConfig, Mailer, read_journal};
use cronwheel::profile::ProfileName;
use cronwheel::scheduler::{Owner, RunId, RunOutcome, RunRequest, Trigger};
use cronwheel::sys::host;
use nix::poll::PollFlags;
use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

#[test]
fn the_mail_is_that_of_the_reference_and_the_mailer_runs_as_the_owner() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    for (profile, expected) in [
        (
            ProfileName::Debian,
            "-FCronDaemon|-i|-B8BITMIME|-oem|bob|\nalice\nFrom: root (Cron Daemon)\nTo: bob\n\
             Subject: Cron <alice@wheelbox> echo hi; cat\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=US-ASCII\nContent-Transfer-Encoding: 8bit\n\
             X-Cron-Env: <MAILTO=bob>\nX-Cron-Env: <SHELL=/bin/sh>\nX-Cron-Env: <HOME=/home/alice>\n\
             X-Cron-Env: <PATH=/usr/bin:/bin>\nX-Cron-Env: <LOGNAME=alice>\nX-Cron-Job: alice:job\n\
             X-Cron-Status: exit 0\nX-Cron-Duration: TIME\n\nhi\ninput\n",
        ),
        (
            ProfileName::Cronie,
            "-FCronDaemon|-i|-odi|-oem|-oi|-t|-f|alice|\nalice\nFrom: \"(Cron Daemon)\" <alice>\nTo: bob\n\
             Subject: Cron <alice@wheelbox> echo hi; cat\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=ANSI_X3.4-1968\nContent-Transfer-Encoding: 8bit\n\
             Auto-Submitted: auto-generated\nPrecedence: bulk\n\
             X-Cron-Env: <MAILTO=bob>\nX-Cron-Env: <SHELL=/bin/sh>\nX-Cron-Env: <HOME=/home/alice>\n\
             X-Cron-Env: <PATH=/usr/bin:/bin:/usr/sbin:/sbin>\nX-Cron-Env: <LOGNAME=alice>\n\
             X-Cron-Env: <USER=alice>\nX-Cron-Job: alice:job\n\
             X-Cron-Status: exit 0\nX-Cron-Duration: TIME\n\nhi\ninput\n",
        ),
    ] {
        for name in ["LANG", "LC_ALL", "LC_CTYPE", "LANGUAGE"] {
            // SAFETY: no other thread of this test reads the environment.
            unsafe { std::env::remove_var(name) };
        }
        let mut harness = Harness::of(config(profile));
        let mut start = start(1, "alice", "echo hi; cat%input");
        start.variables = environment(&[("MAILTO", b"bob")]);
        harness.start(&start);
        assert_eq!(harness.end_of(1), RunOutcome::Code(0));
        let mail = mail(&world);
        let time = mail.lines().find_map(|line| line.strip_prefix("X-Cron-Duration: ")).expect("a duration");
        assert!(time.ends_with('s'), "{time}");
        assert_eq!(mail.replace(&format!("Duration: {time}"), "Duration: TIME"), expected, "{profile:?}");
    }
}

#[test]
fn without_output_or_recipient_there_is_no_mail_and_failures_are_logged() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("exit 75");
    let mut harness = Harness::debian();
    let with = |run, command: &str, mailto: &str, only_on_failure| {
        let mut start = start(run, "alice", command);
        start.variables = environment(&[("MAILTO", mailto.as_bytes())]);
        start.flags.mail_only_on_failure = only_on_failure;
        start
    };
    harness.start(&with(1, "true", "bob", false));
    harness.start(&with(2, "echo x", "", false));
    harness.start(&with(3, "echo x", "-C/etc/shadow", false));
    harness.start(&with(4, "echo x", "bob", true));
    (1..=4).for_each(|run| assert_eq!(harness.end_of(run), RunOutcome::Code(0)));
    world.log.wait_for("(alice) UNSAFE MAIL (-C/etc/shadow)", Deadline::seconds(10));
    harness.start(&with(5, "echo why; exit 3", "bob", true));
    assert_eq!(harness.end_of(5), RunOutcome::Code(3));
    assert!(mail(&world).ends_with("\n\nwhy\n"));
    world
        .log
        .wait_for(": (alice) MAIL (mailed 4 bytes of output but got status 0x4b00 from MTA)", Deadline::seconds(10));
    world.log.wait_for(": (alice) FAILED (echo why; exit 3) exit 3 after 0.", Deadline::seconds(10));
    fs::remove_file("/usr/sbin/sendmail").unwrap();
    harness.start(&with(6, "echo x", "bob", false));
    world.log.wait_for(": (CRON) info (No MTA installed, discarding output)", Deadline::seconds(10));
    assert!(!Path::new("/tmp/mail").exists());
}

#[test]
fn twenty_megabytes_of_output_delay_no_other_job_and_are_mailed_within_bounds() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    let mut harness = Harness::debian();
    assert_eq!(harness.run("alice", "echo first; yes | head -c 20000000; echo last"), RunOutcome::Code(0));
    let queued_mail = mail(&world);
    assert!(queued_mail.len() < 1_400_000 && queued_mail.ends_with("y\nlast\n"), "{}", queued_mail.len());
    assert!(
        queued_mail.contains("\n\nfirst\ny\n")
            && queued_mail.contains("\n[... 18689291 bytes of output cut here ...]\n")
    );
}

#[test]
fn a_background_process_holds_up_neither_the_mail_nor_itself() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    let mut harness = Harness::debian();
    let late = "(sleep 3; echo late; echo survived >late) & echo hi";
    assert_eq!(harness.run("alice", late), RunOutcome::Code(0));
    assert!(mail(&world).ends_with("\n\nhi\n"));
    assert_eq!(world.wait_for_file("/home/alice/late", Deadline::seconds(20)), "survived\n");
}

/// A mail server on loopback that takes everything; each queued mail is its envelope and its text.
fn smtp_sink() -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, queued_mails) = channel();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || serve(&connection.unwrap(), &sender));
        }
    });
    (port, queued_mails)
}

/// One conversation in SMTP (RFC 5321).
fn serve(mut connection: &TcpStream, queued_mails: &Sender<String>) {
    let mut lines = BufReader::new(connection).lines().map(|line| line.unwrap());
    let mut queued_mail = String::new();
    write!(connection, "220 sink\r\n").unwrap();
    while let Some(line) = lines.next() {
        let answer = match line.get(..4).unwrap_or("").to_ascii_uppercase().as_str() {
            "EHLO" | "HELO" => "250 sink",
            "MAIL" | "RCPT" => {
                queued_mail += &format!("{line}\n");
                "250 ok"
            }
            "DATA" => {
                write!(connection, "354 go on\r\n").unwrap();
                let text = lines.by_ref().take_while(|line| line != ".");
                queued_mail.extend(text.map(|line| line.strip_prefix('.').unwrap_or(&line).to_owned() + "\n"));
                queued_mails.send(std::mem::take(&mut queued_mail)).unwrap();
                "250 taken"
            }
            "QUIT" => "221 bye",
            _ => "502 what?",
        };
        write!(connection, "{answer}\r\n").unwrap();
    }
}

fn with_mailto(run: u64, command: &str, mailto: &str) -> RunRequest {
    let mut start = start(run, "alice", command);
    start.variables = environment(&[("MAILTO", mailto.as_bytes())]);
    start
}

#[test]
fn a_real_relay_takes_the_mail_as_it_is() {
    let Some(_world) = world!(Implementation::OursDebian, ["msmtp"]) else { return };
    let (port, queued_mails) = smtp_sink();
    describe_services("");
    for profile in [ProfileName::Debian, ProfileName::Cronie] {
        let relay = format!("msmtp --host=127.0.0.1 --port={port} --from=cron@wheelbox.example -t");
        let mut harness = Harness::of(ExecutorConfig { mailer: Mailer::Command(relay), ..config(profile) });
        harness.start(&with_mailto(1, "cat%one%.%.two%From x%~!touch /tmp/pwn", "ops@example.org,bob@example.org"));
        assert_eq!(harness.end_of(1), RunOutcome::Code(0));
        let queued_mail = queued_mails.recv_timeout(Duration::from_secs(30)).unwrap();
        let (envelope, text) = queued_mail.split_once("From: ").unwrap();
        assert!(envelope.starts_with("MAIL FROM:<cron@wheelbox.example>"), "{queued_mail}");
        for recipient in ["ops@example.org", "bob@example.org"] {
            assert!(envelope.contains(&format!("RCPT TO:<{recipient}>")), "{queued_mail}");
        }
        assert!(
            text.contains("\nTo: ops@example.org,bob@example.org\nSubject: Cron <alice@wheelbox> cat\n"),
            "{queued_mail}"
        );
        assert!(text.ends_with("\n\none\n.\n.two\nFrom x\n~!touch /tmp/pwn\n"), "{queued_mail}");
    }
}

#[test]
fn twenty_mails_at_once_are_all_delivered_by_a_real_mailer() {
    let Some(world) = world!(Implementation::OursDebian, ["dma"]) else { return };
    install_dma(&world);
    let mut harness = Harness::debian();
    for run in 0..20 {
        harness.start(&with_mailto(run, &format!("echo letter {run}."), "bob"));
    }
    (0..20).for_each(|run| assert_eq!(harness.end_of(run), RunOutcome::Code(0)));
    let mailbox = Deadline::seconds(60).wait_for("twenty mails", || {
        let mailbox = fs::read_to_string("/var/mail/bob").ok()?;
        (mailbox.matches("\nletter ").count() >= 20).then_some(mailbox)
    });
    for run in 0..20 {
        assert_eq!(mailbox.matches(&format!("\nletter {run}.\n")).count(), 1, "{mailbox}");
    }
}

/// How many processes the executor has under it.
fn children(world: &World, harness: &Harness) -> usize {
    world.processes().iter().filter(|process| process.parent == harness.executor.pid()).count()
}

#[test]
fn no_more_than_eight_mailers_are_at_work_and_the_others_wait_their_turn() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::create_dir("/tmp/sent").unwrap();
    world.run("chmod 1777 /tmp/sent").ok();
    let mailer =
        "cat >/tmp/sent/$$.part; while ! [ -e /tmp/go ]; do sleep 0.1; done; mv /tmp/sent/$$.part /tmp/sent/$$";
    describe_services("");
    let mut harness =
        Harness::of(ExecutorConfig { mailer: Mailer::Command(mailer.into()), ..config(ProfileName::Debian) });
    for run in 0..20 {
        harness.start(&start(run, "alice", "echo x"));
    }
    (0..20).for_each(|run| assert_eq!(harness.end_of(run), RunOutcome::Code(0)));
    // Whatever it does for those twenty it has done before it has heard of this one's end.
    assert_eq!(harness.run("bob", "true"), RunOutcome::Code(0));
    assert_eq!(children(&world, &harness), 8);
    fs::write("/tmp/go", "").unwrap();
    let sent = || {
        let names = fs::read_dir("/tmp/sent").unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| !name.ends_with(".part")).count()
    };
    Deadline::seconds(60).wait_for("twenty mails", || (sent() == 20).then_some(()));
}

#[test]
fn a_mailer_that_hangs_is_killed_with_all_that_it_started_and_holds_up_nobody() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    fs::write("/tmp/mailer", "#!/bin/sh\ntrap '' TERM\nsleep 4711 &\n>/tmp/hangs\nwait\n").unwrap();
    world.run("chmod 755 /tmp/mailer").ok();
    describe_services("");
    let mailer = Mailer::Command("exec /tmp/mailer".into());
    let limit = Duration::from_secs(3);
    let mut harness = Harness::of(ExecutorConfig { mailer, mailer_limit: limit, ..config(ProfileName::Debian) });
    // More than a pipe takes, for a mailer that reads nothing.
    harness.start(&start(1, "alice", "yes | head -c 500000"));
    assert_eq!(harness.end_of(1), RunOutcome::Code(0));
    Deadline::seconds(20).wait_for("the mailer", || Path::new("/tmp/hangs").exists().then_some(()));
    assert_eq!(harness.run("bob", "true"), RunOutcome::Code(0));
    world.log.wait_for(": (alice) MAIL (the mailer was killed after 3 s)", Deadline::seconds(30));
    let gone = || world.processes().iter().all(|process| process.line != "sleep 4711").then_some(());
    Deadline::seconds(20).wait_for("what the mailer started to be gone", gone);
    assert_eq!(children(&world, &harness), 0);
}

#[test]
fn a_mailer_that_reads_nothing_or_does_not_exist_is_logged_and_delays_nothing() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    describe_services("");
    for (mailer, told) in [
        ("exit 75", "(alice) MAIL (mailed 500000 bytes of output but got status 0x4b00"),
        ("kill -9 $$", "(alice) MAIL (mailed 500000 bytes of output but got status 0x0009"),
        ("/no/such/mailer", "(alice) MAIL (mailed 500000 bytes of output but got status 0x7f00"),
    ] {
        let mut harness =
            Harness::of(ExecutorConfig { mailer: Mailer::Command(mailer.into()), ..config(ProfileName::Cronie) });
        harness.start(&start(1, "alice", "yes | head -c 500000"));
        assert_eq!(harness.end_of(1), RunOutcome::Code(0));
        world.log.wait_for(told, Deadline::seconds(20));
    }
}

#[test]
fn cronies_mailto_may_name_variables_of_the_daemon_and_its_own_mail_command_gets_the_queued_mail() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    describe_services("");
    // SAFETY: no other thread of this test reads the environment.
    unsafe { std::env::set_var("OPS", "ops@example.org") };
    let mailer = Mailer::Command("cat >/tmp/mail.part; mv /tmp/mail.part /tmp/mail".into());
    let mut harness = Harness::of(ExecutorConfig { mailer, ..config(ProfileName::Cronie) });
    for (run, (mailto, to)) in
        [("$OPS", "ops@example.org"), ("bob,${OPS}", "bob,ops@example.org")].into_iter().enumerate()
    {
        harness.start(&with_mailto(run as u64, "echo x", mailto));
        assert!(mail(&world).contains(&format!("\nTo: {to}\n")));
    }
    harness.start(&with_mailto(7, "echo x", "$NOPE"));
    assert_eq!(harness.end_of(7), RunOutcome::Code(0));
    let line = ": (CRON) WARNING (The environment variable 'MAILTO' could not be expanded. The non-expanded value will be used.)";
    world.log.wait_for(line, Deadline::seconds(20));
    world.log.wait_for(": (alice) UNSAFE ($NOPE)", Deadline::seconds(20));
}

#[test]
fn output_that_goes_to_the_log_is_a_record_for_each_line_and_long_ones_in_pieces() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    describe_services("");
    let mut harness = Harness::of(ExecutorConfig { output_to_log: true, ..config(ProfileName::Cronie) });
    harness.start(&start(1, "alice", "echo one; echo; echo two; head -c 2000 /dev/zero | tr -c y y"));
    assert_eq!(harness.end_of(1), RunOutcome::Code(0));
    assert_eq!(harness.run("bob", "true"), RunOutcome::Code(0));
    world.log.wait_for("(bob) CMDEND", Deadline::seconds(20));
    let lines = world.log.lines();
    let out: Vec<&str> =
        lines.iter().filter_map(|line| line.split_once("(alice) CMDOUT (")).map(|(_, text)| text).collect();
    let (long, rest) = ("y".repeat(1023) + ")", "y".repeat(2000 - 1023) + ")");
    assert_eq!(out, ["one)", ")", "two)", &long, &rest]);
}

#[test]
fn cronie_without_sendmail_says_at_its_start_that_output_goes_to_the_log() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    world.run("rm -f /usr/sbin/sendmail").ok();
    world.drop_in("talks", "@reboot alice echo said\n");
    let daemon = world.start_daemon(&[]);
    world.log.wait_for(": (CRON) INFO (Syslog will be used instead of sendmail.)", Deadline::seconds(20));
    world.log.wait_for(": (alice) CMDOUT (said)", Deadline::seconds(20));
    assert!(daemon.stop().success());
}

#[test]
fn an_attempt_that_cannot_be_started_is_mailed_with_the_output_of_the_attempt_before() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    let mut harness = Harness::debian();
    let uid = uid_of("alice");
    let attempt = |run, number, uid| {
        let mut start = start(run, "alice", "echo tried; exit 3");
        start.source.owner = Owner::User { name: "alice".into(), uid };
        start.rules.retries_left = 2 - number;
        start.attempt = number;
        start.trigger = if number == 1 { Trigger::Schedule } else { Trigger::Retry };
        start
    };
    harness.start(&attempt(1, 1, uid));
    assert_eq!(harness.end_of(1), RunOutcome::Code(3));
    // Between the attempts the name has passed to another uid.
    harness.start(&attempt(2, 2, uid + 1));
    let why = not_started(harness.end_of(2));
    assert!(why.starts_with("the table belongs to uid"), "{why}");
    let both = mail(&world);
    assert!(both.contains(&format!("\nX-Cron-Status: not started: {why}\n")), "{both}");
    assert!(both.ends_with(&format!("\n\nattempt 1: exit 3\ntried\nattempt 2: not started: {why}\n")), "{both}");
    assert_eq!(harness.run("bob", "true"), RunOutcome::Code(0));
    assert!(!Path::new("/tmp/mail").exists());
}

#[test]
fn a_run_that_finds_no_memory_for_its_request_is_mailed_as_a_failure() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    let mut harness = Harness::debian();
    let with_input = |run, command: &str, size| {
        let mut start = start(run, "alice", &format!("{command}%{}", "x".repeat(size)));
        start.rules.mail = MailRule::Failure;
        start
    };
    harness.start(&with_input(1, "exec sleep 4711", 15 << 20));
    while harness.started.is_empty() {
        harness.hear(PollFlags::POLLIN);
    }
    // Together they exceed the 32 MiB of an owner.
    harness.start(&with_input(2, "true", 9 << 20));
    let why = not_started(harness.end_of(2));
    assert!(why.ends_with("take too much memory"), "{why}");
    let mail = mail(&world);
    assert!(mail.contains(&format!("\nX-Cron-Status: not started: {why}\n")), "{mail}");
    assert!(mail.contains("\nSubject: Cron <alice@wheelbox> true\n"), "{mail}");
}

#[test]
fn an_attempt_whose_background_process_still_writes_is_mailed_with_the_next_one() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    install_mailer("");
    describe_services("");
    for profile in [ProfileName::Debian, ProfileName::Cronie] {
        let mut harness = Harness::of(config(profile));
        let attempt = |number, command: &str| {
            let mut start = start(u64::from(number), "alice", command);
            start.rules.retries_left = 2 - number;
            start.attempt = number;
            start.trigger = if number == 1 { Trigger::Schedule } else { Trigger::Retry };
            start
        };
        harness.start(&attempt(1, "sleep 20 & echo first; exit 3"));
        assert_eq!(harness.end_of(1), RunOutcome::Code(3));
        harness.start(&attempt(2, "echo second; exit 4"));
        assert_eq!(harness.end_of(2), RunOutcome::Code(4));
        let mail = mail(&world);
        assert!(mail.ends_with("\n\nattempt 1: exit 3\nfirst\nattempt 2: exit 4\nsecond\n"), "{profile:?}: {mail}");
    }
}

#[test]
fn the_end_of_a_run_is_in_the_journal_before_its_mailer_begins() {
    let Some(_world) = world!(Implementation::OursDebian, ["strace"]) else { return };
    install_mailer("cp /run/cronwheel/executor-*.journal /tmp/journal.part && mv /tmp/journal.part /tmp/journal");
    let mut harness = Harness::debian();
    // What is begun before that is written has time to look.
    let tracer = harness.traced(&["-e", "trace=pwrite64", "-e", "inject=pwrite64:delay_enter=500000"]);
    harness.start(&start(1, "root", "echo output; exit 3"));
    assert_eq!(harness.end_of(1), RunOutcome::Code(3));
    let journal = Path::new("/tmp/journal");
    Deadline::seconds(30).wait_for("the mailer's copy", || journal.exists().then_some(()));
    drop(tracer);
    let content = read_journal(&fs::File::open(journal).unwrap(), &host::boot().id, 0).unwrap();
    let run = &content.runs[&RunId(1)];
    assert_eq!(run.result.as_ref().map(|result| &result.outcome), Some(&RunOutcome::Code(3)));
    assert_eq!(run.mail, None);
}
