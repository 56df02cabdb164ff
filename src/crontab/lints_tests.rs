//! Cases of the lints: tables, and what is expected to be said about them.

use super::cases_tests::Embedded;
use super::*;
use crate::profile::{CRONIE, DEBIAN, Profile};
use crate::schedule::{HostKey, Timestamp, Zone, Zones};
use std::cell::Cell;
use std::sync::Arc;

/// A machine with a few users and programs, on 2026-11-27.
struct Sample {
    sh_is_bash: bool,
}

impl Machine for Sample {
    fn has_user(&self, name: &[u8]) -> Option<bool> {
        Some([b"root".as_slice(), b"backup", b"www-data", b"mail"].contains(&name))
    }
    fn has_local_user(&self, name: &[u8]) -> bool {
        self.has_user(name) == Some(true)
    }
    fn has_program(&self, path: &[u8]) -> Option<bool> {
        Some([b"/bin/sh".as_slice(), b"/bin/bash", b"/bin/zsh", b"rsync", b"mail"].contains(&path))
    }
    fn is_bash(&self, path: &[u8]) -> bool {
        path == b"/bin/bash" || self.sh_is_bash
    }
    fn now(&self) -> Timestamp {
        Timestamp::parse_rfc3339("2026-11-27T14:00:00Z").unwrap()
    }
}

/// The system's zone is Berlin's.
struct Berlin;

impl Zones for Berlin {
    fn named(&self, name: &str) -> Option<Arc<Zone>> {
        Embedded.named(name)
    }
    fn system(&self) -> Arc<Zone> {
        Embedded.named("Europe/Berlin").unwrap()
    }
}

fn parse_on(machine: Option<&dyn Machine>, form: Form, profile: &Profile, text: &str) -> Parsed {
    let known = KnownNames::of_zones(&Berlin);
    let context = Context { form, dialect: &profile.dialect, name: "ann", host: HostKey(7), known };
    let parser = Parser::new(&context);
    let mut parser = if let Some(machine) = machine { parser.on_machine(machine) } else { parser };
    parser.feed(text.as_bytes()).and_then(|()| parser.finish()).expect("memory")
}

/// A table, and the warning: its place, words of the message, words of the help. None: nothing is said.
type Row = (&'static str, Option<(&'static str, &'static str, &'static str)>);

const USER: &[Row] = &[
    // Nothing is expanded in a setting.
    ("PATH=$PATH:/opt/bin", Some(("1:6", "$PATH stays as it is", "PATH=/usr/local/bin:/usr/bin:/bin:/opt/bin"))),
    ("PATH=/opt/bin:${PATH}", Some(("1:15", "${PATH} stays", "PATH=/opt/bin:/usr/local/bin"))),
    ("PATH=\"$PATH:/x\"", Some(("1:7", "$PATH stays", "PATH=/usr/local/bin"))),
    ("PATH=$HOME/bin:/bin", Some(("1:6", "$HOME stays", "write all directories out"))),
    ("LOG=$HOME/log", Some(("1:5", "$HOME stays", "single quotes"))),
    ("LOG=${HOME:-/root}/log", Some(("1:5", "${HOME:-/root} stays", "single quotes"))),
    ("TODAY=$(date)", Some(("1:7", "$( stays", "let the command set it"))),
    ("TODAY=`date`", Some(("1:7", "`date` stays", "let the command set it"))),
    ("A=x\nB=$A/y", Some(("2:3", "$A stays", "single quotes"))),
    ("MAILFROM=$USER@example.org", Some(("1:10", "found $ in it", "nothing is expanded"))),
    ("PATH='$PATH:/x'", None),
    ("LOG='$HOME/log'", None),
    ("LOG=$LOGDIR/log", Some(("1:5", "$LOGDIR stays", "single quotes"))),
    ("LOG=${LOGDIR}/log", Some(("1:5", "${LOGDIR} stays", "single quotes"))),
    ("PASSWORD=pa$word/", None),
    ("PASSWORD=pa$WORD", None),
    ("PASSWORD=pa$word", None),
    ("PASSWORD=$ecret", None),
    ("PASSWORD=a`b", None),
    ("PRICE=5$", None),
    ("B=$A/y", None),
    ("BASH_ENV=$HOME/.env", None),
    ("PS4=$LINENO", None),
    ("RESTIC_PASSWORD_COMMAND=cat $HOME/.secret", None),
    ("CRON_ON_FAILURE=$HOME/bin/notify", None),
    ("BACKUP=~/backup", Some(("1:8", "~ stays as it is", "write the whole path"))),
    ("HOME=~", Some(("1:6", "~ stays", "write the whole path"))),
    ("PATH=/bin:~/bin", Some(("1:11", "~ stays", "write the whole path"))),
    ("PATH=/bin:/x~", None),
    ("NAME=~x", None),
    ("GREETING=about ~/x", None),
    ("BACKUP='~/backup'", None),
    ("CRON_ON_FAILURE=~/bin/notify", None),
    // TZ is not CRON_TZ.
    ("TZ=Asia/Tokyo\n0 3 * * * x", Some(("1:4", "due in the system's zone, Europe/Berlin", "CRON_TZ=Asia/Tokyo"))),
    ("TZ=Asia/Tokyo\n*/5 * * * * x\n@daily x", Some(("1:4", "TZ is only a variable", "CRON_TZ=Asia/Tokyo"))),
    ("TZ=:Asia/Tokyo\n0 3 * * * x", Some(("1:4", "TZ is only a variable", "CRON_TZ"))),
    ("TZ=Asia/Tokyo\n*/5 * * * * x", None),
    ("TZ=Asia/Tokyo\n@hourly x", None),
    ("TZ=Asia/Tokyo\n@5m x", None),
    ("TZ=Asia/Tokyo", None),
    ("TZ=Europe/Berlin\n0 3 * * * x", None),
    ("TZ=Asia/Tokyo\nCRON_TZ=UTC\n0 3 * * * x", None),
    ("CRON_TZ=local\nTZ=Asia/Tokyo\n0 3 * * * x", None),
    ("TZ=Nowhere/Land\n0 3 * * * x", None),
    ("TZ=\n0 3 * * * x", None),
    ("TZ=Asia/Tokyo\nTZ=Europe/Berlin\n0 3 * * * x", None),
    // SHELL.
    ("SHELL=/bin/fish", Some(("1:7", "there is no program /bin/fish", "write SHELL=/bin/sh"))),
    ("SHELL=bash", Some(("1:7", "expected the path of a shell, found bash", "/bin/bash"))),
    ("SHELL=/bin/zsh", None),
    // &> under sh.
    ("* * * * * x &>/dev/null", Some(("1:13", "&> is not a redirection", ">FILE 2>&1"))),
    ("* * * * * x&>>log", Some(("1:12", "&> is not a redirection", "SHELL=/bin/bash"))),
    ("SHELL=/bin/bash\n* * * * * x &>log", None),
    ("SHELL=/bin/zsh\n* * * * * x &>log", None),
    ("SHELL=/bin/bash\nSHELL=/bin/sh\n* * * * * x &>log", Some(("3:13", "&> is not", "2>&1"))),
    ("* * * * * echo 'a &> b'", None),
    ("* * * * * echo \"a &> b\"", None),
    ("* * * * * bash -c 'x &>log'", None),
    ("* * * * * echo a \\&> b", None),
    ("* * * * * x >log 2>&1", None),
    ("* * * * * x & > log", None),
    ("* * * * * x && y", None),
    // A percent sign.
    ("* * * * * date +%s", Some(("1:17", "this % is not part of the command", "write \\%"))),
    ("* * * * * date +\\%s", None),
    // Both day fields.
    ("0 4 1 * sun x", Some(("1:5", "both day fields are set", "write * in one of them"))),
    ("0 4 1-7 * sun x", Some(("1:5", "both day fields are set", "write * and sun#1"))),
    ("  0 4 15-21 * 1 x", Some(("1:7", "both day fields are set", "write * and 1#3"))),
    ("0 4 1-7 * 1,2 x", Some(("1:5", "both day fields are set", "write * in one of them"))),
    ("0 4 L * 5 x", Some(("1:5", "both day fields are set", "write * in one of them"))),
    ("0 4 31 3,4 1 x", Some(("1:5", "both day fields are set", "write * in one of them"))),
    ("0 4 29 2 1 x", Some(("1:5", "both day fields are set", "write * in one of them"))),
    ("0 4 1 * * x", None),
    ("0 4 * * sun x", None),
    ("0 4 */2 * sun x", None),
    ("@monthly x", None),
    // A date that no year has, and a day of the week.
    ("0 0 30 2 1 x", Some(("1:5", "no year has such a date", "correct the date"))),
    ("0 0 31 4,6,9,11 mon-fri x", Some(("1:5", "only the day of the week counts", "write * as its day"))),
    ("  0 0 L-30 feb fri#2 x", Some(("1:7", "no year has such a date", "correct the date"))),
    ("0 0 30,31 2 fri x", Some(("1:5", "no year has such a date", "correct the date"))),
    ("0 0 30 2 * x", Some(("1:1", "this schedule never matches", "no such date"))),
    // A comment behind a job or a value.
    ("* * * * * x # every minute", Some(("1:13", "this comment is a part of the command", "a line of its own"))),
    ("* * * * * # x", Some(("1:11", "nothing runs", "a line of its own"))),
    ("* * * * * echo \"a # b\"", None),
    ("* * * * * sed 's/ #.*//' f", None),
    ("* * * * * echo a#b $# \\#", None),
    ("MAILTO=root # the admin", Some(("1:12", "found a blank in it", "a line of its own"))),
    ("EDITOR=vi # the best", Some(("1:11", "# the best is a part of the value", "a line of its own"))),
    ("COLOUR=#ff8800", None),
    ("COLOUR=a#b", None),
    ("COLOUR='a # b'", None),
    ("CRON_ON_FAILURE=notify # comment", None),
    // A user in a user's table.
    (
        "* * * * * backup rsync -a /x /y",
        Some(("1:11", "begins with backup, the name of a user", "has no user in front")),
    ),
    ("* * * * * root x", Some(("1:11", "begins with root", "has no user"))),
    ("* * * * * ann x", Some(("1:11", "begins with ann", "has no user"))),
    ("* * * * * mail -s report ann", None),
    ("* * * * * rsync -a /x /y", None),
    ("* * * * * backup", None),
    ("* * * * * backup --all", None),
    ("* * * * * notauser x", None),
    // MAILFROM.
    (
        "MAILFROM=Cron <cron@example.org>",
        Some(("1:14", "found a blank in it: it is refused", "MAILFROM=ann@example.org")),
    ),
    ("MAILFROM=-x", Some(("1:10", "found - in it", "begin with -"))),
    ("MAILFROM=cron@example.org", None),
    ("MAILFROM=", None),
    // A year.
    ("@quartz 0 0 12 1 1 * 2024 x", Some(("1:22", "its last year is in the past", "write * for every year"))),
    ("@quartz 0 0 12 1 1 * 2024-2025 x", Some(("1:22", "its last year is in the past", "write *"))),
    ("@quartz 0 0 12 1 1 * 2026 x", Some(("1:22", "its last year is in the past", "write *"))),
    ("@quartz 0 0 12 1 1 * 2027 x", None),
    ("@quartz 0 0 12 31 12 * 2026 x", None),
    ("0 0 1 1 * 2027 foo", Some(("1:11", "looks like a sixth field", "@quartz 0 0 0 1 1 * 2027"))),
    ("0 0 * * 1 2027 foo", Some(("1:11", "looks like a sixth field", "@quartz 0 MINUTE HOUR"))),
    ("0 0 3 * * 1 foo", Some(("1:11", "looks like a sixth field", "leave out the seconds"))),
    // A blank that is none.
    ("* * * * * x\u{a0}y", Some(("1:12", "found a no-break space (U+00A0) in the command", "replace it by a blank"))),
    ("* * * * * echo 'x\u{a0}y'", None),
    ("* * * * * echo caf\u{e9}", None),
];

const SYSTEM: &[Row] = &[
    ("* * * * * backup rsync -a /x /y", None),
    ("* * * * * carol x", Some(("1:11", "there is no user carol", "as soon as the user exists"))),
    ("* * * * * rsync /x /y", Some(("1:11", "rsync, which is the name of a command", "the user stands in front"))),
    ("* * * * * echo x", Some(("1:11", "echo, which is the name of a command", "the user stands in front"))),
    ("0 0 1 1 * 2027 root x", Some(("1:11", "the user here is 2027", "@quartz 0 0 0 1 1 * 2027"))),
    ("* * * * * root date +%s", Some(("1:22", "this % is not part", "write \\%"))),
    ("0 4 1 * sun root x", Some(("1:5", "both day fields", "write *"))),
    ("0 0 31 6 0 root x", Some(("1:5", "no year has such a date", "correct the date"))),
    ("SHELL=/bin/fish\n* * * * * root x", Some(("1:7", "there is no program /bin/fish", "SHELL=/bin/sh"))),
];

/// Errors: the place, words of the message, words of the help.
const ERRORS: &[(&str, &str, &str, &str)] = &[
    ("@every 5m x", "1:1", "found @every", "write @5m, "),
    ("@every 1h30m x", "1:1", "found @every", "write @90m, "),
    ("@every 90s x", "1:1", "found @every", "write @90s, "),
    ("@every 24h x", "1:1", "found @every", "write @1d, "),
    ("@every day x", "1:1", "found @every", "@30s, @5m, @2h or @1d"),
    ("@every", "1:1", "found @every", "@30s, @5m, @2h or @1d"),
    ("@WEEKLY x", "1:1", "found @WEEKLY", "lower case: @weekly"),
    ("@dayly x", "1:1", "found @dayly", "write @daily"),
    ("@weekely x", "1:1", "found @weekely", "write @weekly"),
    ("@houry x", "1:1", "found @houry", "write @hourly"),
    ("@nonsense x", "1:1", "found @nonsense", ""),
    ("MAILTO=-evil", "1:8", "found - in it", "cannot begin with -"),
    ("MAILTO=a\u{a0}b", "1:9", "found a no-break space (U+00A0) in it", "are safe"),
    ("0\u{a0}3 * * * x", "1:2", "found a no-break space (U+00A0)", "replace it by a blank"),
    ("0 3 * * mon\u{a0}x y", "1:12", "found a no-break space (U+00A0)", "replace it by a blank"),
    ("\u{a0}0 3 * * * x", "1:1", "found a no-break space (U+00A0)", "replace it by a blank"),
    ("# a\n\u{feff}0 3 * * * x", "2:1", "found a byte order mark (U+FEFF)", "remove it"),
    ("\u{feff}0 3 * * * x", "1:1", "the file starts with a byte order mark", "without a byte order mark"),
    ("0 0 * * 0#-1 x", "1:11", "found -1", "write 0L for the last one"),
    ("0 0 * * fri#-1 x", "1:13", "found -1", "write 5L for the last one"),
    ("0 0 * * 0#6 x", "1:11", "found 6", ""),
    ("*/-5 * * * * x", "1:3", "expected a step of at least 1, found -5", ""),
];

fn said(parsed: &Parsed) -> Vec<(String, String, String)> {
    let place = |d: &Diagnostic| format!("{}:{}", d.line, d.column);
    let row = |d: &Diagnostic| (place(d), d.message.clone(), d.help.clone().unwrap_or_default());
    parsed.diagnostics.iter().map(row).collect()
}

#[test]
fn each_mistake_has_its_warning_and_what_is_right_has_none() {
    let machine = Sample { sh_is_bash: false };
    for (form, rows) in [(Form::User, USER), (Form::System, SYSTEM)] {
        for (table, wanted) in rows {
            let parsed = parse_on(Some(&machine), form, &DEBIAN, &format!("{table}\n"));
            let said = said(&parsed);
            match (wanted, &said[..]) {
                (None, []) => {}
                (Some((place, message, help)), [(at, text, advice)]) => {
                    assert!(at == place && text.contains(message) && advice.contains(help), "{table:?}: {said:#?}");
                    // An unsafe MAILTO is an error.
                    assert!(parsed.is_ok() || table.starts_with("MAILTO"), "{table:?}: {said:#?}");
                }
                _ => panic!("{table:?}: {said:#?}"),
            }
        }
    }
}

#[test]
fn the_help_of_an_error_is_about_its_mistake() {
    for (table, place, message, help) in ERRORS {
        let said = said(&parse_on(None, Form::User, &DEBIAN, &format!("{table}\n")));
        let [(at, text, advice)] = &said[..] else { panic!("{table:?}: {said:#?}") };
        let has_help = if help.is_empty() { !advice.contains("write @") } else { advice.contains(help) };
        assert!(at == place && text.contains(message) && has_help, "{table:?}: {said:#?}");
        assert!(!text.contains(['\u{a0}', '\u{feff}']), "{table:?}: {said:#?}");
    }
}

#[test]
fn without_a_machine_nothing_is_said_about_it() {
    for (form, table) in [
        (Form::User, "SHELL=/bin/fish"),
        (Form::User, "* * * * * backup rsync -a /x /y"),
        (Form::User, "@quartz 0 0 12 1 1 * 2024 x"),
        (Form::System, "* * * * * carol x"),
    ] {
        assert_eq!(said(&parse_on(None, form, &DEBIAN, &format!("{table}\n"))), [], "{table}");
    }
}

#[test]
fn where_sh_is_bash_it_knows_what_bash_knows() {
    let machine = Sample { sh_is_bash: true };
    let parsed = parse_on(Some(&machine), Form::User, &CRONIE, "* * * * * x &>log\n");
    assert_eq!(said(&parsed), []);
}

#[test]
fn cronie_expands_addresses_and_takes_fewer_marks() {
    for (table, count) in
        [("MAILFROM=$USER", 0), ("MAILTO=$USER", 0), ("MAILTO=a=b", 1), ("MAILFROM=a/b", 1), ("MAILTO=a+b", 0)]
    {
        assert_eq!(said(&parse_on(None, Form::User, &CRONIE, &format!("{table}\n"))).len(), count, "{table}");
    }
}

#[test]
fn only_warnings_that_every_cron_would_need_are_logged() {
    for (table, is_logged) in [
        ("* * * * * date +%s", false),
        ("0 4 1 * sun x", false),
        ("0 0 30 2 1 x", true),
        ("* * * * * x # comment", false),
        ("* * * * * x &>log", true),
        ("PATH=$PATH:/x", true),
        ("0 0 1 1 * 2027 foo", true),
    ] {
        let parsed = parse_on(None, Form::User, &DEBIAN, &format!("{table}\n"));
        assert_eq!(parsed.diagnostics.iter().map(|d| !d.is_not_logged).collect::<Vec<_>>(), [is_logged], "{table}");
    }
}

#[test]
fn no_line_takes_more_than_its_length() {
    // Each of these was quadratic in a first version, or could be.
    let machine = Sample { sh_is_bash: false };
    for unit in ["${", "$(", "`", "$HOME", "~", "#", " #", "'", "\u{e9}", "\u{a0}'", "&", "&>", "\\"] {
        let text = unit.repeat(130_000 / unit.len());
        for table in [
            format!("A={text}\n"),
            format!("PATH={text}\n"),
            format!("MAILFROM={text}\n"),
            format!("* * * * * x{text}\n"),
        ] {
            parse_on(Some(&machine), Form::User, &CRONIE, &table);
        }
    }
}

#[test]
fn warnings_are_in_the_order_of_lines() {
    let text = "TZ=Asia/Tokyo\nPATH=$PATH:/x\n* * * * * date +%s\n0 3 * * * x # c\nMAILTOO=x\n";
    let lines: Vec<usize> = parse_on(None, Form::User, &DEBIAN, text).diagnostics.iter().map(|d| d.line).collect();
    assert_eq!(lines, [1, 2, 3, 4, 5]);
}

#[test]
fn a_tz_is_looked_up_only_if_it_would_have_an_effect() {
    struct Counted(Cell<usize>);
    impl Zones for Counted {
        fn named(&self, name: &str) -> Option<Arc<Zone>> {
            self.0.set(self.0.get() + 1);
            Embedded.named(name)
        }
        fn system(&self) -> Arc<Zone> {
            Berlin.system()
        }
    }
    for (text, wanted) in
        [("TZ=Asia/Tokyo\n".repeat(9) + "* * * * * x\n", 0), ("TZ=A\nTZ=B\n0 3 * * * x\n".to_owned(), 1)]
    {
        let zones = Counted(Cell::new(0));
        let known = KnownNames::of_zones(&zones);
        let context = Context { form: Form::User, dialect: &DEBIAN.dialect, name: "ann", host: HostKey(7), known };
        Crontab::parse(text.as_bytes(), &context).expect("memory");
        assert_eq!(zones.0.get(), wanted, "{text}");
    }
}
