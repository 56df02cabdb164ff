//! Random lines of crontabs: most of them are right, and some are wrong in the ways in which people and programs write them.

use fastrand::Rng;

const MONTHS: [&str; 6] = ["jan", "FEB", "Mar", "jun", "sep", "dec"];
const DAYS: [&str; 7] = ["sun", "MON", "Tue", "wed", "thu", "fri", "sat"];
const NICKNAMES: [&str; 14] = [
    "@reboot",
    "@yearly",
    "@annually",
    "@monthly",
    "@weekly",
    "@daily",
    "@midnight",
    "@hourly",
    "@every_minute",
    "@Daily",
    "@dayly",
    "@",
    "@5m",
    "@every_second",
];
const COMMANDS: [&str; 24] = [
    "true",
    "/usr/bin/backup --all",
    "cd / && run-parts --report /etc/cron.hourly",
    "echo a  b ",
    "date +\\%s",
    "cat%line%line",
    "test -x /x || exit 0",
    "root true",
    "[ -x /x ] && y",
    "\"/a b/c\" d",
    "A=b cmd",
    "echo 'x' # y",
    "a\tb",
    "7z a",
    "perl -e 'print 1' >/dev/null 2>&1",
    "echo \\\\",
    "*x",
    "* * true",
    "-tool",
    "- x",
    "1 x",
    "%",
    "#x",
    "mail -s x ann",
];
const NAMES: [&str; 16] = [
    "PATH",
    "SHELL",
    "HOME",
    "MAILTO",
    "MAILTO",
    "MAILFROM",
    "LANG",
    "A",
    "a_b",
    "1x",
    "A-B",
    "LOGNAME",
    "USER",
    "CONTENT_TYPE",
    "\"A\"",
    "'B c'",
];
const VALUES: [&str; 26] = [
    "/usr/bin:/bin",
    "/bin/sh",
    "root",
    "",
    "\"\"",
    "''",
    "\"a b\"",
    "'a'",
    "a b",
    "  a  ",
    "\"open",
    "a\"b",
    "\"a\" b",
    "ann,bob",
    "ann@example.org",
    "-oQ/tmp",
    "/dev/null",
    "a b@c",
    "|x",
    "$HOME",
    "x=y",
    "#x",
    "%",
    "a\\",
    "1",
    "ann@x;y",
];
/// Whole lines that are odd.
const ODD: [&str; 22] = [
    "",
    " ",
    "\t",
    "#",
    "# * * * * * x",
    "  # x",
    "x",
    "* * * * *",
    "* * * *",
    "@daily",
    "@reboot ",
    "=",
    "=x",
    "A",
    "A b",
    "* * * * * ",
    "5",
    "* * * * *\ttrue",
    "- * * * * x",
    "-* * * * * x",
    "*",
    "\\",
];

/// A line without its newline. It has neither NUL nor carriage return.
pub fn line(rng: &mut Rng) -> Vec<u8> {
    let text = match rng.u32(..100) {
        0..75 => entry(rng, five_fields),
        75..83 => entry(rng, |rng| first_or_any(rng, &NICKNAMES, 8).to_owned()),
        83..94 => setting(rng),
        94..97 => pick(rng, &ODD).to_owned(),
        _ => format!("# {}", entry(rng, five_fields)),
    };
    let mut text = text.into_bytes();
    if rng.u8(..50) == 0 {
        mutate(rng, &mut text);
    }
    text
}

fn pick<'t>(rng: &mut Rng, texts: &[&'t str]) -> &'t str {
    texts[rng.usize(..texts.len())]
}

/// One of the first, which are usual, or seldom one of all.
fn first_or_any<'t>(rng: &mut Rng, texts: &[&'t str], usual: usize) -> &'t str {
    let count = if rng.u8(..8) > 0 { usual } else { texts.len() };
    pick(rng, &texts[..count])
}

fn blank(rng: &mut Rng) -> &'static str {
    match rng.u8(..20) {
        0 => "\t",
        1 => "  ",
        2 => " \t ",
        _ => " ",
    }
}

fn entry(rng: &mut Rng, schedule: impl Fn(&mut Rng) -> String) -> String {
    let lead = if rng.u8(..20) == 0 { blank(rng) } else { "" };
    let flag = match rng.u8(..60) {
        0 => "-n ",
        1 => "-q ",
        2 => "-s ",
        _ => "",
    };
    // The last commands are odd.
    let command = first_or_any(rng, &COMMANDS, 16);
    format!("{lead}{}{}{flag}{command}", schedule(rng), blank(rng))
}

fn five_fields(rng: &mut Rng) -> String {
    let mut text = String::new();
    for index in 0..5 {
        if index > 0 {
            text.push_str(blank(rng));
        }
        let field = if rng.u8(..64) == 0 { odd_field(rng, index) } else { field(rng, index) };
        text.push_str(&field);
    }
    text
}

const BOUNDS: [(u32, u32); 5] = [(0, 59), (0, 23), (1, 31), (1, 12), (0, 7)];

fn field(rng: &mut Rng, index: usize) -> String {
    if rng.u8(..3) == 0 {
        return "*".to_owned();
    }
    let count = [1, 1, 1, 2, 3][rng.usize(..5)];
    (0..count).map(|_| item(rng, index)).collect::<Vec<_>>().join(",")
}

fn item(rng: &mut Rng, index: usize) -> String {
    let (low, high) = BOUNDS[index];
    let (first, second) = (rng.u32(low..=high), rng.u32(low..=high));
    let step = if rng.u8(..8) == 0 { rng.u32(1..200) } else { rng.u32(1..=high) };
    let (first, second) = if rng.u8(..20) == 0 { (first, second) } else { (first.min(second), first.max(second)) };
    match rng.u8(..12) {
        0 => "*".to_owned(),
        1 => format!("*/{step}"),
        2 => format!("{first}-{second}"),
        3 => format!("{first}-{second}/{step}"),
        4 => value(rng, index, first),
        5 => format!("{}-{}", value(rng, index, first), value(rng, index, second)),
        6 => format!("{first:02}"),
        _ => first.to_string(),
    }
}

fn value(rng: &mut Rng, index: usize, number: u32) -> String {
    match index {
        3 => pick(rng, &MONTHS).to_owned(),
        4 => pick(rng, &DAYS).to_owned(),
        _ => number.to_string(),
    }
}

/// A field that is wrong, or that only some crons read.
fn odd_field(rng: &mut Rng, index: usize) -> String {
    let (low, high) = BOUNDS[index];
    let number = rng.u32(low..=high);
    let good = item(rng, index);
    match rng.u8(..34) {
        0 => (high + 1 + rng.u32(..3)).to_string(),
        1 => format!("{number}x"),
        2 => format!("{number}.5"),
        3 => "**".to_owned(),
        4 => "*/2/3".to_owned(),
        5 => "1-3-5".to_owned(),
        6 => format!("{number}/5"),
        7 => format!("{good},"),
        8 => format!(",{good}"),
        9 => format!("{good},,{good}"),
        10 => "*/0".to_owned(),
        11 => "*/".to_owned(),
        12 => format!("{number}-"),
        13 => format!("-{number}"),
        14 => "4294967297".to_owned(),
        15 => format!("*/{}", 4_294_967_296_u64 + u64::from(rng.u32(..100))),
        16 => "99999999999999999999".to_owned(),
        17 => "~".to_owned(),
        18 => format!("{low}~{number}"),
        19 => format!("{number}~{low}"),
        20 => "?".to_owned(),
        21 => "L".to_owned(),
        22 => "15W".to_owned(),
        23 => "1#2".to_owned(),
        24 => "5L".to_owned(),
        25 => pick(rng, &["january", "sunday", "mo", "jan", "mon", "xyz", "janx", "fri-sun", "sat-0", "dec-jan"])
            .to_owned(),
        26 => format!("{good};{good}"),
        27 => format!("*{number}"),
        28 => format!("{number}*"),
        29 => format!("{number} - {number}"),
        30 => format!("{number}-{}", high + 1),
        31 => format!("\"{number}\""),
        32 => format!("0x{number}"),
        _ => format!("{number}-{high}/x"),
    }
}

fn setting(rng: &mut Rng) -> String {
    let space = |rng: &mut Rng| if rng.u8(..6) == 0 { blank(rng) } else { "" };
    let name = pick(rng, &NAMES);
    let value = pick(rng, &VALUES);
    let (lead, before, behind) = (space(rng), space(rng), space(rng));
    format!("{lead}{name}{before}={behind}{value}")
}

/// Changes a byte or two.
fn mutate(rng: &mut Rng, text: &mut Vec<u8>) {
    const BYTES: &[u8] = b" \t*/,-0159ax@#=\"'%~\\.\xe9";
    for _ in 0..rng.u8(1..3) {
        let byte = BYTES[rng.usize(..BYTES.len())];
        match rng.u8(..3) {
            0 if !text.is_empty() => drop(text.remove(rng.usize(..text.len()))),
            1 if !text.is_empty() => {
                let at = rng.usize(..text.len());
                text[at] = byte;
            }
            _ => text.insert(rng.usize(..=text.len()), byte),
        }
    }
}
