//! Whole drawings of a machine with jobs of all kinds. With `CRONWHEEL_DRAWINGS=DIRECTORY` they are written there, to be looked at.

use super::*;
use crate::crontab::terminal_width;
use crate::schedule::{JitterKey, Schedule, Timestamp, Zone};
use crate::varlink::Time;
use crate::varlink::history::RunRecord;
use std::sync::Arc;

/// A job of the machine: name, schedule, command, seconds that it takes, each how many-th run fails, whether runs may overlap.
struct Sample {
    job: &'static str,
    schedule: &'static str,
    command: &'static str,
    takes: i64,
    fails: i64,
    overlaps: bool,
}

const fn sample(job: &'static str, schedule: &'static str, command: &'static str, takes: i64, fails: i64) -> Sample {
    Sample { job, schedule, command, takes, fails, overlaps: false }
}

const SAMPLES: [Sample; 11] = [
    sample("root:hourly", "17 * * * *", "cd / && run-parts --report /etc/cron.hourly", 40, 0),
    sample("root:backup", "30 2 * * *", "/usr/local/sbin/backup --all --to nas:/srv/backup", 5_400, 9),
    sample("root:logrotate", "25 6 * * *", "/usr/sbin/logrotate /etc/logrotate.conf", 75, 0),
    sample("root:certbot", "0 */12 * * *", "certbot -q renew", 25, 0),
    sample("_munin:update", "*/5 * * * *", "/usr/bin/munin-cron", 11, 0),
    sample("alice:report", "0 8 * * 1-5", "make -C ~/reports daily && mail -s 'Umsätze' team", 260, 4),
    sample("alice:sync", "*/15 * * * *", "rsync -a ~/work nas:work", 95, 40),
    Sample {
        overlaps: true, ..sample("bob:scrape", "0 */2 * * *", "python3 scrape.py <日本語> & \"x\"", 9_000, 11)
    },
    sample("bob:weekly", "0 3 * * 0", "du -sh /home/*", 1_800, 0),
    sample("www-data:queue", "* * * * *", "php /srv/shop/artisan schedule:run", 2, 0),
    sample("www-data:newsletter", "0 3 1 * *", "php /srv/shop/artisan newsletter:send", 7_200, 0),
];

fn at(text: &str) -> Timestamp {
    Timestamp::parse_rfc3339(text).unwrap()
}

fn zone(name: &str) -> Arc<Zone> {
    if name == "UTC" { Zone::utc() } else { Arc::new(Zone::embedded(name).unwrap()) }
}

fn record(sample: &Sample, line: usize, slot: Timestamp, number: i64, now: Timestamp) -> RunRecord {
    let takes = sample.takes + number % 7 * sample.takes / 10;
    let is_running = slot.0 + takes > now.0;
    let is_failed = sample.fails > 0 && number % sample.fails == sample.fails - 2;
    let is_skipped = sample.fails > 0 && number % (sample.fails * 3) == 5;
    let outcome = match (is_skipped, is_running, is_failed) {
        (true, ..) => "skipped",
        (_, true, _) => "running",
        (_, _, true) => "failed",
        _ => "ok",
    };
    let (user, _) = sample.job.split_once(':').unwrap();
    let ended = (!is_running && !is_skipped).then(|| Time::from(Timestamp(slot.0 + takes)));
    RunRecord {
        run: (!is_skipped).then_some(number as u64),
        job: sample.job.into(),
        user: user.into(),
        uid: 0,
        source: "/etc/cron.d/site".into(),
        line: line as u32,
        command: sample.command.into(),
        trigger: "schedule".into(),
        attempt: 1,
        scheduled_at: Time::from(slot),
        started_at: (!is_skipped).then(|| Time::from(slot)),
        ended_at: ended,
        duration: ended.map(|_| takes as f64 + 0.25),
        outcome: outcome.into(),
        reason: None,
        exit_code: None,
        signal: None,
        cpu_user: None,
        cpu_system: None,
        max_rss: None,
        output_bytes: 0,
        mail: None,
        hooks: None,
        count: 1,
        until: None,
    }
}

/// The timeline of the machine: a history up to `now`, then what is to come.
fn timeline(range: Range, now: Timestamp, zone: &Arc<Zone>, grouping: Grouping) -> Timeline {
    let mut builder = Builder::new(range, now, Arc::clone(zone), grouping, 50);
    builder.set_past_known();
    for (line, sample) in SAMPLES.iter().enumerate() {
        let seed = JitterKey { host: Default::default(), table: "", entry: b"" };
        let schedule = Schedule::parse(sample.schedule, &seed).unwrap().schedule;
        let mut slot = schedule.next_after(Timestamp(range.from.0 - 86_400), zone, None);
        let (mut free, mut number) = (Timestamp(i64::MIN), 7 * line as i64);
        while let Some(due) = slot.filter(|due| *due <= now && *due < range.until) {
            number += 1;
            let record = record(sample, line, due, number, now);
            if due >= free || sample.overlaps {
                free = if record.outcome == "skipped" { due } else { record.ended_at.map_or(now, Time::timestamp) };
                let text =
                    if record.outcome == "failed" { "failed (exit 3)".to_owned() } else { record.outcome.clone() };
                builder.add_record(&record, text);
            }
            slot = schedule.next_after(due, zone, None);
        }
    }
    for (line, sample) in SAMPLES.iter().enumerate() {
        let seed = JitterKey { host: Default::default(), table: "", entry: b"" };
        let schedule = Schedule::parse(sample.schedule, &seed).unwrap().schedule;
        let mut label = RowLabel::of_record(&record(sample, line, now, 0, now));
        label.schedule = sample.schedule.into();
        let after = now.max(Timestamp(range.from.0 - 1));
        builder.add_schedule(Some(&label), 1, after, 1_000_000, |after| schedule.next_after(after, zone, None));
    }
    builder.finish()
}

/// Name, range, current time and zone of a drawing.
const DRAWINGS: [(&str, &str, &str, &str, &str); 8] = [
    ("hour", "2026-11-27T09:30:00Z", "2026-11-27T10:30:00Z", "2026-11-27T10:02:10Z", "Europe/Berlin"),
    ("day", "2026-11-27T04:00:00Z", "2026-11-28T04:00:00Z", "2026-11-27T10:02:10Z", "Europe/Berlin"),
    ("week", "2026-11-24T00:00:00Z", "2026-12-01T00:00:00Z", "2026-11-27T10:02:10Z", "Europe/Berlin"),
    ("month", "2026-11-13T00:00:00Z", "2026-12-13T00:00:00Z", "2026-11-27T10:02:10Z", "Europe/Berlin"),
    ("year", "2026-05-01T00:00:00Z", "2027-05-01T00:00:00Z", "2026-11-27T10:02:10Z", "Europe/Berlin"),
    ("gap", "2026-03-28T20:00:00Z", "2026-03-29T12:00:00Z", "2026-03-29T05:00:00Z", "Europe/Berlin"),
    ("fold", "2026-10-24T20:00:00Z", "2026-10-25T12:00:00Z", "2026-10-25T05:00:00Z", "Europe/Berlin"),
    ("plan", "2026-11-28T00:00:00Z", "2026-11-29T00:00:00Z", "2026-11-27T10:02:10Z", "UTC"),
];

/// All drawings with their names, those by user at the end.
fn drawings() -> &'static [(String, Timeline)] {
    static DRAWN: std::sync::OnceLock<Vec<(String, Timeline)>> = std::sync::OnceLock::new();
    DRAWN.get_or_init(|| {
        let groupings = [("", Grouping::Job), ("-by-user", Grouping::User)];
        let all = groupings.iter().flat_map(|grouping| DRAWINGS.iter().map(move |drawing| (drawing, grouping)));
        all.map(|((name, from, until, now, place), (suffix, grouping))| {
            let range = Range { from: at(from), until: at(until) };
            (format!("{name}{suffix}"), timeline(range, at(now), &zone(place), *grouping))
        })
        .collect()
    })
}

fn drawing(name: &str) -> &'static Timeline {
    &drawings().iter().find(|(known, _)| known == name).unwrap().1
}

fn plain(lines: &[TextLine]) -> String {
    lines.iter().map(|line| line.iter().map(|span| span.text.as_str()).collect::<String>() + "\n").collect()
}

#[test]
fn text_fits_the_width_and_is_ascii_where_that_is_wanted() {
    for (name, timeline) in drawings() {
        for width in [40, 80, 160] {
            for charset in [Charset::Unicode, Charset::Ascii] {
                let drawn = plain(&text(timeline, &TextOptions { width, charset, is_complete: true }));
                if let Some(directory) = std::env::var_os("CRONWHEEL_DRAWINGS") {
                    let file = format!("{name}-{width}-{charset:?}.txt");
                    std::fs::write(std::path::Path::new(&directory).join(file), &drawn).unwrap();
                }
                assert!(charset == Charset::Unicode || drawn.is_ascii(), "{drawn}");
                let too_wide = drawn.lines().skip(4).find(|line| terminal_width(line) > width);
                assert!(width == 40 || too_wide.is_none(), "{too_wide:?}\n{drawn}");
            }
        }
    }
}

#[test]
fn pictures_are_well_formed_and_not_large() {
    for (name, timeline) in drawings() {
        for width in [1_280, 720] {
            let drawn = svg(timeline, &SvgOptions { width, id: "t".into(), is_file: true });
            if let Some(directory) = std::env::var_os("CRONWHEEL_DRAWINGS") {
                std::fs::write(std::path::Path::new(&directory).join(format!("{name}-{width}.svg")), &drawn).unwrap();
            }
            assert!(drawn.len() < 600_000, "{name}: {} bytes", drawn.len());
            let mut open: Vec<&str> = Vec::new();
            for tag in drawn.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
                let element = tag.trim_start_matches('/').split(char::is_whitespace).next().unwrap_or("");
                if tag.starts_with('/') {
                    assert_eq!(open.pop(), Some(element), "{tag}");
                } else if !tag.ends_with('/') {
                    open.push(element);
                }
            }
            assert!(open.is_empty() && drawn.contains("role=\"img\"") && !drawn.contains("style=\""), "{open:?}");
            let page = svg(timeline, &SvgOptions { width, id: "t".into(), is_file: false });
            assert!(!page.contains("<style"));
        }
    }
}

#[test]
fn facts_are_those_of_the_drawing() {
    for (name, timeline) in drawings() {
        let facts = facts(timeline);
        assert!(facts.len() < 20_000, "{name}: {}", facts.len());
        for class in [OutcomeClass::Ok, OutcomeClass::Failed, OutcomeClass::Skipped, OutcomeClass::Running] {
            let told: u64 = facts.iter().filter(|fact| fact.kind == FactKind::Past(class)).map(|fact| fact.count).sum();
            assert_eq!(told, timeline.rows.iter().map(|row| row.runs_of(class)).sum::<u64>(), "{name} {class:?}");
        }
        let coming: u64 = facts.iter().filter(|fact| fact.kind == FactKind::Coming).map(|fact| fact.count).sum();
        assert_eq!(coming, timeline.rows.iter().map(Row::coming_starts).sum::<u64>(), "{name}");
        assert_eq!(facts.iter().filter(|fact| fact.kind == FactKind::Clock).count(), timeline.changes.len());
        for row in &timeline.rows {
            assert!(row.coming.is_sorted_by_key(|coming| coming.first), "{name}: entries of a user are one row");
        }
    }
}

#[test]
fn the_day_shows_what_happened_and_what_is_to_come() {
    let timeline = drawing("day");
    let drawn = plain(&text(timeline, &TextOptions { width: 100, charset: Charset::Unicode, is_complete: true }));
    for wanted in ["Fri 2026-11-27 05:00 to Sat 2026-11-28 05:00, Europe/Berlin", "root:backup", "running", "coming"] {
        assert!(drawn.contains(wanted), "{wanted}\n{drawn}");
    }
    let row = |job: &str| drawn.lines().find(|line| line.starts_with(job)).unwrap_or_default().to_owned();
    assert!(row("www-data:queue").contains('■') && row("www-data:queue").contains('█'), "{drawn}");
    assert!(row("bob:scrape").contains('2'), "runs overlap\n{drawn}");
}

#[test]
fn changes_of_the_clocks_are_told_in_every_form() {
    for (wanted, name) in [("02:00-03:00 does not exist", "gap"), ("02:00-03:00 comes twice", "fold")] {
        let timeline = drawing(name);
        let drawn = plain(&text(timeline, &TextOptions { width: 100, charset: Charset::Unicode, is_complete: true }));
        assert!(drawn.contains(wanted), "{name}\n{drawn}");
        let picture = svg(timeline, &SvgOptions { width: 1_280, id: "t".into(), is_file: true });
        assert!(picture.contains("no 02:00-03:00") || picture.contains("02:00-03:00 twice"), "{name}");
        assert_eq!(facts(timeline).iter().filter(|fact| fact.kind == FactKind::Clock).count(), 1);
    }
}
