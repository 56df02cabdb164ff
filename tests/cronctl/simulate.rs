//! `cronctl simulate`: the starts of a time range, with clock steps and downtimes.

use crate::*;

fn simulate(table: &str, arguments: &[&str]) -> Answer {
    let table = Crontab::of(table);
    ask(&[&["simulate", "--file", table.path()], arguments].concat())
}

#[test]
fn times_of_options_are_as_friendly_as_those_of_the_range() {
    let table = Crontab::of("0 * * * * hourly\n");
    let zone = ["--tz", "Europe/Berlin", "--json", "--from", "2026-05-01", "--until", "2026-05-01 06:00"];
    let friendly = ["--down", "2026-05-01 01:30..2026-05-01 03:30", "--step", "2026-05-01 04:30=+30m"];
    let exact = ["--down", "2026-04-30T23:30:00Z..2026-05-01T01:30:00Z", "--step", "2026-05-01T02:30:00Z=+30m"];
    let simulate = |more: &[&str]| ask(&[&["simulate", "--file", table.path()], &zone[..], more].concat());
    let answer = simulate(&friendly);
    assert_eq!((answer.status, answer.out.is_empty()), (Some(0), false), "{answer:?}");
    assert_eq!(answer.out, simulate(&exact).out);
    let backwards = simulate(&["--down", "tomorrow..today"]);
    assert!(backwards.status == Some(2) && backwards.err.contains("--down: the range ends before"), "{backwards:?}");
}

#[test]
fn without_options_it_simulates_the_next_day_in_the_zone_of_the_system() {
    let table = Crontab::of("@hourly hourly\n");
    let answer = ask(&["simulate", table.path()]);
    assert_eq!((answer.status, answer.lines().len(), answer.err.as_str()), (Some(0), 24, ""), "{answer:?}");
    let from = ["--tz", "UTC", "--from", "2026-05-01T00:00:00Z"];
    let answer = ask(&[&["simulate", table.path()], &from[..]].concat());
    let lines = answer.lines();
    assert_eq!(lines.len(), 24, "{answer:?}");
    assert!(
        lines[0].starts_with("2026-05-01T01:00:00Z") && lines[23].starts_with("2026-05-02T00:00:00Z"),
        "{answer:?}"
    );
}

#[test]
fn a_gap_of_the_zone_moves_a_fixed_time_to_its_end() {
    let answer = simulate(
        "# comment\n30 2 * * * fixed\n",
        &["--tz", "Europe/Berlin", "--from", "2026-03-28T22:00:00Z", "--until", "2026-03-30T04:00:00Z"],
    );
    assert_eq!(
        answer.lines(),
        [
            "2026-03-29T01:00:00Z  2026-03-29T03:00:00+02:00  2  fixed",
            "2026-03-30T00:30:00Z  2026-03-30T02:30:00+02:00  2  fixed",
        ]
    );
    assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""));
}

#[test]
fn a_fold_of_the_zone_runs_a_fixed_time_once_and_a_wildcard_twice() {
    let answer = simulate(
        "30 2 * * * fixed\n30 * * * * wild\n",
        &["--tz", "Europe/Berlin", "--from", "2026-10-25T00:00:00Z", "--until", "2026-10-25T01:59:00Z"],
    );
    let mut lines = answer.lines();
    lines.sort_unstable();
    assert_eq!(
        lines,
        [
            "2026-10-25T00:30:00Z  2026-10-25T02:30:00+02:00  1  fixed",
            "2026-10-25T00:30:00Z  2026-10-25T02:30:00+02:00  2  wild",
            "2026-10-25T01:30:00Z  2026-10-25T02:30:00+01:00  2  wild",
        ]
    );
}

#[test]
fn the_machine_starts_at_from_and_until_is_the_last_second() {
    let answer = simulate(
        "0 * * * * hourly\n@reboot boot\n",
        &["--tz", "UTC", "--from", "2026-05-01T10:00:00Z", "--until", "2026-05-01T12:00:00Z"],
    );
    assert_eq!(
        answer.lines(),
        [
            "2026-05-01T10:00:00Z  2026-05-01T10:00:00+00:00  2  boot",
            "2026-05-01T11:00:00Z  2026-05-01T11:00:00+00:00  1  hourly",
            "2026-05-01T12:00:00Z  2026-05-01T12:00:00+00:00  1  hourly",
        ]
    );
}

#[test]
fn a_step_forward_makes_up_for_fixed_times_and_not_for_wildcards() {
    let answer = simulate(
        "30 11 * * * fixed\n30 * * * * wild\n",
        &[
            "--tz",
            "UTC",
            "--from",
            "2026-05-01T09:59:00Z",
            "--until",
            "2026-05-01T10:31:00Z",
            "--step",
            "2026-05-01T10:00:30Z=+2h",
        ],
    );
    assert_eq!(
        answer.lines(),
        [
            "2026-05-01T10:00:30Z  2026-05-01T12:00:30+00:00  1  fixed",
            "2026-05-01T10:30:00Z  2026-05-01T12:30:00+00:00  2  wild",
        ]
    );
}

#[test]
fn a_step_back_repeats_no_fixed_time() {
    let answer = simulate(
        "10 10 * * * fixed\n10 * * * * wild\n",
        &[
            "--tz",
            "UTC",
            "--from",
            "2026-05-01T10:00:00Z",
            "--until",
            "2026-05-01T11:15:00Z",
            "--step",
            "2026-05-01T10:20:30Z=-15m",
        ],
    );
    let of = |command: &str| -> Vec<String> {
        let lines = answer.lines().into_iter().filter(|line| line.ends_with(command));
        lines.map(|line| line[..20].to_owned()).collect()
    };
    assert_eq!(of("fixed"), ["2026-05-01T10:10:00Z"], "{answer:?}");
    assert_eq!(of("wild"), ["2026-05-01T10:10:00Z", "2026-05-01T10:25:00Z"], "{answer:?}");
}

#[test]
fn a_daemon_that_was_down_makes_up_for_the_last_three_minutes() {
    let answer = simulate(
        "*/10 * * * * before\n15 12 * * * lost\n29 12 * * * late\n31 12 * * * after\n@reboot boot\n",
        &[
            "--tz",
            "UTC",
            "--from",
            "2026-05-01T11:55:00Z",
            "--until",
            "2026-05-01T12:35:00Z",
            "--down",
            "2026-05-01T12:05:00Z..2026-05-01T12:30:00Z",
        ],
    );
    let told: Vec<(&str, &str)> =
        answer.lines().into_iter().map(|line| (&line[11..16], line.rsplit("  ").next().unwrap_or(""))).collect();
    let mut expected =
        vec![("11:55", "boot"), ("12:00", "before"), ("12:30", "late"), ("12:30", "before"), ("12:31", "after")];
    let mut told = told;
    told.sort_unstable();
    expected.sort_unstable();
    assert_eq!(told, expected);
}

/// The times, without date and zone, and the commands of the starts of a table in UTC on the first of May from 09:59:30 to 10:05.
fn told(table: &str, more: &[&str]) -> Vec<String> {
    let usual = ["--tz", "UTC", "--from", "2026-05-01T09:59:30Z", "--until", "2026-05-01T10:05:00Z"];
    let answer = simulate(table, &[&usual, more].concat());
    assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""));
    let line = |line: &&str| format!("{} {}", &line[11..19], line.rsplit("  ").next().unwrap_or(""));
    answer.lines().iter().map(line).collect()
}

#[test]
fn a_daemon_that_is_stopped_before_its_first_start_has_left_a_record() {
    let down = ["--down", "2026-05-01T09:59:50Z..2026-05-01T10:00:20Z"];
    assert_eq!(told("0 10 * * * f1000\n", &down), ["10:00:20 f1000"]);
}

#[test]
fn down_times_may_overlap_and_come_in_any_order() {
    let down = [
        "--down",
        "2026-05-01T10:01:30Z..2026-05-01T10:02:30Z",
        "--down",
        "2026-05-01T10:00:30Z..2026-05-01T10:01:40Z",
    ];
    let expected = ["10:00:00 min", "10:02:30 min", "10:02:30 min", "10:03:00 min", "10:04:00 min", "10:05:00 min"];
    assert_eq!(told("* * * * * min\n", &down), expected);
}

#[test]
fn a_machine_that_boots_without_its_daemon_runs_reboot_entries_when_that_starts() {
    let down = ["--down", "2026-05-01T09:00:00Z..2026-05-01T10:03:30Z"];
    assert_eq!(told("@reboot boot\n* * * * * min\n", &down), ["10:03:30 boot", "10:04:00 min", "10:05:00 min"]);
}

#[test]
fn json_has_both_clocks() {
    let answer = simulate(
        "30 2 * * * root x\n",
        &[
            "--tz",
            "Europe/Berlin",
            "--from",
            "2026-05-01T00:00:00Z",
            "--until",
            "2026-05-02T00:00:00Z",
            "--json",
            "--system",
        ],
    );
    assert_eq!(
        json(&answer.out),
        serde_json::json!({
            "at": "2026-05-01T00:30:00Z", "shown": "2026-05-01T02:30:00+02:00", "line": 1, "command": "x"
        })
    );
}

#[test]
fn a_faulty_line_costs_only_itself_and_the_exit_status() {
    let answer = simulate(
        "0 24 * * * bad\n0 3 * * * good\n",
        &["--tz", "UTC", "--from", "2026-05-01T00:00:00Z", "--until", "2026-05-02T00:00:00Z"],
    );
    assert_eq!((answer.lines().len(), answer.status), (1, Some(1)));
    assert!(answer.err.contains(":1:3: error: "));
}

#[test]
fn a_pause_that_begins_with_the_simulation_or_before_holds_reboot_entries() {
    let table = "CRON_NAME=boot\n@reboot boot\nCRON_NAME=each\n* * * * * each\n";
    let range = ["--tz", "UTC", "--from", "2026-05-01T10:00:00Z", "--until", "2026-05-01T10:02:00Z"];
    let commands = |from: &str| {
        let pauses = [format!("boot={from}..2026-05-01T10:01:00Z"), format!("each={from}..2026-05-01T10:01:00Z")];
        let pauses = pauses.iter().flat_map(|pause| ["--pause", pause.as_str()]);
        let answer = simulate(table, &range.iter().copied().chain(pauses).collect::<Vec<_>>());
        answer.lines().iter().map(|line| line[11..16].to_owned() + line.rsplit(' ').next().unwrap()).collect::<Vec<_>>()
    };
    for from in ["2026-05-01T10:00:00Z", "2026-05-01T09:00:00Z"] {
        assert_eq!(commands(from), ["10:01each", "10:02each"], "{from}");
    }
    assert_eq!(commands("2026-05-01T10:00:01Z").first().map(String::as_str), Some("10:00boot"));
}
