//! Whole tables: what holds for which lines, what a fault costs, where the limits are.

use super::cases_tests::parse;
use super::line::LONGEST_LINE;
use super::*;
use crate::profile::{CRONIE, DEBIAN, Profile};
use crate::schedule::Zone;
use std::sync::Arc;

fn commands(parsed: &Parsed) -> Vec<String> {
    let table = &parsed.table;
    table.entries.iter().map(|entry| String::from_utf8_lossy(table.command(entry)).into_owned()).collect()
}

fn said(parsed: &Parsed) -> Vec<(Severity, usize, usize, String)> {
    parsed.diagnostics.iter().map(|d| (d.severity, d.line, d.column, d.message.clone())).collect()
}

#[test]
fn a_bad_line_costs_only_itself() {
    let parsed = parse(Form::User, &DEBIAN, b"* * * * * a\n* 24 * * * b\nX='\n* * * * * c\n");
    assert_eq!(commands(&parsed), ["a", "c"]);
    assert_eq!(parsed.diagnostics.iter().map(|d| d.line).collect::<Vec<_>>(), [2, 3]);
    assert!(!parsed.is_ok());
    assert_eq!((parsed.errors().count(), parsed.warnings().count()), (2, 0));
}

#[test]
fn an_entry_knows_its_texts_line_and_flags() {
    let text = "# two\n\n  -0 3 * * *\troot\t-n -s  backup --all \n@daily  www-data x\n";
    let parsed = parse(Form::System, &CRONIE, text.as_bytes());
    assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
    let table = &parsed.table;
    let texts: Vec<(&[u8], Option<&str>, &[u8])> =
        table.entries.iter().map(|e| (&*table.timing(e).text, e.user.as_deref(), table.command(e))).collect();
    assert_eq!(texts[0], (&b"0 3 * * *"[..], Some("root"), &b"backup --all "[..]));
    assert_eq!(texts[1], (&b"@daily"[..], Some("www-data"), &b"x"[..]));
    assert_eq!((table.entries[0].line, table.entries[1].line), (3, 4));
    assert_eq!(table.entries[0].flags, Flags { mail_only_on_failure: true, quiet: true, single: true });
    assert_eq!(table.entries[1].flags, Flags::default());
}

#[test]
fn a_setting_holds_for_the_lines_below_it_and_the_last_one_counts() {
    let parsed = parse(Form::User, &DEBIAN, b"A=1\n* * * * * x\nB=2\nA=3\n* * * * * y\nA=\n");
    let table = &parsed.table;
    assert_eq!(table.variables(&table.entries[0]), [(&b"A"[..], &b"1"[..])]);
    assert_eq!(table.variables(&table.entries[1]), [(&b"A"[..], &b"3"[..]), (b"B", b"2")]);
    let first_settings = |settings| table.variables(&Entry { settings, ..table.entries[0].clone() });
    assert_eq!(first_settings(0), []);
    assert_eq!(first_settings(4), [(&b"A"[..], &b""[..]), (b"B", b"2")]);
    assert_eq!(first_settings(5), first_settings(4));
}

#[test]
fn a_zone_holds_until_the_next_and_an_unknown_one_stops_its_entries() {
    let text = b"* * * * * a\nCRON_TZ=Europe/Berlin\n* * * * * b\nCRON_TZ=Mars/Base\n* * * * * c\n* * * * * d\n\
                 CRON_TZ=Europe/Berlin\n* * * * * e\nCRON_TZ=local\n* * * * * f\nCRON_TZ=Mars/Base\n* * * * * g\n";
    let parsed = parse(Form::User, &CRONIE, text);
    assert_eq!(commands(&parsed), ["a", "b", "e", "f"]);
    let zones: Vec<Option<&Arc<Zone>>> =
        parsed.table.entries.iter().map(|e| parsed.table.timing(e).zone.as_ref()).collect();
    let names: Vec<Option<&str>> = zones.iter().map(|zone| zone.map(|zone| zone.name())).collect();
    assert_eq!(names, [None, Some("Europe/Berlin"), Some("Europe/Berlin"), None]);
    assert!(Arc::ptr_eq(zones[1].unwrap(), zones[2].unwrap()), "equal zones are kept once");
    let helps: Vec<String> = parsed.errors().map(|d| d.help.clone().unwrap_or_default()).collect();
    assert_eq!(helps.len(), 2);
    assert!(helps[0].contains("the 2 entries below it do not run"), "{}", helps[0]);
    assert!(helps[1].contains("the entry below it does not run"), "{}", helps[1]);
}

#[test]
fn a_zone_may_be_a_posix_rule_as_in_cronie() {
    let parsed =
        parse(Form::User, &CRONIE, b"CRON_TZ=CET-1CEST,M3.5.0,M10.5.0/3\n* * * * * x\nCRON_TZ=:UTC\n* * * * * y\n");
    assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
    let rule = Zone::from_posix("CET-1CEST,M3.5.0,M10.5.0/3").expect("a rule");
    assert_eq!(*parsed.table.timings[0].zone.clone().unwrap(), rule);
    assert_eq!(commands(&parsed), ["x", "y"]);
}

#[test]
fn a_delay_is_drawn_within_its_minutes_and_stays_when_lines_move() {
    let delays = |text: &str| -> Vec<u32> {
        let parsed = parse(Form::User, &DEBIAN, text.as_bytes());
        assert!(parsed.is_ok(), "{:?}", parsed.diagnostics);
        parsed.table.entries.iter().map(|entry| parsed.table.timing(entry).delay).collect()
    };
    let many: String = (0..200).map(|job| format!("0 3 * * * job {job}\n")).collect();
    let drawn = delays(&format!("RANDOM_DELAY=10\n{many}"));
    assert!(drawn.iter().all(|&delay| delay <= 600));
    assert!(drawn.iter().any(|&delay| delay > 300) && drawn.iter().any(|&delay| delay < 300), "{drawn:?}");
    assert_eq!(drawn, delays(&format!("\n# moved down\n  RANDOM_DELAY = '10'\n{many}")));
    let very_many: String = (0..2_000).map(|job| format!("0 3 * * * job {job}\n")).collect();
    assert_eq!(delays(&format!("RANDOM_DELAY=1\n{very_many}")).into_iter().max(), Some(60), "all of it can be drawn");
    assert_eq!(delays("RANDOM_DELAY=10\nRANDOM_DELAY=0\n0 3 * * * job 1\n"), [0]);
    assert_eq!(delays("0 3 * * * job 1\nRANDOM_DELAY=10\n"), [0]);
}

#[test]
fn a_wrong_delay_is_an_error_but_its_entries_run_on_time() {
    let parsed = parse(Form::User, &DEBIAN, b"RANDOM_DELAY=9\nRANDOM_DELAY=x\n0 3 * * * job\n");
    assert!(!parsed.is_ok());
    assert_eq!((commands(&parsed).len(), parsed.table.timings[0].delay), (1, 0));
}

#[test]
fn an_unsafe_mailto_is_refused_on_debian_and_warned_about_in_cronie() {
    for (value, debian, cronie) in [
        ("ann", None, None),
        ("-C/etc/shadow", Some(Severity::Error), Some(Severity::Warning)),
        ("\"a b\"", Some(Severity::Error), Some(Severity::Warning)),
        ("a;b", Some(Severity::Error), Some(Severity::Warning)),
        ("$OWNER", Some(Severity::Error), None),
    ] {
        for (profile, wanted) in [(&DEBIAN, debian), (&CRONIE, cronie)] {
            let parsed = parse(Form::User, profile, format!("MAILTO={value}\n* * * * * x\n").as_bytes());
            assert_eq!(parsed.diagnostics.first().map(|d| d.severity), wanted, "{} {value}", profile.name);
            assert_eq!(commands(&parsed), ["x"], "a faulty setting takes no job away");
        }
    }
}

#[test]
fn a_missing_newline_is_an_error_and_its_line_runs_all_the_same() {
    for (text, line, column, jobs) in
        [("* * * * * x", 1, 12, 1), ("* * * * * x\n* * * * * y", 2, 12, 2), ("A=b", 1, 4, 0), ("bad", 1, 4, 0)]
    {
        let parsed = parse(Form::User, &DEBIAN, text.as_bytes());
        let message = "missing newline before the end of the file".to_owned();
        assert_eq!(said(&parsed).pop(), Some((Severity::Error, line, column, message)), "{text:?}");
        assert_eq!(commands(&parsed).len(), jobs, "{text:?}");
    }
    for text in ["", "\n", "x=1\n", "# only a comment", "  # indented", "* * * * * x\n \t"] {
        assert!(parse(Form::User, &DEBIAN, text.as_bytes()).is_ok(), "{text:?}");
    }
}

#[test]
fn crlf_is_said_once_and_stays_in_the_command_only() {
    let parsed = parse(Form::User, &DEBIAN, b"# x\r\nA=b\r\nB='c'\r\n* * * * * x\r\n@daily y\r\n");
    assert!(parsed.is_ok());
    assert_eq!(parsed.diagnostics.len(), 1, "{:?}", parsed.diagnostics);
    assert!(parsed.diagnostics[0].message.contains("CRLF"));
    assert_eq!((parsed.diagnostics[0].line, parsed.diagnostics[0].column), (1, 4));
    assert_eq!(commands(&parsed), ["x\r", "y\r"]);
    let table = &parsed.table;
    assert_eq!(table.variables(&table.entries[0]), [(&b"A"[..], &b"b"[..]), (b"B", b"c")]);
    // A lone carriage return is no command, and no part of a user's name.
    for (form, line) in [
        (Form::User, "\r\n"),
        (Form::User, " \t\r\n"),
        (Form::User, "* * * * * \r\n"),
        (Form::User, "@daily\r\n"),
        (Form::System, "* * * * * root\r\n"),
    ] {
        let parsed = parse(form, &DEBIAN, line.as_bytes());
        assert_eq!((parsed.errors().count(), commands(&parsed).len()), (1, 0), "{line:?}");
    }
}

#[test]
fn a_byte_order_mark_and_nul_bytes_are_named() {
    let parsed =
        parse(Form::User, &DEBIAN, b"\xef\xbb\xbf* * * * * x\n* * * * * y\n* * * * * \0z\nA=\0\n* * * * * w\n");
    assert_eq!(commands(&parsed), ["y", "w"]);
    let said: Vec<_> = parsed.diagnostics.iter().map(|d| (d.line, d.column, d.severity)).collect();
    assert_eq!(said, [(1, 1, Severity::Error), (3, 11, Severity::Error), (4, 3, Severity::Error)]);
    assert!(parsed.diagnostics[0].message.contains("byte order mark"));
    assert!(parsed.diagnostics[1].message.contains("NUL"));
    assert!(parsed.diagnostics[1].picture("t").contains("* * * * * \\0z\n    |           ^^\n"));
}

#[test]
fn columns_count_characters() {
    for (line, column) in [("\u{e9}=1\t\t\n", 0), ("* * * * * \u{e9}\u{e9}%x\n", 13), ("\t*\t24 * * * x\n", 4)] {
        let parsed = parse(Form::User, &DEBIAN, line.as_bytes());
        assert_eq!(parsed.diagnostics.first().map_or(0, |d| d.column), column, "{line:?}");
    }
    let parsed = parse(Form::User, &DEBIAN, b"* * * * * \xe9\xff%x\n");
    assert_eq!(parsed.diagnostics[0].column, 13, "a byte that is not UTF-8 is one column");
}

#[test]
fn a_command_may_be_as_long_as_the_reference_allows_and_no_longer() {
    for (profile, most) in [(&DEBIAN, 998), (&CRONIE, 131_071)] {
        for form in [Form::User, Form::System] {
            let user = if form == Form::System { "root " } else { "" };
            let line = |len: usize| format!("* * * * * {user}{}\n", "x".repeat(len));
            let fits = parse(form, profile, line(most).as_bytes());
            assert!(fits.is_ok(), "{:?}", fits.diagnostics);
            assert_eq!(commands(&fits)[0].len(), most);
            let long = parse(form, profile, line(most + 1).as_bytes());
            assert_eq!((long.errors().count(), commands(&long).len()), (1, 0));
            assert!(long.diagnostics[0].message.contains(&most.to_string()));
        }
    }
}

#[test]
fn a_users_table_is_bounded_and_a_system_table_is_not() {
    /// Profile, unit of text, how many are allowed, what the message says.
    const ROWS: &[(&Profile, &str, usize, &str)] = &[
        (&DEBIAN, "* * * * * x\n", 10_000, "at most 10000 lines"),
        (&DEBIAN, "#\n", 10_000, "at most 10000 lines"),
        (&CRONIE, "* * * * * x\n", 10_000, "at most 10000 entries"),
        (&CRONIE, "bad\n", 10_000, "at most 10000 entries"),
        (&CRONIE, "A='\n", 10_000, "at most 10000 entries"),
        (&CRONIE, "A=b\n", 1_000, "at most 1000 settings"),
    ];
    for &(profile, unit, most, message) in ROWS {
        let fits = parse(Form::User, profile, unit.repeat(most).as_bytes());
        assert!(!fits.diagnostics.iter().any(|d| d.message.contains("at most")), "{} {unit:?}", profile.name);
        let more = parse(Form::User, profile, (unit.repeat(most + 1) + "* * * * * last\n").as_bytes());
        let last = more.diagnostics.last().expect("something is said");
        assert!(last.message.contains(message), "{} {unit:?}: {}", profile.name, last.message);
        assert_eq!(last.line, most + 1);
        assert_eq!(last.severity, Severity::Error);
        assert!(more.table.entries.len() + more.table.settings.len() <= most, "nothing beyond the limit runs");
        assert!(!commands(&more).contains(&"last".to_owned()));
    }
    let system = parse(Form::System, &DEBIAN, "* * * * * root x\n".repeat(20_000).as_bytes());
    assert_eq!((commands(&system).len(), system.is_ok()), (20_000, true));
    let comments = parse(Form::User, &CRONIE, "# c\n".repeat(50_000).as_bytes());
    assert!(comments.is_ok());
}

#[test]
fn a_schedule_or_a_user_of_silly_length_is_an_error() {
    let fields = format!("{} * * * * x\n", vec!["1"; 40_000].join(","));
    let doubtful = format!("{} * * * * x\n", vec!["*/60"; 40_000].join(","));
    let blanks = format!("* * * * *{}x\n", " ".repeat(70_000));
    let setting = format!("A={}\n", "x".repeat(131_070));
    for text in [fields, doubtful, blanks, setting] {
        let parsed = parse(Form::User, &CRONIE, text.as_bytes());
        assert_eq!((parsed.errors().count(), parsed.diagnostics.len(), commands(&parsed).len()), (1, 1, 0));
    }
    let user = format!("* * * * * {} x\n", "a".repeat(300));
    assert_eq!(parse(Form::System, &CRONIE, user.as_bytes()).errors().count(), 1);
    let many = format!("{} * * * * x\n", vec!["*/60"; 1_000].join(","));
    assert!(parse(Form::User, &CRONIE, many.as_bytes()).diagnostics.len() <= 4, "not every doubtful item is told");
}

#[test]
fn a_table_beyond_the_limit_of_bytes_is_one_error() {
    let mut dialect = DEBIAN.dialect;
    (dialect.limits.user_bytes, dialect.limits.system_bytes) = (15, 20);
    let read = |form, installed: bool, text: &str, expected| {
        let context = Context { dialect: &dialect, ..super::cases_tests::context(form, &DEBIAN) };
        let parser = Parser::new(&context);
        let mut parser = if installed { parser.of_installed() } else { parser };
        parser.expect_size(expected);
        for piece in text.as_bytes().chunks(4) {
            parser.feed(piece).unwrap();
        }
        parser.finish().unwrap()
    };
    let header = format!("{}# c\n", "#\n".repeat(2));
    for (form, installed, text, expected, fits) in [
        (Form::System, false, "* * * * * root true\n".to_owned(), 20, true),
        (Form::System, false, "* * * * * root false\n".to_owned(), 0, false),
        (Form::User, false, "* * * * * true\n".to_owned(), 0, true),
        (Form::User, false, "* * * * * false\n".to_owned(), 0, false),
        (Form::User, false, "* * * * * true\n".to_owned(), 16, false),
        (Form::User, true, header.clone() + "* * * * * true\n", 0, true),
        (Form::User, false, header.clone() + "* * * * * true\n", 0, false),
    ] {
        let parsed = read(form, installed, &text, expected);
        assert_eq!((parsed.is_ok(), parsed.table.entries.len()), (fits, usize::from(fits)), "{text}");
        if !fits {
            let most = if form == Form::User { 15 } else { 20 };
            let message = format!("expected a table of at most {most} bytes, found more: nothing of it runs");
            assert_eq!(said(&parsed), [(Severity::Error, 1, 1, message)]);
            assert!(parsed.table.entries.is_empty() && parsed.table.settings.is_empty());
        }
    }
}

#[test]
fn the_header_of_an_installed_table_counts_as_no_lines() {
    let lines = |comments: usize, installed: bool| {
        let text = "# header\n".repeat(comments) + &"@daily x\n".repeat(10_000);
        let context = super::cases_tests::context(Form::User, &DEBIAN);
        let parser = Parser::new(&context);
        let mut parser = if installed { parser.of_installed() } else { parser };
        parser.feed(text.as_bytes()).unwrap();
        let parsed = parser.finish().unwrap();
        (parsed.table.entries.len(), parsed.is_ok())
    };
    assert_eq!(lines(0, false), (10_000, true));
    assert_eq!(lines(3, true), (10_000, true));
    assert_eq!(lines(4, true), (9_999, false));
    assert_eq!(lines(3, false), (9_997, false));
}

#[test]
fn a_comment_may_be_of_any_length_and_no_other_line() {
    let long = "x".repeat(LONGEST_LINE);
    let text = format!("@daily a\n#{long}\n \t#{long}\n@daily {long}\nA={long}\n@daily b\n#{long}");
    let context = super::cases_tests::context(Form::User, &CRONIE);
    for at_once in [1 << 10, 1 << 17, text.len()] {
        let mut parser = Parser::new(&context);
        for piece in text.as_bytes().chunks(at_once) {
            parser.feed(piece).unwrap();
        }
        let parsed = parser.finish().unwrap();
        assert_eq!(commands(&parsed), ["a", "b"]);
        let found = |line, length| {
            (Severity::Error, line, 1, format!("expected a line of at most 262144 bytes, found {length}"))
        };
        assert_eq!(said(&parsed), [found(4, LONGEST_LINE + 7), found(5, LONGEST_LINE + 2)]);
        assert!(parsed.table.settings.is_empty(), "nothing else is kept");
    }
}

#[test]
fn the_longest_line_is_read() {
    let blanks = " ".repeat(LONGEST_LINE);
    assert!(parse(Form::User, &CRONIE, format!("{blanks}\n@daily a\n").as_bytes()).is_ok());
    assert_eq!(said(&parse(Form::User, &CRONIE, format!("{blanks} \n@daily a\n").as_bytes())).len(), 1);
}

#[test]
fn the_zones_of_a_table_are_bounded() {
    // Rules of a name and an offset: 676 names, 97 offsets.
    let rules = (0..97).flat_map(|offset| {
        let names = (b'A'..=b'Z').flat_map(|first| (b'A'..=b'Z').map(move |second| [first, second]));
        names.map(move |[first, second]| {
            format!(
                "CRON_TZ=Z{}{}{}:{:02}\n@daily root x\n",
                char::from(first),
                char::from(second),
                offset / 4,
                offset % 4 * 15
            )
        })
    });
    let text: String = rules.take((1 << 16) + 1).collect();
    let parsed = parse(Form::System, &DEBIAN, text.as_bytes());
    assert_eq!(parsed.table.entries.len(), 1 << 16);
    let (last, _, _, message) = said(&parsed).pop().unwrap();
    assert_eq!((last, message.as_str()), (Severity::Error, "unknown time zone ZYQ24:00"));
}

#[test]
fn the_jobs_that_the_entries_of_a_table_wait_for_are_bounded() {
    let names: Vec<String> = (0..100).map(|number| format!("n{number}")).collect();
    let named: String = names.iter().map(|name| format!("CRON_NAME={name}\n@daily root x\n")).collect();
    let waiting = format!("@after {} root y\n", names.join(",")).repeat(1_000);
    let entries = |last: &str| {
        let parsed = parse(Form::System, &DEBIAN, format!("{named}{waiting}{last}").as_bytes());
        (parsed.is_ok(), parsed.table.entries.len())
    };
    assert_eq!(entries("@daily root last\n"), (true, 1_101));
    assert_eq!(entries("@after n1 root one-more\n"), (false, 1_100));
}

#[test]
fn only_the_first_faults_are_listed_and_the_others_counted() {
    let text = "bad\n*/60 * * * * root x\n".repeat(300) + "0 0 30 2 * root last\nbad\n";
    let parsed = parse(Form::System, &DEBIAN, text.as_bytes());
    assert_eq!((parsed.errors().count(), parsed.warnings().count()), (MOST_LISTED, MOST_LISTED));
    assert_eq!(parsed.unlisted, Unlisted { errors: 201, warnings: 201 });
    assert_eq!(parsed.table.entries.len(), 301);
    assert_eq!(parsed.unlisted.line("t").as_deref(), Some("t: 201 more errors and 201 more warnings, not listed\n"));
    let one = Unlisted { errors: 1, warnings: 0 };
    assert_eq!(one.line("t").as_deref(), Some("t: 1 more error, not listed\n"));
    assert_eq!(Unlisted::default().line("t"), None);
    // The problem about a zone that is not listed has nobody to be completed in.
    let zones: String = (0..300).map(|n| format!("CRON_TZ=No/{n}\n* * * * * root x\n")).collect();
    assert_eq!(parse(Form::System, &DEBIAN, zones.as_bytes()).unlisted.errors, 200);
}

#[test]
fn a_setting_is_as_long_as_a_program_can_be_given_and_no_longer() {
    for profile in [&DEBIAN, &CRONIE] {
        let text = |value: usize| format!("NAME={}\n@daily x\n", "v".repeat(value));
        let longest = parse(Form::User, profile, text(131_071 - 5).as_bytes());
        assert_eq!((longest.is_ok(), longest.table.settings.len()), (true, 1));
        let long = parse(Form::User, profile, text(131_071 - 4).as_bytes());
        let message = "expected NAME=VALUE of at most 131071 bytes, found 131072".to_owned();
        assert_eq!(said(&long), [(Severity::Error, 1, 1, message)]);
        assert_eq!((long.table.settings.len(), commands(&long).len()), (0, 1), "the entry runs without it");
    }
}

#[test]
fn an_entry_whose_environment_is_too_large_does_not_run() {
    // 16 settings of 65,536 bytes, each with its NUL, are exactly a mebibyte.
    let settings: String = (0..16).map(|n| format!("V{n:02}={}\n", "v".repeat(65_536 - 5))).collect();
    for profile in [&DEBIAN, &CRONIE] {
        for (form, user) in [(Form::User, ""), (Form::System, "root ")] {
            let text = format!(
                "@daily {user}before\n{settings}@daily {user}full\nV00=\nW=1\n@daily {user}replaced\n\
                 X={}\n@daily {user}over\nX=\n@daily {user}after\n",
                "x".repeat(65_529)
            );
            let parsed = parse(form, profile, text.as_bytes());
            assert_eq!(commands(&parsed), ["before", "full", "replaced", "after"]);
            let message = "expected an environment of at most 1048576 bytes for this entry, found more".to_owned();
            assert_eq!(said(&parsed), [(Severity::Error, 23, 1, message)], "{form:?}");
        }
    }
}

#[test]
fn wherever_memory_runs_out_a_table_is_an_error_and_no_abort() {
    use crate::sys::allocator_tests::{count, failing, without_large};
    // The small allocations of a line, each below this bound, are accounted for together: see `memory.rs`.
    const LEAST: usize = 2 << 10;
    let many: String = (0..3000)
        .map(|n| {
            format!("CRON_NAME=job{n}\nVARIABLE{}={n}\n{} {} * * *\tbackup number {n}%input\n", n % 50, n % 60, n % 24)
        })
        .collect();
    let long = format!("LONG={}\n* * * * * {}\n# {}\n", "v".repeat(100_000), "c".repeat(900), "x".repeat(200_000));
    let faulty = "61 * * * * x\n".repeat(3000);
    // A long text that is kept is asked for twice: first to see whether there is memory, then by `Arc`, which cannot report that there is none.
    // One allocation that fails would be the second; there, all fail.
    for (profile, text, is_kept_whole) in [(&DEBIAN, many, false), (&CRONIE, long, true), (&DEBIAN, faulty, false)] {
        let context = super::cases_tests::context(Form::User, profile);
        let read = || {
            Crontab::parse(text.as_bytes(), &context)
                .map(|parsed| (parsed.table.entries.len(), parsed.diagnostics.len()))
        };
        let sound = read().unwrap();
        let allocations = count(LEAST, read);
        assert!(allocations > 0, "{allocations} allocations of at least {LEAST} bytes");
        for number in (1..=allocations).filter(|_| !is_kept_whole) {
            // Diagnostics that are not listed are counted.
            if let Ok((entries, listed)) = failing(number, LEAST, read) {
                assert!(entries == sound.0 && listed <= sound.1, "{number}");
            }
        }
        assert_eq!(failing(allocations + 1, LEAST, read), Ok(sound));
        assert!(matches!(without_large(LEAST, read), Err(OutOfMemory) | Ok((0, _))));
    }
}
