//! Processes that are killed while jobs keep running: in the end each run has exactly one row, and it is true.

use crate::common::clock::now;
use crate::common::{Deadline, Implementation, World};
use crate::world;
use crate::{add_account, recorder, rows, wait_for_rows};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

/// Its first attempt fails once the file is there.
const RETRIED: &str = "\
CRON_NAME=job
CRON_RETRY=1,1s
@reboot root test $CRON_ATTEMPT = 2 && exit; until test -e /run/go; do sleep 0.1; done; exit 3
";

#[test]
fn a_run_whose_result_a_killed_daemon_did_not_read_has_failed_for_the_next_one() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    add_account(&world);
    world.drop_in("job", RETRIED);
    let mut daemon = world.start_daemon(&[]);
    let attempts = "SELECT attempt, outcome FROM runs ORDER BY run";
    // The state of the job was written before.
    wait_for_rows(&world, attempts, |rows| rows == ["1|running"]);
    daemon.signal(Signal::SIGSTOP);
    world.run("touch /run/go").ok();
    // The executor has written the result to the socket of the daemon, and nobody sends it again.
    world.log.wait_for("FAILED", Deadline::seconds(20));
    daemon.signal(Signal::SIGKILL);
    daemon.end(Deadline::seconds(20));
    let daemon = world.start_daemon(&[]);
    let rows = wait_for_rows(&world, attempts, |rows| rows.len() == 2 && !rows[1].ends_with("running"));
    assert_eq!(rows, ["1|failed", "2|ok"]);
    assert!(daemon.stop().success());
}

/// A mailer that keeps each mail in a file, which it names when the mail is complete.
const MAILER: &str = "#!/bin/sh\nnew=$(mktemp /run/mails/.XXXXXXXXXX) && cat >$new && mv $new /run/mails/$$.$(basename $new | cut -c2-)\n";

/// How often something is killed, unless the variable KILLS says so.
const KILLS: usize = 40;
/// No job runs for so long, in milliseconds.
const LONGEST_RUN_MS: u128 = 3_000;

/// Each run notes that it has begun and how it ends.
const TABLE: &str = "\
CRON_NAME=quick
@every_second root echo $CRON_RUN_ID begun >>/run/quick; echo $CRON_RUN_ID 0 >>/run/quick
CRON_NAME=failing
@every_second root echo $CRON_RUN_ID begun >>/run/failing; echo mail of $CRON_RUN_ID; echo $CRON_RUN_ID 3 >>/run/failing; exit 3
CRON_NAME=slow
@every_second root echo $CRON_RUN_ID begun >>/run/slow; sleep 0.7; echo $CRON_RUN_ID 0 >>/run/slow
CRON_NAME=lenient
CRON_SUCCESS=0,5
@every_second root echo $CRON_RUN_ID begun >>/run/lenient; sleep 0.2; echo $CRON_RUN_ID 5 >>/run/lenient; exit 5
";

#[test]
fn whatever_is_killed_each_run_has_one_row_and_it_is_true() {
    let Some(world) = world!(Implementation::OursDebian, ["sqlite3"]) else { return };
    add_account(&world);
    fs::create_dir("/run/mails").unwrap();
    fs::write("/run/mailer", MAILER).unwrap();
    world.run("chmod 755 /run/mailer").ok();
    world.drop_in("jobs", TABLE);
    let start = || world.start_daemon(&["--mailer", "/run/mailer"]);
    let mut daemon = start();
    let mut random = fastrand::Rng::with_seed(16);
    let mut killed = BTreeMap::from([("recorder", 0), ("executor", 0), ("main", 0)]);
    let mut executor_killed_ms = Vec::new();
    let mut of_this_daemon = 0;
    let kills = std::env::var("KILLS").ok().and_then(|kills| kills.parse().ok()).unwrap_or(KILLS);
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(random.u64(50..900)));
        let end = |pid: u32| kill(Pid::from_raw(i32::try_from(pid).unwrap()), Signal::SIGKILL);
        match random.u8(0..10) {
            0..4 => {
                if recorder(&world).is_some_and(|pid| end(pid).is_ok()) {
                    *killed.get_mut("recorder").unwrap() += 1;
                }
            }
            4..6 => {
                // The executor is the daemon's first child.
                let processes = world.processes();
                let executor = processes.iter().find(|process| {
                    process.parent == daemon.pid()
                        && process.name.starts_with("cron")
                        && !process.line.contains("cronctl")
                });
                // Three times in ten minutes a daemon gets another one.
                if of_this_daemon < 3 && executor.is_some_and(|process| end(process.pid).is_ok()) {
                    of_this_daemon += 1;
                    *killed.get_mut("executor").unwrap() += 1;
                    executor_killed_ms.push(now().as_millis());
                }
            }
            _ => {
                daemon.signal(Signal::SIGKILL);
                daemon.end(Deadline::seconds(20));
                *killed.get_mut("main").unwrap() += 1;
                daemon = start();
                of_this_daemon = 0;
            }
        }
    }
    println!("killed: {killed:?}");
    world.run("rm /etc/cron.d/jobs").ok();
    let has_jobs = || world.processes().iter().any(|process| process.line.contains("CRON_RUN_ID"));
    Deadline::seconds(30).wait_for("the jobs' ends", || (!has_jobs()).then_some(()));
    std::thread::sleep(Duration::from_secs(1));
    assert!(daemon.stop().success());
    Deadline::seconds(60).wait_for("the recorder's end", || recorder(&world).is_none().then_some(()));

    let mut wrong = Vec::new();
    for job in ["quick", "failing", "slow", "lenient"] {
        let text = fs::read_to_string(format!("/run/{job}")).unwrap_or_default();
        let mut told: BTreeMap<u64, Option<&str>> = BTreeMap::new();
        for (run, word) in text.lines().filter_map(|line| line.split_once(' ')) {
            let status = told.entry(run.parse().unwrap()).or_default();
            if word != "begun" {
                *status = Some(word);
            }
        }
        let found = rows(
            &world,
            &format!("SELECT run, outcome, recorded_at FROM runs WHERE job = 'root:{job}' AND run IS NOT NULL"),
        );
        let mut rows: BTreeMap<u64, (String, u128)> = BTreeMap::new();
        for row in &found {
            let parts: Vec<&str> = row.split('|').collect();
            if rows.insert(parts[0].parse().unwrap(), (parts[1].to_owned(), parts[2].parse().unwrap())).is_some() {
                wrong.push(format!("{job}: two rows: {row}"));
            }
        }
        for (run, status) in &told {
            let expected = match (job, status) {
                (_, None) => vec!["lost", "signal"],
                ("failing", Some(_)) => vec!["failed"],
                _ => vec!["ok"],
            };
            match rows.get(run) {
                None => wrong.push(format!("{job} {run}: no row, {status:?}")),
                // Nobody sees the end of a run whose executor is killed.
                Some((outcome, begun_ms))
                    if outcome == "lost"
                        && executor_killed_ms.iter().any(|at| (*begun_ms..begun_ms + LONGEST_RUN_MS).contains(at)) => {}
                Some((outcome, _)) if !expected.contains(&outcome.as_str()) => {
                    wrong.push(format!("{job} {run}: {outcome}, and it was {status:?}"));
                }
                Some(_) => {}
            }
        }
        for (run, (outcome, _)) in rows.iter().filter(|(run, _)| !told.contains_key(run)) {
            // It may have been killed before it could note anything.
            if !["lost", "not started"].contains(&outcome.as_str()) {
                wrong.push(format!("{job} {run}: a row with {outcome} of a run that never was"));
            }
        }
        println!("{job}: {} runs, {} rows", told.len(), rows.len());
    }
    wrong.extend(compare_mails(&world, &executor_killed_ms));
    wrong.extend(compare_log(&world, killed["executor"]));
    let open = rows(&world, "SELECT count(*) FROM runs WHERE outcome = 'running'");
    assert!(wrong.is_empty() && open == ["0"], "{wrong:#?} {open:?}");
}

/// Compares the mails of the job that writes something with the rows of its runs.
fn compare_mails(world: &World, executor_killed_ms: &[u128]) -> Vec<String> {
    let mut mails: BTreeMap<u64, usize> = BTreeMap::new();
    for file in fs::read_dir("/run/mails").unwrap() {
        let text = fs::read_to_string(file.unwrap().path()).unwrap();
        for line in text.lines().filter_map(|line| line.strip_prefix("mail of ")) {
            *mails.entry(line.parse().unwrap()).or_default() += 1;
        }
    }
    let sql =
        "SELECT run, ifnull(mail, ''), outcome, recorded_at FROM runs WHERE job = 'root:failing' AND run IS NOT NULL";
    let found = rows(world, sql);
    println!("failing: {} mails of {} rows", mails.len(), found.len());
    let mut wrong = Vec::new();
    for row in &found {
        let parts: Vec<&str> = row.split('|').collect();
        let (run, begun_ms): (u64, u128) = (parts[0].parse().unwrap(), parts[3].parse().unwrap());
        let count = mails.remove(&run).unwrap_or(0);
        // An executor that is killed mails nothing more, nor does it tell what it has mailed.
        let is_excused = executor_killed_ms.iter().any(|at| (begun_ms..begun_ms + LONGEST_RUN_MS).contains(at));
        let is_right = match parts[2] {
            "failed" => count == 1 && parts[1] == "sent",
            _ => count == 0 && parts[1].is_empty(),
        };
        let is_accepted = is_right || (is_excused && count <= 1);
        if !is_accepted {
            wrong.push(format!("failing {run}: {count} mails, and the row is {row}"));
        }
    }
    wrong.extend(mails.keys().map(|run| format!("failing {run}: a mail and no row")));
    wrong
}

/// Compares the lines of the log with the rows, as numbers: the lines do not name runs.
fn compare_log(world: &World, executors_killed: usize) -> Vec<String> {
    let lines = world.log.lines();
    let mut wrong = Vec::new();
    for (job, outcome) in [("quick", "ok"), ("failing", "failed"), ("slow", "ok"), ("lenient", "ok")] {
        let of_job = |event: &str| {
            let event = format!("(root) {event} (echo $CRON_RUN_ID begun >>/run/{job};");
            lines.iter().filter(|line| line.contains(&event)).count()
        };
        let count = |condition: &str| {
            let sql = format!("SELECT count(*) FROM runs WHERE job = 'root:{job}' AND run IS NOT NULL AND {condition}");
            rows(world, &sql)[0].parse::<usize>().unwrap()
        };
        let (begun, started) = (of_job("CMD"), count("outcome <> 'not started'"));
        let (failures, failed) = (of_job("FAILED"), if outcome == "failed" { count("outcome = 'failed'") } else { 0 });
        println!("{job}: {begun} CMD lines of {started} rows, {failures} FAILED lines of {failed} rows");
        // What an executor was about to log when it was killed is not logged.
        if begun.abs_diff(started) > executors_killed || failures.abs_diff(failed) > executors_killed {
            wrong.push(format!("{job}: {begun} CMD of {started} rows, {failures} FAILED of {failed} rows"));
        }
    }
    wrong
}
