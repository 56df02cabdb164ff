//! What interface.md promises about `cronctl`, asked of the built program. No root needed.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

/// What came of a call.
#[derive(Debug)]
struct Answer {
    status: Option<i32>,
    out: String,
    err: String,
}

impl Answer {
    fn lines(&self) -> Vec<&str> {
        self.out.lines().collect()
    }
}

/// `cronctl` on a machine whose zone is UTC and whose terminal has 80 columns.
fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cronctl"));
    command.args(arguments).env("TZ", "UTC").env("COLUMNS", "80").env_remove("NO_COLOR");
    command
}

fn start(arguments: &[&str]) -> Child {
    let all = || Stdio::piped();
    program(arguments).stdin(all()).stdout(all()).stderr(all()).spawn().expect("cronctl starts")
}

fn ask_with(arguments: &[&str], input: &str) -> Answer {
    let mut child = start(arguments);
    let mut stdin = child.stdin.take().expect("a pipe");
    let input = input.to_owned();
    // A long answer must not wait for a long question, nor the other way round.
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().expect("cronctl ends");
    // A program that does not read its input closes the pipe, which is no concern of this test.
    let _ = writer.join().expect("the writer ends");
    Answer {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).expect("text"),
        err: String::from_utf8(output.stderr).expect("text"),
    }
}

fn ask(arguments: &[&str]) -> Answer {
    ask_with(arguments, "")
}

/// A directory with one table in it.
struct Table {
    _directory: TempDir,
    path: PathBuf,
}

impl Table {
    fn of(text: &str) -> Table {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("table");
        std::fs::write(&path, text).expect("a table");
        Table { _directory: directory, path }
    }

    fn path(&self) -> &str {
        self.path.to_str().expect("text")
    }
}

fn caller() -> String {
    let output = Command::new("id").arg("-un").output().expect("id runs");
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

fn json(line: &str) -> serde_json::Value {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

mod next {
    use super::*;

    #[test]
    fn an_expression_is_told_by_the_instant_alone_in_its_zone() {
        let berlin = ["--tz", "Europe/Berlin", "--from", "2026-03-28T12:00:00Z", "--count", "3"];
        let answer = ask(&[&["next", "--expr", "30 2 * * *"], &berlin[..]].concat());
        assert_eq!(
            answer.lines(),
            ["2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00", "2026-03-31T02:30:00+02:00"]
        );
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
        let table = Table::of("*/20 * * * * root twenty\n*/15 * * * * nobody fifteen % x\n");
        let answer =
            ask(&["next", "--file", table.path(), "--system", "--from", "2026-01-01T00:00:00Z", "--count", "5"]);
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
        let table = Table::of("0 * * * * first\n0 * * * * second\n0 * * * * third\n");
        let answer = ask(&["next", "--file", table.path(), "--from", "2026-01-01T00:00:00Z", "--count", "3"]);
        let commands: Vec<_> = answer.lines().iter().map(|line| line.rsplit("  ").next().unwrap_or("")).collect();
        assert_eq!(commands, ["first", "second", "third"]);
    }

    #[test]
    fn each_entry_is_shown_in_its_own_zone() {
        let table =
            Table::of("0 12 * * * here\nCRON_TZ=Asia/Kathmandu\n0 12 * * * there\nCRON_TZ=local\n1 12 * * * again\n");
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
                format!("2026-01-01T12:00:00+05:45  {user}  there"),
                format!("2026-01-01T12:00:00-05:00  {user}  here"),
                format!("2026-01-01T12:01:00-05:00  {user}  again"),
            ]
        );
    }

    #[test]
    fn json_has_utc_and_everything_that_is_known() {
        let table = Table::of("# top\nCRON_TZ=Europe/Berlin\n30 2 * * * root backup \"now\"\n");
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
        let table = Table::of("RANDOM_DELAY=30\n0 3 * * * one\n0 3 * * * two\n0 3 * * * three\n0 3 * * * four\n");
        let arguments = ["next", "--file", table.path(), "--json", "--from", "2026-01-01T00:00:00Z", "--count", "4"];
        let answer = ask(&arguments);
        let times: Vec<String> = answer.lines().iter().map(|line| json(line)["at"].to_string()).collect();
        assert!(
            times
                .iter()
                .all(|at| at.as_str() >= "\"2026-01-01T03:00:00Z\"" && at.as_str() < "\"2026-01-01T03:30:00Z\"")
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
        let table = Table::of("0 24 * * * bad\n0 3 * * * good\n");
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
        let answer =
            ask(&[&["next", "--json", "--count", "100", "--until", "2100-01-01T00:00:00Z"], &options.concat()[..]]
                .concat());
        assert_eq!(answer.status, Some(0), "{answer:?}");
        let mut commands: Vec<String> = answer.lines().iter().map(|line| json(line)["command"].to_string()).collect();
        commands.sort();
        commands.dedup();
        // System tables count when root owns them.
        let expected: &[&str] =
            if caller() == "root" { &["\"drop\"", "\"mine\"", "\"system\""] } else { &["\"mine\""] };
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
}

mod command_line {
    use super::*;

    #[test]
    fn a_wrong_command_line_is_one_line_and_status_two() {
        for arguments in [
            &[][..],
            &["list"],
            &["--no-such-option"],
            &["next", "--no-such-option"],
            &["next", "--count", "many"],
            &["next", "--count", "-1"],
            &["next", "--from", "tomorrow"],
            &["next", "--until", "2026-01-01"],
            &["next", "--expr", "@daily", "--file", "x"],
            &["next", "--expr", "@daily", "--user", "root"],
            &["next", "--expr", "@daily", "--system"],
            &["next", "--system"],
            &["timeline", "--system"],
            &["timeline", "--user", "root", "--system"],
            &["next", "--expr", "@daily", "--tz", "Europe/Nowhere"],
            &["next", "--expr", "@daily", "--tz", "../../etc/passwd"],
            &["next", "--batch", "--expr", "@daily"],
            &["next", "--profile", "vixie"],
            &["next", "--expr", "@daily", "--from", "2026-01-02T00:00:00Z", "--until", "2026-01-01T00:00:00Z"],
            &["check"],
            &["check", "--batch", "file"],
            &["explain"],
            &["simulate", "--file", "x", "--tz", "UTC", "--from", "2026-01-01T00:00:00Z"],
            &["simulate", "--tz", "UTC", "--from", "2026-01-01T00:00:00Z", "--until", "2026-01-02T00:00:00Z"],
            &["timeline", "some"],
        ] {
            let answer = ask(arguments);
            assert_eq!((answer.status, answer.out.as_str()), (Some(2), ""), "{arguments:?} {answer:?}");
            assert!(answer.err.starts_with("cronctl: ") && answer.err.lines().count() == 1, "{arguments:?} {answer:?}");
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_a_fault() {
        for verb in [&["next", "--file", "/nowhere"][..], &["check", "/nowhere"], &["timeline", "--file", "/nowhere"]] {
            let answer = ask(verb);
            assert_eq!((answer.status, answer.out.as_str()), (Some(1), ""), "{verb:?}");
            assert!(answer.err.starts_with("cronctl: reading /nowhere: ") && answer.err.lines().count() == 1);
        }
    }

    #[test]
    fn help_names_every_verb_and_ends_with_examples() {
        let answer = ask(&["--help"]);
        for verb in ["next", "check", "explain", "simulate", "timeline"] {
            assert!(answer.out.contains(&format!("\n  {verb} ")), "{verb}");
            let page = ask(&[verb, "--help"]);
            assert!(
                page.status == Some(0) && page.out.contains("\nExamples:\n  cronctl ")
                    || page.out.contains("crontab -l |"),
                "{verb}"
            );
        }
        assert!(!answer.out.contains("resume") && answer.status == Some(0));
        assert_eq!(ask(&["--version"]).out, format!("cronctl {}\n", env!("CARGO_PKG_VERSION")));
    }

    #[test]
    fn help_shows_the_paths_of_the_profile() {
        for (profile, spool) in [("debian", "/var/spool/cron/crontabs"), ("cronie", "/var/spool/cron")] {
            let page = ask(&["next", "--profile", profile, "--help"]);
            assert!(page.out.contains(&format!("default: {spool}\n")), "{page:?}");
        }
    }
}

mod batch {
    use super::*;

    fn answers(arguments: &[&str], questions: &str) -> Vec<String> {
        let answer = ask_with(arguments, questions);
        assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""), "{answer:?}");
        answer.out.lines().map(str::to_owned).collect()
    }

    #[test]
    fn each_question_gets_its_line() {
        let from = r#""from":"2026-03-28T12:00:00Z""#;
        for (question, answer) in [
            (
                format!(r#"{{"id":7,"expr":"30 2 * * *","tz":"Europe/Berlin",{from},"count":3}}"#),
                r#"{"id":7,"next":["2026-03-29T01:00:00Z","2026-03-30T00:30:00Z","2026-03-31T00:30:00Z"]}"#,
            ),
            (
                format!(
                    r#"{{"id":8,"expr":"30 2,3 * * *","tz":"Europe/Berlin","from":"2026-10-24T12:00:00Z","count":3}}"#
                ),
                r#"{"id":8,"next":["2026-10-25T00:30:00Z","2026-10-25T02:30:00Z","2026-10-26T01:30:00Z"]}"#,
            ),
            // Two skipped times that are made up for at the end of one gap are one instant.
            (
                format!(r#"{{"id":9,"expr":"10,50 2 * * *","tz":"Europe/Berlin",{from},"count":2}}"#),
                r#"{"id":9,"next":["2026-03-29T01:00:00Z","2026-03-30T00:10:00Z"]}"#,
            ),
            (format!(r#"{{"id":1,"expr":"@reboot",{from}}}"#), r#"{"id":1,"next":[]}"#),
            (format!(r#"{{"id":1,"expr":"0 0 30 2 *",{from}}}"#), r#"{"id":1,"next":[]}"#),
            (format!(r#"{{"id":1,"expr":"@daily",{from},"count":0}}"#), r#"{"id":1,"next":[]}"#),
            (
                format!(r#"{{"id":1,"expr":"@90s",{from},"count":3}}"#),
                r#"{"id":1,"next":["2026-03-28T12:01:30Z","2026-03-28T12:03:00Z","2026-03-28T12:04:30Z"]}"#,
            ),
            (format!(r#"{{"id":1,"expr":"@2h",{from},"count":1}}"#), r#"{"id":1,"next":["2026-03-28T14:00:00Z"]}"#),
            (
                format!(r#"{{"id":1,"expr":"@quartz 30 0 12 1 1 ? 2026-2027",{from}}}"#),
                r#"{"id":1,"next":["2027-01-01T12:00:30Z"]}"#,
            ),
            (
                format!(r#"{{"id":1,"expr":"0 0 * * *","tz":null,{from},"count":1}}"#),
                r#"{"id":1,"next":["2026-03-29T00:00:00Z"]}"#,
            ),
        ] {
            assert_eq!(answers(&["next", "--batch"], &format!("{question}\n")), [answer], "{question}");
        }
    }

    #[test]
    fn the_id_comes_back_as_it_was_given() {
        for id in [
            "7",
            "-1.50e3",
            "\"a\\u00e9\\n\"",
            "null",
            "true",
            "[1, 2]",
            "{\"b\":1,\"a\":2}",
            "123456789012345678901234567890",
        ] {
            let question = format!("{{\"expr\":\"@reboot\",\"id\":{id}}}\n{{\"id\":{id}}}\n");
            let lines = answers(&["next", "--batch"], &question);
            assert_eq!(lines[0], format!("{{\"id\":{id},\"next\":[]}}"));
            assert!(lines[1].starts_with(&format!("{{\"id\":{id},\"error\":\"")), "{}", lines[1]);
        }
        assert_eq!(answers(&["next", "--batch"], "{\"expr\":\"@reboot\"}\n"), [r#"{"id":null,"next":[]}"#]);
    }

    #[test]
    fn a_question_without_an_answer_gets_an_error_and_the_next_one_its_answer() {
        for question in [
            r#"{"id":7,"expr":"61 * * * *"}"#,
            r#"{"id":7,"expr":""}"#,
            r#"{"id":7,"expr":"* * * * * command"}"#,
            r#"{"id":7,"expr":"@nonsense"}"#,
            r#"{"id":7,"expr":5}"#,
            r#"{"id":7}"#,
            r#"{"id":7,"expr":"@daily","tz":"Mars/Olympus"}"#,
            r#"{"id":7,"expr":"@daily","tz":7}"#,
            r#"{"id":7,"expr":"@daily","from":"yesterday"}"#,
            r#"{"id":7,"expr":"@daily","count":-1}"#,
            r#"{"id":7,"expr":"@daily","count":"5"}"#,
        ] {
            let lines = answers(&["next", "--batch"], &format!("{question}\n{{\"id\":8,\"expr\":\"@reboot\"}}\n"));
            assert_eq!(lines.len(), 2, "{question}");
            let told = json(&lines[0]);
            assert!(told["id"] == 7 && told["error"].is_string() && told.get("next").is_none(), "{question}: {told}");
            assert_eq!(lines[1], r#"{"id":8,"next":[]}"#);
        }
    }

    #[test]
    fn a_line_that_is_no_json_object_has_no_id() {
        for verb in ["next", "check"] {
            for line in
                ["", " ", "nonsense", "{", "{\"id\":7,", "{\"id\":7} x", "[7,\"@daily\"]", "7", "null", "\u{7f}"]
            {
                let lines = answers(&[verb, "--batch"], &format!("{line}\n"));
                assert_eq!(lines.len(), 1, "{line}");
                let told = json(&lines[0]);
                assert!(told["id"].is_null() && told["error"].is_string(), "{verb} {line:?}: {told}");
            }
            assert_eq!(answers(&[verb, "--batch"], ""), [""; 0]);
        }
    }

    #[test]
    fn what_a_question_leaves_out_comes_from_the_command_line() {
        let arguments = ["next", "--batch", "--tz", "Asia/Tokyo", "--from", "2026-01-01T00:00:00Z", "--count", "1"];
        let lines = answers(&arguments, "{\"id\":1,\"expr\":\"0 12 * * *\"}");
        assert_eq!(lines, [r#"{"id":1,"next":["2026-01-01T03:00:00Z"]}"#]);
        let ten = answers(&["next", "--batch"], "{\"id\":1,\"expr\":\"* * * * *\"}\n");
        assert_eq!(json(&ten[0])["next"].as_array().map(Vec::len), Some(10));
    }

    #[test]
    fn an_answer_comes_before_the_next_question_is_asked() {
        for (verb, question, answer) in [
            ("next", r#"{"id":1,"expr":"@reboot"}"#, r#"{"id":1,"next":[]}"#),
            ("check", r#"{"id":1,"line":"@daily x"}"#, r#"{"id":1,"ok":true,"entries":1,"warnings":[]}"#),
        ] {
            let mut child = start(&[verb, "--batch"]);
            let (mut stdin, stdout) = (child.stdin.take().expect("a pipe"), child.stdout.take().expect("a pipe"));
            let mut stdout = BufReader::new(stdout);
            for _ in 0..3 {
                // In two pieces, as a pipe may have it.
                let (begin, rest) = question.split_at(9);
                stdin.write_all(begin.as_bytes()).and_then(|()| stdin.flush()).expect("a question");
                stdin.write_all(format!("{rest}\n").as_bytes()).and_then(|()| stdin.flush()).expect("a question");
                let mut line = String::new();
                stdout.read_line(&mut line).expect("an answer");
                assert_eq!(line.trim_end(), answer);
            }
            drop(stdin);
            let mut rest = String::new();
            stdout.read_to_string(&mut rest).expect("the end");
            assert_eq!((rest.as_str(), child.wait().expect("an end").code()), ("", Some(0)));
        }
    }

    #[test]
    fn many_questions_are_answered_in_their_order() {
        let questions: String =
            (0..20_000).map(|id| format!("{{\"id\":{id},\"expr\":\"{} * * * *\",\"count\":1}}\n", id % 60)).collect();
        let lines = answers(&["next", "--batch"], &questions);
        assert_eq!(lines.len(), 20_000);
        for (id, line) in lines.iter().enumerate() {
            assert!(line.starts_with(&format!("{{\"id\":{id},\"next\":[\"")), "{line}");
            assert!(line.ends_with(&format!(":{:02}:00Z\"]}}", id % 60)), "{line}");
        }
    }
}

mod check {
    use super::*;

    #[test]
    fn each_table_gets_its_line_and_its_diagnostics() {
        for (text, system, status, summary) in [
            ("", false, 0, "0 entries, 0 errors, 0 warnings"),
            ("@daily x\n", false, 0, "1 entry, 0 errors, 0 warnings"),
            ("A=1\n@daily x\n@daily y\n0 0 30 2 * never\n", false, 0, "3 entries, 0 errors, 1 warning"),
            ("0 24 * * * x\n@daily y\n", false, 1, "1 entry, 1 error, 0 warnings"),
            ("0 24 * * * x\n61 * * * * y\n", false, 1, "0 entries, 2 errors, 0 warnings"),
            ("@daily x", false, 1, "1 entry, 1 error, 0 warnings"),
            ("@daily root x\n", true, 0, "1 entry, 0 errors, 0 warnings"),
            ("@daily no-such-user-here x\n", true, 0, "1 entry, 0 errors, 1 warning"),
        ] {
            let table = Table::of(text);
            let arguments = if system { vec!["check", "--system", table.path()] } else { vec!["check", table.path()] };
            let answer = ask(&arguments);
            assert_eq!(answer.out, format!("{}: {summary}\n", table.path()), "{text:?} {}", answer.err);
            assert_eq!(answer.status, Some(status), "{text:?}");
            assert_eq!(answer.err.is_empty(), summary.ends_with("0 errors, 0 warnings"), "{text:?}");
        }
    }

    #[test]
    fn nobody_listening_to_the_diagnostics_changes_nothing() {
        let table = Table::of("0 24 * * * x\n");
        let mut child = start(&["check", table.path()]);
        drop(child.stderr.take());
        let output = child.wait_with_output().expect("cronctl ends");
        assert_eq!(output.status.code(), Some(1));
        assert!(output.stdout.ends_with(b": 0 entries, 1 error, 0 warnings\n"));
    }

    #[test]
    fn a_diagnostic_is_the_picture_of_the_interface() {
        let table = Table::of("# a\n#\n#\n#\n#\n#\n0 24 * * * root /usr/local/bin/backup\n");
        let answer = ask(&["check", "--system", table.path()]);
        let picture = "7:3: error: expected an hour from 0 to 23, found 24
  7 | 0 24 * * * root /usr/local/bin/backup
    |   ^^
    = help: midnight is hour 0
";
        assert_eq!(answer.err, format!("{}:{picture}", table.path()));
    }

    #[test]
    fn an_unknown_user_is_marked_in_its_line() {
        let table = Table::of("@daily root x\n  5 4 * * *\tno-such-user-here\tx\n");
        let answer = ask(&["check", "--system", table.path()]);
        let first = answer.err.lines().next().unwrap_or("");
        assert!(first.starts_with(&format!("{}:2:13: warning: ", table.path())), "{first}");
    }

    #[test]
    fn several_files_and_standard_input_are_checked_in_their_order() {
        let table = Table::of("@daily x\n");
        let answer = ask_with(&["check", table.path(), "/nowhere", "-"], "0 24 * * * x\n");
        let expected = format!("{}: 1 entry, 0 errors, 0 warnings\n-: 0 entries, 1 error, 0 warnings\n", table.path());
        assert_eq!((answer.out, answer.status), (expected, Some(1)));
        assert!(answer.err.contains("-:1:3: error: "), "{}", answer.err);
    }

    #[test]
    fn a_batch_says_whether_crontab_would_install_it_and_what_would_run() {
        for (question, expected) in [
            (
                r#"{"id":7,"kind":"user","text":"A=1\n@daily x\n@daily y\n"}"#,
                r#"{"id":7,"ok":true,"entries":2,"warnings":[]}"#,
            ),
            (r#"{"id":"x","kind":"user","line":"@daily x"}"#, r#"{"id":"x","ok":true,"entries":1,"warnings":[]}"#),
            (r#"{"id":7,"kind":"system","line":"@daily root x"}"#, r#"{"id":7,"ok":true,"entries":1,"warnings":[]}"#),
            (
                r#"{"id":7,"kind":"user","text":"@daily x\n\t5 24 * * * y\n"}"#,
                r#"{"id":7,"ok":false,"entries":1,"errors":[{"line":2,"column":4,"message":"expected an hour from 0 to 23, found 24"}]}"#,
            ),
        ] {
            let answer = ask_with(&["check", "--batch"], &format!("{question}\n"));
            assert_eq!((answer.out.trim_end(), answer.status), (expected, Some(0)), "{question}");
        }
    }

    #[test]
    fn a_batch_counts_what_runs_all_the_same() {
        for (question, ok, entries, told) in [
            (r#"{"id":1,"kind":"user","text":"@daily x"}"#, false, 1, "errors"),
            (r#"{"id":1,"kind":"system","line":"@daily no-such-user-here x"}"#, true, 1, "warnings"),
            (r#"{"id":1,"kind":"user","line":"0 0 30 2 * x"}"#, true, 1, "warnings"),
            (r#"{"id":1,"kind":"user","line":"* * * * *"}"#, false, 0, "errors"),
        ] {
            let answer = ask_with(&["check", "--batch"], &format!("{question}\n"));
            let answer = json(&answer.out);
            assert_eq!((&answer["ok"], &answer["entries"]), (&ok.into(), &entries.into()), "{question}: {answer}");
            let places = answer[told].as_array().unwrap_or_else(|| panic!("{answer}"));
            assert_eq!(places.len(), 1, "{answer}");
            assert!(places[0]["line"] == 1 && places[0]["column"].is_u64() && places[0]["message"].is_string());
        }
    }

    #[test]
    fn a_wrong_question_keeps_its_id() {
        for question in [
            r#"{"id":7}"#,
            r#"{"id":7,"text":5}"#,
            r#"{"id":7,"kind":"root","line":"@daily x"}"#,
            r#"{"id":7,"kind":1,"line":"@daily x"}"#,
            r#"{"id":7,"text":"","line":""}"#,
        ] {
            let answer = ask_with(&["check", "--batch"], &format!("{question}\n"));
            let answer = json(&answer.out);
            assert!(answer["id"] == 7 && answer["error"].is_string(), "{question}: {answer}");
        }
    }
}

mod explain {
    use super::*;

    fn explain(arguments: &[&str]) -> Answer {
        ask(&[&["explain", "--from", "2026-11-22T12:00:00Z"], arguments].concat())
    }

    #[test]
    fn a_schedule_comes_in_english_with_its_next_five_runs() {
        let answer = explain(&["--tz", "Europe/Berlin", "30 2 * * 1-5"]);
        assert_eq!(answer.status, Some(0));
        assert_eq!(answer.lines()[0], "At 02:30 on every weekday");
        let runs: Vec<&str> = answer.lines().iter().filter_map(|line| line.strip_prefix("  2026-")).collect();
        assert_eq!(
            runs,
            [
                "11-23T02:30:00+01:00",
                "11-24T02:30:00+01:00",
                "11-25T02:30:00+01:00",
                "11-26T02:30:00+01:00",
                "11-27T02:30:00+01:00"
            ]
        );
    }

    #[test]
    fn words_and_one_quoted_word_are_the_same() {
        let quoted = explain(&["30 2 * * 1-5"]);
        assert_eq!(quoted.out, explain(&["30", "2", "*", "*", "1-5"]).out);
        let several = explain(&["@daily", "@weekly"]);
        assert_eq!(several.lines().iter().filter(|line| line.starts_with("Next runs")).count(), 2);
    }

    #[test]
    fn a_gap_ahead_is_foretold() {
        let answer = explain(&["--tz", "Europe/Berlin", "30 2 * * *"]);
        assert!(
            answer.out.contains("On 2027-03-28 this time does not exist in Europe/Berlin: runs at 03:00"),
            "{}",
            answer.out
        );
    }

    #[test]
    fn two_day_fields_of_which_either_counts_are_pointed_out() {
        for (expression, pointed_out) in [
            ("0 4 1 * sun", true),
            ("0 4 L * fri", true),
            ("0 4 1 * *", false),
            ("0 4 */2 * sun", false),
            ("0 4 1-31 * sun", false),
            ("@monthly", false),
        ] {
            let answer = explain(&[expression]);
            assert_eq!(answer.out.contains("either is enough"), pointed_out, "{expression}: {}", answer.out);
        }
    }

    #[test]
    fn a_schedule_that_never_matches_says_so() {
        let answer = explain(&["0 0 30 2 *"]);
        assert!(answer.status == Some(0) && answer.out.contains("never"), "{answer:?}");
    }

    #[test]
    fn a_fault_is_a_diagnostic() {
        let answer = explain(&["0 24 * * *"]);
        assert_eq!((answer.status, answer.out.as_str()), (Some(1), ""));
        assert!(answer.err.starts_with("expr:1:3: error: expected an hour from 0 to 23, found 24\n"), "{}", answer.err);
    }
}

mod simulate {
    use super::*;

    fn simulate(table: &str, arguments: &[&str]) -> Answer {
        let table = Table::of(table);
        ask(&[&["simulate", "--file", table.path()], arguments].concat())
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
}

mod timeline {
    use super::*;

    const DAY: [&str; 4] = ["--from", "2026-11-22T00:00:00Z", "--until", "2026-11-23T00:00:00Z"];
    const TABLE: &str =
        "*/5 * * * * <five> & 'more'\n0 3 * * * night\n0 3 * * * night too\n0 3 * * * third\n0 0 1 1 * yearly\n";

    fn draw(arguments: &[&str]) -> Answer {
        let table = Table::of(TABLE);
        ask(&[&["timeline", "--file", table.path()], &DAY[..], arguments].concat())
    }

    #[test]
    fn rows_of_blocks_stand_under_the_hours_and_fit_the_terminal() {
        let answer = draw(&[]);
        assert_eq!((answer.status, answer.err.as_str()), (Some(0), ""));
        assert!(answer.lines().iter().all(|line| line.chars().count() <= 80), "{}", answer.out);
        assert!(answer.lines()[0].contains("2026-11-22 00:00") && answer.lines()[0].contains("UTC"));
        let row =
            |command: &str| answer.lines().into_iter().find(|line| line.contains(command)).unwrap_or("").to_owned();
        let blocks = |line: &str| line.chars().filter(|c| ('▁'..='█').contains(c)).count();
        assert!(blocks(&row("<five>")) > 20 && blocks(&row("night too")) == 1, "{}", answer.out);
        assert!(answer.out.contains("12:00") && !answer.out.contains('\u{1b}'));
        assert!(answer.out.contains("1 more entry does not run in this time"), "{}", answer.out);
    }

    #[test]
    fn crowded_minutes_and_quiet_times_are_named() {
        let answer = draw(&[]);
        assert!(answer.out.contains("crowded: 03:00 4 starts"), "{}", answer.out);
        let night = Table::of("0 3 * * * a\n30 20 * * * b\n");
        let answer = ask(&[&["timeline", "--file", night.path()], &DAY[..]].concat());
        assert!(answer.out.contains("03:01-20:30 17 h 29 min"), "{}", answer.out);
    }

    #[test]
    fn the_picture_is_a_well_formed_file_with_its_texts_escaped() {
        let answer = draw(&["--svg", "-", "--tz", "Europe/Berlin"]);
        assert_eq!(answer.status, Some(0));
        assert!(answer.out.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\""));
        for text in [
            "Europe/Berlin",
            "2026-11-22 01:00",
            "&lt;five&gt; &amp; &#39;more&#39;",
            "<title>",
            "prefers-color-scheme",
        ] {
            assert!(answer.out.contains(text), "{text}");
        }
        assert!(!answer.out.contains("<five>") && !answer.out.contains("http://www.w3.org/1999"));
        let mut open: Vec<&str> = Vec::new();
        for tag in answer.out.split('<').skip(1).filter_map(|rest| rest.split('>').next()) {
            let name = tag.trim_start_matches('/').split(char::is_whitespace).next().unwrap_or("");
            if tag.starts_with('/') {
                assert_eq!(open.pop(), Some(name), "{tag}");
            } else if !tag.ends_with('/') {
                open.push(name);
            }
        }
        assert_eq!(open, [""; 0]);
    }

    #[test]
    fn the_picture_goes_into_the_file_that_was_named() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("day.svg");
        let answer = draw(&["--svg", path.to_str().expect("text")]);
        assert_eq!((answer.status, answer.out.as_str()), (Some(0), ""));
        assert!(std::fs::read_to_string(&path).expect("a picture").ends_with("</svg>\n"));
        let answer = draw(&["--svg", "/nowhere/day.svg"]);
        assert_eq!((answer.status, answer.err.lines().count()), (Some(1), 1), "{answer:?}");
    }
}
