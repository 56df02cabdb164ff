//! The pictures of the README, made with the programs. This writes them anew: `UPDATE_SCREENSHOTS=1 cargo test --test web screenshots`.

use crate::browsers::{NEEDS, browse};
use crate::client::Site;
use crate::common::stage::{go_inside, missing, skip, stage, why_not};
use crate::common::{Deadline, Implementation, World, clock};
use crate::{SCREENSHOTS, start, world};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

const NAME: &str = "screenshots::the_readme_has_pictures_of_pages";
const PICTURES: [&str; 2] = ["overview", "timeline"];
const LARGEST: usize = 60 << 10;
const LIMIT: Duration = Duration::from_secs(300);

const ALICE: &str = "\
CRON_NAME=sync-photos
*/20 * * * * sync-photos --to nas
CRON_NAME=report
0 18 * * 1-5 send-report --weekly
";
const SYSTEM: &str = "\
PATH=/usr/local/bin:/usr/bin:/bin
CRON_NAME=backup
CRON_OVERLAP=skip
30 */2 * * * root backup-home --to nas
CRON_NAME=import
15 * * * * bob import-orders
CRON_NAME=certificates
0 */3 * * * root renew-certificates
CRON_NAME=rotate-logs
*/15 * * * * root rotate-logs
CRON_NAME=index
5-59/30 * * * * bob update-index
";

/// A job, its outcome as the history has it, how often it ran in minutes and at which minute, and how long that took, at least and at most, in seconds.
const PAST: [(&str, &str, i64, i64, i64, i64); 6] = [
    ("root:backup", "ok", 120, 30, 1_400, 2_900),
    ("bob:import", "ok", 60, 15, 300, 1_500),
    ("root:certificates", "failed", 180, 0, 20, 20),
    ("root:rotate-logs", "ok", 15, 0, 4, 20),
    ("bob:index", "ok", 30, 5, 200, 700),
    ("alice:sync-photos", "ok", 20, 0, 60, 400),
];

#[test]
fn the_readme_has_pictures_of_pages() {
    if stage().is_some() {
        let Some(world) = world!(Implementation::OursDebian, NEEDS) else { return };
        take(&world);
        return;
    }
    if let Some(reason) =
        why_not(Implementation::OursDebian).or_else(|| missing(&NEEDS)).or_else(|| missing(&["sqlite3"]))
    {
        skip(NAME, &reason);
        return;
    }
    let inside = go_inside(&["--exact", NAME, "--nocapture", "--test-threads=1"], LIMIT);
    let told = String::from_utf8_lossy(&inside.output.stdout);
    assert!(inside.output.status.success(), "{told}{}", String::from_utf8_lossy(&inside.output.stderr));
    let readme = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md")).unwrap();
    for name in PICTURES {
        let line = told.lines().find_map(|line| line.split_once(&format!("SHOT {name} ")));
        let picture = STANDARD.decode(line.expect("a picture").1.trim()).unwrap();
        assert!(picture.starts_with(b"RIFF") && picture.len() < LARGEST, "{name}: {} bytes", picture.len());
        let path = format!("{SCREENSHOTS}/{name}.webp");
        let place = Path::new(env!("CARGO_MANIFEST_DIR")).join(&path);
        if std::env::var_os("UPDATE_SCREENSHOTS").is_some() {
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            fs::write(&place, picture).unwrap();
        }
        let kept = fs::metadata(&place).unwrap_or_else(|why| panic!("{path}: {why}")).len();
        assert!(kept < LARGEST as u64, "{path}: {kept} bytes");
        assert!(readme.contains(&format!("]({path})")), "the README does not show {path}");
    }
}

/// Makes a machine with jobs and some hours of history, and prints its pages as pictures.
fn take(world: &World) {
    for (program, script) in [
        ("backup-home", "sleep 600"),
        ("renew-certificates", "echo \"acme: no answer from the server\" >&2; exit 1"),
        ("import-orders", "true"),
        ("rotate-logs", "true"),
        ("update-index", "true"),
        ("sync-photos", "true"),
        ("send-report", "true"),
    ] {
        let path = format!("/usr/local/bin/{program}");
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
        world.run(&format!("chmod 755 {path}")).ok();
    }
    world.crontab("alice", &format!("PATH=/usr/local/bin:/usr/bin:/bin\n{ALICE}")).ok();
    world.drop_in("site", SYSTEM);
    let _daemon = start(world, 7);
    // The daemon learns when the process was started with what happens next.
    world.run("cronctl run root:backup").ok();
    for (job, ..) in PAST.iter().filter(|(job, ..)| *job != "root:backup") {
        world.run(&format!("cronctl run --wait {job}"));
    }
    world.run("cronctl pause alice:report --note 'until the new printer is here'").ok();
    let database = "/var/lib/cronwheel/history/history.db";
    let sqlite = |sql: &str| {
        world.run_with_input("root", &format!("cd / && runuser -u _cronwheel -- sqlite3 {database}"), sql.as_bytes())
    };
    Deadline::seconds(20).wait_for("the rows", || {
        let counts = "SELECT sum(outcome <> 'running'), count(*) FROM runs;";
        (sqlite(counts).stdout.trim() == "5|6").then_some(())
    });
    Deadline::seconds(20).wait_for("the start of the backup", || {
        let list: serde_json::Value =
            serde_json::from_str(&world.run("cronctl list root:backup --json").stdout).ok()?;
        list["jobs"][0]["running"][0]["started_at"].as_str().map(|_| ())
    });
    // The runs of some hours like the one that each job has just had.
    let minute = i64::try_from(clock::now().as_secs()).unwrap() / 60;
    let mut sql = "BEGIN;\n".to_owned();
    for (number, (job, outcome, every, at, least, most)) in (0..).zip(PAST) {
        for slot in (minute - 360..minute).filter(|slot| slot % every == at) {
            // Durations that differ, and are the same each time.
            let duration = least + (slot * 7_919 + number * 104_729) % (most - least + 1);
            let begun = slot * 60_000;
            let ended = begun + duration * 1_000;
            if ended > minute * 60_000 {
                continue;
            }
            let exit = i32::from(outcome == "failed");
            writeln!(
                sql,
                "INSERT INTO runs (run, job, user, uid, owner, source, line, command, trigger, attempt, scheduled_at, started_at, ended_at, \
                 duration, outcome, exit_code, boot, recorded_at, size) SELECT {}, job, user, uid, owner, source, line, command, 'schedule', 1, \
                 {begun}, {begun}, {ended}, {duration}, '{outcome}', {exit}, boot, {begun}, size FROM runs WHERE job = '{job}' \
                 ORDER BY id LIMIT 1;",
                begun - number
            )
            .unwrap();
        }
    }
    sql += "DELETE FROM runs WHERE trigger = 'manual' AND outcome = 'ok';\nCOMMIT;\n";
    sqlite(&sql).ok();
    let site = Site::start(world, "root", "");
    browse(world, "root", "screenshots", &site.address, &site, "");
}
