//! Tables that nobody would write: whatever the bytes, every line is accounted for and reading takes linear time.

use super::cases_tests::{context, parse};
use super::line::{Lines, is_blank};
use super::*;
use crate::profile::{CRONIE, DEBIAN, Profile};
use fastrand::Rng;

/// Pieces that lines are made of; random bytes alone would hardly ever get past the first field.
const PIECES: &[&str] = &[
    "* ",
    "*",
    " ",
    "\t",
    "\n",
    "\r\n",
    "0",
    "5",
    "60",
    "1-5",
    "*/5",
    "~",
    "L",
    "W",
    "#",
    ",",
    "-",
    "/",
    "@daily ",
    "@reboot ",
    "@30s ",
    "@quartz ",
    "@after ",
    "a,b ",
    "root:a ",
    "CRON_NAME=a\n",
    "CRON_NAME=",
    "CRON_RETRY=",
    "CRON_TIMEOUT=1h\n",
    "CRON_CATCHUP=all\n",
    "CRON_EXCEPT=",
    "CRON_PING=http://",
    "CRON_LIMITS=nice=-5\n",
    "2026-12-24",
    "..",
    "1h30m",
    "default",
    "mon",
    "jan",
    "root ",
    "-n ",
    "-q ",
    "-s ",
    "%",
    "\\%",
    "\\",
    "=",
    "'",
    "\"",
    "A=",
    "MAILTO=",
    "CRON_TZ=",
    "Europe/Berlin",
    "Mars",
    "RANDOM_DELAY=",
    "0 3 * * * ",
    "* * * * * ",
    "x",
    "\u{e9}",
    "\0",
    "\u{feff}",
    "echo hello\n",
    "* * * * * root echo\n",
];

fn random_table(rng: &mut Rng) -> Vec<u8> {
    let mut text = Vec::new();
    for _ in 0..rng.usize(0..24) {
        match rng.u8(0..8) {
            0 => text.push(rng.u8(..)),
            _ => text.extend_from_slice(rng.choice(PIECES).copied().unwrap_or_default().as_bytes()),
        }
    }
    text
}

/// A working table with a few bytes changed.
fn mutated_table(rng: &mut Rng) -> Vec<u8> {
    let mut text =
        b"# jobs\nMAILTO=ann\n0 3 * * 1-5 -n backup\nCRON_TZ=Europe/Berlin\n*/5 * * * * root x %y\nRANDOM_DELAY=5\n@daily z\n"
            .to_vec();
    for _ in 0..rng.usize(1..6) {
        let at = rng.usize(0..text.len());
        match rng.u8(0..3) {
            0 => text[at] = rng.u8(..),
            1 => drop(text.remove(at)),
            _ => text.insert(at, *b" *=%\"'\n\r-,/@~\0\xff".get(rng.usize(0..15)).unwrap_or(&b' ')),
        }
    }
    text
}

/// A table of random parts or one that is nearly right, by turns, and where it is read.
fn any_table(rng: &mut Rng, round: u32) -> (Vec<u8>, Form, &'static Profile) {
    let text = if round.is_multiple_of(2) { random_table(rng) } else { mutated_table(rng) };
    let form = if rng.bool() { Form::User } else { Form::System };
    let profile = if rng.bool() { &DEBIAN } else { &CRONIE };
    (text, form, profile)
}

#[test]
fn every_line_of_any_table_is_an_entry_a_setting_a_comment_or_a_diagnostic() {
    let mut rng = Rng::with_seed(20_261_122);
    for round in 0..100_000u32 {
        let (text, form, profile) = any_table(&mut rng, round);
        account_for(&text, &parse(form, profile, &text), form);
    }
}

#[test]
fn a_table_that_comes_in_pieces_is_read_as_a_whole_one() {
    let mut rng = Rng::with_seed(20_261_123);
    for round in 0..50_000u32 {
        let (text, form, profile) = any_table(&mut rng, round);
        let context = context(form, profile);
        let (mut reader, mut checker, mut seen) = (Parser::new(&context), Parser::new(&context).check_only(), 0);
        while seen < text.len() {
            let end = (seen + rng.usize(1..40)).min(text.len());
            reader.feed(&text[seen..end]).unwrap();
            checker.feed(&text[seen..end]).unwrap();
            seen = end;
        }
        let (read, judged) = (reader.finish().unwrap(), checker.finish().unwrap());
        let whole = parse(form, profile, &text);
        let shown = text.escape_ascii().to_string();
        assert_eq!((&read.diagnostics, read.unlisted), (&whole.diagnostics, whole.unlisted), "{shown:?}");
        assert_eq!((&judged.diagnostics, judged.unlisted), (&whole.diagnostics, whole.unlisted), "{shown:?}");
        let entries = |table: &Crontab| format!("{:?} {:?}", table.entries, table.settings);
        assert_eq!(entries(&read.table), entries(&whole.table), "{shown:?}");
        assert!(judged.table.entries.is_empty() && judged.table.settings.is_empty());
    }
}

fn account_for(text: &[u8], parsed: &Parsed, form: Form) {
    let table = &parsed.table;
    let lines: Vec<_> = Lines::of(text).collect();
    let mut zoneless = false;
    for line in &lines {
        let number = line.number;
        let entries = table.entries.iter().filter(|entry| entry.line == number).count();
        let settings = table.settings.iter().filter(|setting| setting.line == number).count();
        // These are about entries that are there all the same.
        let is_not_logged = |d: &Diagnostic| {
            ["missing newline", "expected the CRON_NAME", "found a cycle"].iter().any(|words| d.message.contains(words))
        };
        let bad = parsed.errors().filter(|d| d.line as u32 == number && !is_not_logged(d)).count();
        let first = line.text.iter().find(|&&byte| !is_blank(byte));
        let empty = matches!(first, None | Some(b'#')) || line.text.trim_ascii().is_empty();
        let shown = String::from_utf8_lossy(line.text);
        assert!(entries + settings <= 1 && bad <= 1, "{shown}");
        let accounted = entries + settings + bad >= 1 || empty || zoneless;
        assert!(accounted, "nothing became of line {number}, {shown:?}, of {:?}", String::from_utf8_lossy(text));
        for setting in table.settings.iter().filter(|setting| setting.line == number) {
            if *setting.name == *b"CRON_TZ" {
                zoneless = bad > 0;
            }
        }
    }
    for diagnostic in &parsed.diagnostics {
        let line = lines.get(diagnostic.line - 1).expect("a diagnostic is about a line of the table");
        assert!(diagnostic.column <= line.text.len() + 1, "{diagnostic:?}");
        let picture = diagnostic.picture("t");
        assert!(picture.lines().count() >= 3 && !picture.chars().any(|c| c.is_control() && c != '\n'), "{picture:?}");
        assert_eq!(diagnostic.one_line("t").lines().count(), 1);
    }
    for entry in &table.entries {
        assert!(!table.command(entry).is_empty() && !table.timing(entry).text.is_empty());
        assert_eq!(entry.user.is_none(), form == Form::User);
        for backslash in [Backslash::Halved, Backslash::Kept] {
            assert!(Command::split(table.command(entry), backslash).shell.len() <= table.command(entry).len());
        }
        for (name, _) in table.variables(entry) {
            assert_eq!(table.variables(entry).iter().filter(|(other, _)| *other == name).count(), 1);
        }
    }
    assert!(parsed.diagnostics.is_sorted_by_key(|d| d.line));
    let unfinished = text.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
    let says_something = !matches!(unfinished.iter().find(|&&byte| !is_blank(byte)), None | Some(b'#'));
    assert_eq!(says_something, parsed.errors().any(|d| d.message.contains("missing newline")));
}

#[test]
fn any_value_of_a_job_setting_is_obeyed_or_told_at_its_place() {
    const PARTS: &[&str] = &[
        "",
        "0",
        "1",
        "99999999999",
        "-1",
        ",",
        ",,",
        "s",
        "m",
        "h",
        "d",
        "1h",
        "30m",
        "none",
        "once",
        "all",
        "allow",
        "skip",
        "2026-12-24",
        "2026-02-30",
        "..",
        ".",
        "x",
        "default",
        "http://",
        "https://h",
        ":",
        "/",
        "[::1]",
        "@",
        "output",
        ",output",
        "nice=",
        "io=",
        "idle",
        "best-effort:",
        "7",
        " ",
        "\t",
        "\u{e9}",
        "\u{20ac}",
        "%",
        "'",
        "\"",
        "=",
        "yes",
        "stderr",
        "a-b_c.d",
    ];
    let mut rng = Rng::with_seed(20_261_127);
    for _ in 0..100_000u32 {
        let setting = rng.choice(job_settings()).expect("a setting");
        let mut value = Vec::new();
        for _ in 0..rng.usize(0..6) {
            match rng.u8(0..12) {
                0 => value.push(Some(rng.u8(1..)).filter(|byte| *byte != b'\n').unwrap_or(b'x')),
                _ => value.extend_from_slice(rng.choice(PARTS).copied().unwrap_or_default().as_bytes()),
            }
        }
        let form = if rng.bool() { Form::User } else { Form::System };
        let text = [setting.name.as_bytes(), b"=", &value, b"\n@daily root x\n@5m root y\n"].concat();
        let parsed = parse(form, &DEBIAN, &text);
        account_for(&text, &parsed, form);
        let column = setting.name.len() + 2;
        assert!(parsed.diagnostics.iter().filter(|d| d.line == 1).all(|d| d.column >= column), "{parsed:?}");
        assert_eq!(parsed.table.entries.len(), 2);
    }
}

/// Quadratic reading of these would take hours, not the seconds after which a test run is given up.
#[test]
fn big_and_long_tables_take_linear_time() {
    const MIB: usize = 1 << 20;
    for (what, text) in [
        ("one long word", b"x".repeat(16 * MIB)),
        ("one long field", b"1,".repeat(8 * MIB)),
        ("doubtful items", b"*/60,".repeat(3 * MIB)),
        ("blanks", b" ".repeat(16 * MIB)),
        ("an open quote", [&b"A='"[..], &b"x".repeat(16 * MIB)].concat()),
        ("a long command", [&b"* * * * * root "[..], &b"%".repeat(16 * MIB)].concat()),
        ("flags", [&b"* * * * * root "[..], &b"-n ".repeat(4 * MIB)].concat()),
        ("empty lines", b"\n".repeat(16 * MIB)),
        ("entries", b"* * * * * root x\n".repeat(300_000)),
        ("bad lines", b"bad\n".repeat(300_000)),
        ("settings", b"A=b\n".repeat(300_000)),
        ("zones", (0..100_000).flat_map(|n| format!("CRON_TZ=No/{n}\n* * * * * root x\n").into_bytes()).collect()),
        (
            "cycles",
            (0..100_000)
                .flat_map(|n| format!("CRON_NAME=n{n}\n@after n{} root x\n", (n + 1) % 100_000).into_bytes())
                .collect(),
        ),
        (
            "waiting for all",
            (0..5_000)
                .flat_map(|n| {
                    let names: Vec<String> = (0..100).map(|k| format!("n{}", (n + k * 37) % 5_000)).collect();
                    format!("CRON_NAME=n{n}\n@after {} root x\n", names.join(",")).into_bytes()
                })
                .collect(),
        ),
        (
            "unknown jobs",
            (0..100_000).flat_map(|n| format!("CRON_NAME=n{n}\n@after x{n},y{n},z{n} root x\n").into_bytes()).collect(),
        ),
        (
            "policies",
            (0..100_000)
                .flat_map(|n| format!("CRON_TIMEOUT={}s\n{} * * * * root x\n", n + 1, n % 60).into_bytes())
                .collect(),
        ),
        (
            "seconds",
            (0..50_000)
                .flat_map(|n| format!("CRON_TIMEOUT={}s\n@quartz 0 {} 0 1 1 ? * root x\n", n + 1, n % 60).into_bytes())
                .collect(),
        ),
        ("NUL bytes", b"\0".repeat(16 * MIB)),
        ("bytes that are not UTF-8", b"\xff".repeat(16 * MIB)),
        ("carriage returns", b"\r".repeat(16 * MIB)),
    ] {
        let parsed = parse(Form::System, &CRONIE, &text);
        for diagnostic in parsed.diagnostics.iter().take(10) {
            assert!(diagnostic.picture("t").len() < 4000, "{what}: pictures stay small");
        }
        let user = parse(Form::User, &DEBIAN, &text);
        for parsed in [parsed, user] {
            assert!(parsed.diagnostics.len() <= 2 * MOST_LISTED + 1, "{what}: what a table can make us say is bounded");
        }
    }
}
