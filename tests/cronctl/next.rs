//! `cronctl next`: coming runs without a daemon.

use crate::*;

#[test]
fn an_expression_prints_only_the_times_in_its_zone() {
    let berlin = ["--tz", "Europe/Berlin", "--from", "2026-03-28T12:00:00Z", "--count", "3"];
    let answer = ask(&[&["next", "--expr", "30 2 * * *"], &berlin[..]].concat());
    assert_eq!(answer.lines(), ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00"]);
    assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""));
}

#[test]
fn from_is_exclusive_until_inclusive_and_count_is_ten_unless_said() {
    let day = "2026-01-01T00:00:00Z";
    for (arguments, expected) in [
        (vec!["--expr", "0 0 * * *", "--from", day, "--until", "2026-01-03T00:00:00Z"], 2),
        (vec!["--expr", "0 0 * * *", "--from", day, "--until", "2026-01-02T23:59:59Z"], 1),
        (vec!["--expr", "0 0 * * *", "--from", day], 10),
        (vec!["--expr", "0 0 * * *", "--from", day, "--count", "25"], 25),
        (vec!["--expr", "0 0 * * *", "--from", day, "--count", "0"], 0),
        (vec!["--expr", "* * * * *", "--from", day, "--until", day], 0),
        (vec!["--expr", "@reboot", "--from", day], 0),
        (vec!["--expr", "0 0 30 2 *", "--from", day], 0),
        (vec!["--expr", "@quartz 0 0 0 1 1 ? 2026-2028", "--from", day], 2),
        (vec!["--expr", "* * * * *", "--from", "2026-01-01T02:00:00+02:00", "--count", "1"], 1),
    ] {
        let answer = ask(&[&["next"], &arguments[..]].concat());
        assert_eq!((answer.lines().len(), answer.status), (expected, Some(0)), "{arguments:?} {answer:?}");
        assert!(!answer.out.contains("2026-01-01T00:00:00"), "{arguments:?}");
    }
}

#[test]
fn without_from_it_is_now() {
    let before = chrono_now();
    let answer = ask(&["next", "--expr", "@every_second", "--count", "1"]);
    let at = json(&format!("{:?}", answer.out.trim()));
    let at = chrono::DateTime::parse_from_rfc3339(at.as_str().expect("text")).expect("a time").timestamp();
    assert!((before + 1..before + 60).contains(&at), "{at} after {before}");
}

fn chrono_now() -> i64 {
    let output = Command::new("date").arg("+%s").output().expect("date runs");
    String::from_utf8(output.stdout).expect("text").trim().parse().expect("a number")
}

#[test]
fn entries_of_a_table_come_merged_in_order_of_time_with_user_and_command() {
    let table = Crontab::of("*/20 * * * * root twenty\n*/15 * * * * nobody fifteen % x\n");
    let answer = ask(&["next", "--file", table.path(), "--system", "--from", "2026-01-01T00:00:00Z", "--count", "5"]);
    assert_eq!(
        answer.lines(),
        [
            "2026-01-01T00:15:00+00:00  nobody  fifteen % x",
            "2026-01-01T00:20:00+00:00  root  twenty",
            "2026-01-01T00:30:00+00:00  nobody  fifteen % x",
            "2026-01-01T00:40:00+00:00  root  twenty",
            "2026-01-01T00:45:00+00:00  nobody  fifteen % x",
        ]
    );
}

#[test]
fn runs_of_the_same_second_come_in_the_order_of_the_lines() {
    let table = Crontab::of("0 * * * * first\n0 * * * * second\n0 * * * * third\n");
    let answer = ask(&["next", "--file", table.path(), "--from", "2026-01-01T00:00:00Z", "--count", "3"]);
    let commands: Vec<_> = answer.lines().iter().map(|line| line.rsplit("  ").next().unwrap_or("")).collect();
    assert_eq!(commands, ["first", "second", "third"]);
}

#[test]
fn all_entries_are_shown_in_one_zone_whatever_their_own_are() {
    let table =
        Crontab::of("0 12 * * * here\nCRON_TZ=Asia/Kathmandu\n0 12 * * * there\nCRON_TZ=local\n1 12 * * * again\n");
    let answer = ask(&[
        "next",
        "--file",
        table.path(),
        "--tz",
        "America/New_York",
        "--from",
        "2026-01-01T00:00:00Z",
        "--count",
        "3",
    ]);
    let user = caller();
    assert_eq!(
        answer.lines(),
        [
            format!("2026-01-01T01:15:00-05:00  {user}  there"),
            format!("2026-01-01T12:00:00-05:00  {user}  here"),
            format!("2026-01-01T12:01:00-05:00  {user}  again"),
        ]
    );
}

#[test]
fn json_has_utc_and_everything_that_is_known() {
    let table = Crontab::of("# top\nCRON_TZ=Europe/Berlin\n30 2 * * * root backup \"now\"\n");
    let arguments = ["next", "--file", table.path(), "--system", "--json", "--from", "2026-01-01T00:00:00Z"];
    let answer = ask(&[&arguments[..], &["--count", "1"]].concat());
    assert_eq!(
        json(&answer.out),
        serde_json::json!({
            "at": "2026-01-01T01:30:00Z", "schedule": "30 2 * * *", "zone": "Europe/Berlin", "user": "root",
            "command": "backup \"now\"", "source": table.path(), "line": 3
        })
    );
    let answer = ask(&["next", "--expr", "@daily", "--json", "--from", "2026-01-01T00:00:00Z", "--count", "1"]);
    assert_eq!(
        json(&answer.out),
        serde_json::json!({"at": "2026-01-02T00:00:00Z", "schedule": "@daily", "zone": "UTC"})
    );
}

#[test]
fn a_random_delay_is_in_the_time_and_always_the_same() {
    let table = Crontab::of("RANDOM_DELAY=30\n0 3 * * * one\n0 3 * * * two\n0 3 * * * three\n0 3 * * * four\n");
    let arguments = ["next", "--file", table.path(), "--json", "--from", "2026-01-01T00:00:00Z", "--count", "4"];
    let answer = ask(&arguments);
    let times: Vec<String> = answer.lines().iter().map(|line| json(line)["at"].to_string()).collect();
    assert!(
        times.iter().all(|at| at.as_str() >= "\"2026-01-01T03:00:00Z\"" && at.as_str() <= "\"2026-01-01T03:30:00Z\"")
    );
    assert!(times.is_sorted() && times.iter().any(|at| *at != times[0]), "{times:?}");
    assert_eq!(ask(&arguments).out, answer.out);
    // A run that is already delayed past its time is not lost.
    let first = times[0].trim_matches('"');
    let from = format!("{}:00Z", &first[..16]);
    let late = ask(&["next", "--file", table.path(), "--json", "--from", &from, "--count", "4"]);
    assert!(late.out.contains("2026-01-01T03:"), "{late:?}");
}

#[test]
fn a_faulty_line_costs_only_itself_and_the_exit_status() {
    let table = Crontab::of("0 24 * * * bad\n0 3 * * * good\n");
    let answer = ask(&["next", "--file", table.path(), "--from", "2026-01-01T00:00:00Z", "--count", "1"]);
    assert_eq!(answer.status, Some(1));
    assert!(answer.out.ends_with("  good\n"), "{answer:?}");
    assert!(answer.err.contains(&format!("{}:1:3: error: ", table.path())), "{answer:?}");
}

#[test]
fn a_faulty_expression_is_shown_with_its_place() {
    let answer = ask(&["next", "--expr", "0 24 * * *"]);
    assert_eq!((answer.status, answer.out.as_str()), (Some(1), ""));
    assert_eq!(answer.err.lines().next(), Some("expr:1:3: error: expected an hour from 0 to 23, found 24"));
    assert_eq!(answer.err.lines().nth(2), Some("    |   ^^"));
}

#[test]
fn standard_input_can_be_the_table() {
    let answer = ask_with(&["next", "--file", "-", "--json", "--count", "1"], "@daily x\n");
    assert_eq!(json(&answer.out)["command"], "x");
}

#[test]
fn without_a_source_it_is_what_the_daemon_would_load() {
    let machine = tempfile::tempdir().expect("a directory");
    let place = |name: &str| machine.path().join(name);
    std::fs::create_dir(place("spool")).expect("a spool");
    std::fs::create_dir(place("cron.d")).expect("a directory");
    let write = |path: PathBuf, text: &str, mode: u32| {
        use std::os::unix::fs::PermissionsExt;
        std::fs::write(&path, text).expect("a table");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    };
    write(place("spool").join(caller()), "@daily mine\n", 0o600);
    write(place("crontab"), "@daily root system\n", 0o644);
    write(place("cron.d").join("drop"), "@daily root drop\n", 0o644);
    write(place("cron.d").join("drop.bak"), "@daily root backup\n", 0o644);
    let (spool, crontab, cron_d) = (place("spool"), place("crontab"), place("cron.d"));
    let text = |path: &Path| path.to_str().expect("text").to_owned();
    let options = ["--profile", "debian", "--spool", &text(&spool), "--system-crontab", &text(&crontab)];
    let options = [&options[..], &["--cron-d", &text(&cron_d), "--run-dir", "/nowhere", "--state-dir", "/nowhere"]];
    let answer = ask(&[
        &["next", "--json", "--count", "100", "--until", "2100-01-01T00:00:00Z"],
        &options.concat()[..],
    ]
    .concat());
    assert_eq!(answer.status, Some(0), "{answer:?}");
    let mut commands: Vec<String> = answer.lines().iter().map(|line| json(line)["command"].to_string()).collect();
    commands.sort();
    commands.dedup();
    // System tables count when root owns them.
    let expected: &[&str] = if caller() == "root" { &["\"drop\"", "\"mine\"", "\"system\""] } else { &["\"mine\""] };
    assert_eq!(commands, expected);

    let answer = ask(&[&["next", "--user", &caller(), "--json", "--count", "1"], &options.concat()[..]].concat());
    let told = json(&answer.out);
    assert_eq!((&told["command"], &told["user"]), (&"mine".into(), &caller().into()));
    let nobody = ask(&[&["next", "--user", "nobody-of-that-name"], &options.concat()[..]].concat());
    assert_eq!((nobody.status, nobody.err.lines().count()), (Some(1), 1), "{nobody:?}");
    let climbing = ask(&[&["next", "--user", "../crontab"], &options.concat()[..]].concat());
    assert_eq!((climbing.status, climbing.out.as_str()), (Some(1), ""), "{climbing:?}");
}

#[test]
fn places_and_profile_come_from_the_settings_file_unless_the_command_line_says_otherwise() {
    let machine = tempfile::tempdir().expect("a directory");
    let config = machine.path().join("cronwheel.toml");
    let (here, there) = (machine.path().join("here"), machine.path().join("there"));
    for (spool, command) in [(&here, "here"), (&there, "there")] {
        use std::os::unix::fs::PermissionsExt;
        std::fs::create_dir(spool).expect("a spool");
        let table = spool.join(caller());
        std::fs::write(&table, format!("@daily {command}\n")).expect("a table");
        std::fs::set_permissions(&table, std::fs::Permissions::from_mode(0o600)).expect("a mode");
    }
    let text = format!("profile = \"cronie\"\nspool = {here:?}\nlog = \"stderr\"\n");
    std::fs::write(&config, text).expect("a settings file");
    let config = config.to_str().expect("text");
    let arguments = ["next", "--config", config, "--user", &caller(), "--count", "1"];
    assert!(ask(&arguments).out.ends_with("  here\n"));
    let there = there.to_str().expect("text");
    assert!(ask(&[&arguments[..], &["--spool", there]].concat()).out.ends_with("  there\n"));
    std::fs::write(config, "spol = 1\n").expect("a configuration");
    let unknown = ask(&["next", "--expr", "@daily", "--count", "1", "--config", config]);
    let warning = format!("{config}:1:1: warning: unknown key spol; did you mean spool?\n");
    assert_eq!((unknown.status, unknown.err), (Some(0), warning));
    std::fs::write(config, "cron_d = 1\n").expect("a configuration");
    let wrong = ask(&["next", "--expr", "@daily", "--count", "1", "--config", config]);
    let error = format!("cronctl: {config}:1:10: error: cron-d: expected a path in quotes, found 1\n");
    assert_eq!((wrong.status, wrong.err), (Some(1), error));
    let missing = ask(&["next", "--expr", "@daily", "--config", "/nowhere/cronwheel.toml"]);
    assert_eq!((missing.status, missing.err.lines().count()), (Some(1), 1), "{missing:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let mut child = start(&["next", "--expr", "* * * * *", "--count", "10000000"]);
    let mut first = String::new();
    BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
    let output = child.wait_with_output().expect("cronctl ends");
    assert!(first.ends_with("+00:00\n"));
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));
}

#[test]
fn a_file_is_read_in_the_form_that_it_has() {
    let from = ["--from", "2026-01-01T00:00:00Z", "--count", "1"];
    let next = |path: &str| ask(&[&["next", path], &from[..]].concat());
    // A field behind the schedule that names a user throughout; with settings, nicknames and comments.
    let system = Crontab::of("# of the system\nSHELL=/bin/sh\n\n@hourly root one\n*/20 * * * * nobody two\n");
    let answer = next(system.path());
    assert_eq!(answer.lines(), ["2026-01-01T00:20:00+00:00  nobody  two"], "{answer:?}");
    let told = format!("cronctl: {}: read as a system table, whose entries name a user\n", system.path());
    assert_eq!((answer.err.as_str(), answer.status), (told.as_str(), Some(0)));
    // Nothing is said where that was asked for.
    let asked = ask(&[&["next", "--system", system.path()], &from[..]].concat());
    assert_eq!((asked.out.as_str(), asked.err.as_str()), (answer.out.as_str(), ""));
    // One entry that names nobody makes it a table of a user, as does a table that would be faulty.
    for text in ["*/20 * * * * nobody two\n0 1 * * * /bin/one\n", "*/20 * * * * sync\n", "*/20 * * * * nobodyx two\n"] {
        let user = Crontab::of(text);
        let answer = next(user.path());
        let command = text.lines().next().unwrap().strip_prefix("*/20 * * * * ").unwrap();
        assert!(answer.lines()[0].ends_with(command) && answer.err.is_empty(), "{answer:?}");
    }
    // A user that has the name of a program, as sync does, is more probably the command.
    let ambiguous = Crontab::of("*/20 * * * * sync -f /\n");
    let answer = next(ambiguous.path());
    assert!(answer.lines()[0].ends_with("  sync -f /") && answer.err.is_empty(), "{answer:?}");
    // From standard input, too.
    let answer = ask_with(&[&["next", "-"], &from[..]].concat(), "*/20 * * * * nobody two\n");
    assert!(
        answer.out.ends_with("  nobody  two\n") && answer.err.contains("standard input: read as a system"),
        "{answer:?}"
    );

    // By its place.
    let directory = tempfile::tempdir().unwrap();
    let cron_d = directory.path().join("cron.d");
    std::fs::create_dir(&cron_d).unwrap();
    let file = cron_d.join("job");
    std::fs::write(&file, "*/20 * * * * nosuchuser two\n").unwrap();
    let path = file.to_str().unwrap();
    let answer = next(path);
    assert!(answer.out.ends_with("  nosuchuser  two\n") && answer.err.contains("read as a system table"), "{answer:?}");
    let range = ["--tz", "UTC", "--from", "2026-01-01T00:00:00Z", "--until", "2026-01-01T00:20:00Z"];
    let answer = ask(&[&["simulate", path], &range[..]].concat());
    assert!(answer.out.ends_with("  1  two\n") && answer.err.contains("read as a system table"), "{answer:?}");
    let answer = ask(&[&["timeline", path], &range[2..]].concat());
    assert!(answer.out.contains("nosuchuser") && answer.err.contains("read as a system table"), "{answer:?}");
    let answer = ask(&["check", path]);
    assert_eq!(answer.out, format!("{path}: 1 entry, 0 errors, 1 warning\n"), "{answer:?}");

    // An anacrontab has no times, but it can be checked.
    let file = directory.path().join("anacrontab");
    std::fs::write(&file, "SHELL=/bin/sh\n1 5 daily run-parts /etc/cron.daily\n7 x weekly true\n").unwrap();
    let path = file.to_str().unwrap();
    let answer = ask(&["check", path]);
    assert_eq!((answer.out, answer.status), (format!("{path}: 1 entry, 1 error, 0 warnings\n"), Some(1)));
    std::fs::write(&file, "#\n".repeat(40 << 10)).unwrap();
    let answer = ask(&["check", path]);
    assert!(answer.status == Some(1) && answer.err.contains("larger than 65536 bytes"), "{answer:?}");
    let answer = next(path);
    assert!(answer.status == Some(1) && answer.err.contains("an anacrontab says after how many days"), "{answer:?}");
}
