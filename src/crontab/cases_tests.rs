//! Tables of cases: what each kind of line is, and what is said about it. Sources in braces are those of the
//! reference implementations, whose verdicts the rows keep unless a comment says otherwise.

use super::*;
use crate::profile::{CRONIE, DEBIAN, Profile};
use crate::schedule::{HostKey, Zone, Zones};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

/// The zones that come with the program, each made once.
pub(super) struct Embedded;

static MADE: Mutex<BTreeMap<String, Option<Arc<Zone>>>> = Mutex::new(BTreeMap::new());

impl Zones for Embedded {
    fn named(&self, name: &str) -> Option<Arc<Zone>> {
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        made.entry(name.to_owned()).or_insert_with(|| Zone::embedded(name).map(Arc::new)).clone()
    }
    fn system(&self) -> Arc<Zone> {
        Zone::utc()
    }
}

pub(super) fn parse(form: Form, profile: &Profile, text: &[u8]) -> Parsed {
    Crontab::parse(text, &context(form, profile)).expect("memory")
}

pub(super) fn context(form: Form, profile: &Profile) -> Context<'_> {
    Context { form, dialect: &profile.dialect, name: "ann", host: HostKey(7), known: KnownNames::of_zones(&Embedded) }
}

/// The expected result of parsing a line.
enum Is {
    /// An entry with this command, and nothing to say about it.
    Job(&'static str),
    /// An entry, and a warning at this column with these words in it.
    Odd(usize, &'static str),
    /// An error at this column with these words in it.
    Bad(usize, &'static str),
    /// A setting with this name and value, and nothing to say about it.
    Set(&'static str, &'static str),
    /// A setting, and a warning at this column.
    OddSet(usize, &'static str),
    /// A comment or a blank line.
    Nothing,
}
use Is::{Bad, Job, Nothing, Odd, OddSet, Set};

/// Lines of a user's table.
const USER: &[(&str, Is)] = &[
    // Blanks and comments. {misc.c skip_comments}
    ("", Nothing),
    ("   ", Nothing),
    ("\t", Nothing),
    (" \t ", Nothing),
    ("# comment", Nothing),
    ("  \t# comment", Nothing),
    ("#", Nothing),
    ("#* * * * * x", Nothing),
    // Fields.
    ("* * * * * x", Job("x")),
    ("  * * * * * x", Job("x")),
    ("\t*\t*  *\t *\t\t* \t x", Job("x")),
    ("0 0 1 1 * x", Job("x")),
    ("59 23 * 12 7 x", Job("x")),
    ("*/5 * * * * x", Job("x")),
    ("0-59/10 * * * * x", Job("x")),
    ("1,2,3-5 * * * * x", Job("x")),
    ("005 * * * * x", Job("x")),
    ("0 0 * jan mon x", Job("x")),
    ("0 0 * JAN-Mar Mon,FRI x", Job("x")),
    ("0 0 * * fri-sun x", Job("x")),
    ("0 0 * * 5-0 x", Job("x")),
    ("0 0 * * 0-7 x", Job("x")),
    ("0 0 * * 6-7 x", Job("x")),
    ("~ * * * * x", Job("x")),
    ("0~30 * * * * x", Job("x")),
    ("~/15 * * * * x", Job("x")),
    ("0 0 L * * x", Job("x")),
    ("0 0 L-3 * * x", Job("x")),
    ("0 0 15W * * x", Job("x")),
    ("0 0 LW * * x", Job("x")),
    ("0 0 * * 5L x", Job("x")),
    ("0 0 * * 1#2 x", Job("x")),
    // Nicknames.
    ("@yearly x", Job("x")),
    ("@annually x", Job("x")),
    ("@monthly x", Job("x")),
    ("@weekly x", Job("x")),
    ("@daily x", Job("x")),
    ("@midnight x", Job("x")),
    ("@hourly x", Job("x")),
    ("@reboot x", Job("x")),
    ("@every_minute x", Job("x")),
    ("@every_second x", Job("x")),
    ("@30 x", Job("x")),
    ("@5m x", Job("x")),
    ("@2h x", Job("x")),
    ("@1d x", Job("x")),
    ("@quartz 0 0 12 * * * * x", Job("x")),
    ("@reboot\tx", Job("x")),
    // Commands. {compat rules 21, 22, 29, 30}
    ("* * * * * echo a  b  ", Job("echo a  b  ")),
    ("* * * * * a\tb", Job("a\tb")),
    ("* * * * * echo a#b", Job("echo a#b")),
    ("* * * * * A=b cmd", Job("A=b cmd")),
    ("* * * * * echo a=b", Job("echo a=b")),
    ("* * * * * echo 100\\%", Job("echo 100\\%")),
    ("* * * * * echo a \\", Job("echo a \\")),
    ("* * * * * \"/a b/c\" d", Job("\"/a b/c\" d")),
    ("* * * * * caf\u{e9}", Job("caf\u{e9}")),
    ("* * * * * root", Job("root")),
    ("* * * * * rooter x", Job("rooter x")),
    ("* * * * * mail -s x ann", Job("mail -s x ann")),
    ("* * * * * 7z a", Job("7z a")),
    // Flags.
    ("* * * * * -n x", Job("x")),
    ("* * * * * -q x", Job("x")),
    ("* * * * * -s x", Job("x")),
    ("* * * * * -n -q -s x -y", Job("x -y")),
    ("* * * * * -s\t-n  x", Job("x")),
    ("@daily -q x", Job("x")),
    ("-* * * * * x", Job("x")),
    ("-5 * * * * x", Job("x")),
    ("-@daily x", Job("x")),
    ("  -* * * * * -n x", Job("x")),
    // Warnings: the line works, but is it meant?
    ("*/60 * * * * x", Odd(1, "the step 60 is beyond the range")),
    ("0 */24 * * * x", Odd(3, "the step 24 is beyond the range")),
    ("0 0 30 2 * x", Odd(1, "this schedule never matches")),
    ("0 0 31 4,6,9,11 * x", Odd(1, "this schedule never matches")),
    ("0 0 * * 5-1 x", Odd(9, "runs backwards")),
    ("5-1 * * * * x", Odd(1, "runs backwards")),
    ("5-0 * * * * x", Odd(1, "runs backwards")),
    ("0 0 1 1 0 x", Odd(5, "both day fields are set")),
    ("59 23 31 12 7 x", Odd(7, "both day fields are set")),
    ("* * * * * echo a # b", Odd(18, "this comment is a part of the command")),
    ("* * * * * date +%s", Odd(17, "not part of the command but its standard input")),
    ("* * * * * cat%in\\%%", Odd(14, "not part of the command but its standard input")),
    ("* * * * * root x", Odd(11, "the name of a user")),
    ("* * * * * www-data x", Odd(11, "the name of a user")),
    ("* * * * * ann x", Odd(11, "the name of a user")),
    ("0 0 3 * * 1 x", Odd(11, "looks like a sixth field")),
    ("0 0 3 * * mon-fri x", Odd(11, "looks like a sixth field")),
    // Errors in fields.
    ("60 * * * * x", Bad(1, "expected a minute from 0 to 59, found 60")),
    ("* 24 * * * x", Bad(3, "expected an hour from 0 to 23, found 24")),
    ("* * 32 * * x", Bad(5, "found 32")),
    ("* * 0 * * x", Bad(5, "found 0")),
    ("* * * 13 * x", Bad(7, "found 13")),
    ("* * * 0 * x", Bad(7, "found 0")),
    ("* * * * 8 x", Bad(9, "found 8")),
    ("* * * * sunday x", Bad(9, "found sunday")),
    ("* * * january * x", Bad(7, "found january")),
    ("5/15 * * * * x", Bad(1, "expected a range or * before a step")),
    ("*/0 * * * * x", Bad(3, "expected a step of at least 1")),
    ("5;10 * * * * x", Bad(2, "found ;10")),
    ("1.5 * * * * x", Bad(2, "found .5")),
    ("5. * * * * x", Bad(2, "found .")),
    ("1-2-3 * * * * x", Bad(4, "found -3")),
    ("*foo * * * * x", Bad(2, "found foo")),
    ("*/2/3 * * * * x", Bad(4, "found /3")),
    ("70-5 * * * * x", Bad(1, "found 70")),
    ("99999999999999999999 * * * * x", Bad(1, "found 99999999999999999999")),
    ("5x * * * * x", Bad(1, "found 5x")),
    ("1,,2 * * * * x", Bad(3, "expected a minute")),
    (",1 * * * * x", Bad(1, "expected a minute")),
    ("1, * * * * x", Bad(3, "expected a minute")),
    ("1- * * * * x", Bad(3, "expected a minute")),
    ("? * * * * x", Bad(1, "found ?")),
    ("* * * * x", Bad(9, "found x")),
    ("* * *", Bad(6, "found the end of the line")),
    ("@Daily x", Bad(1, "found @Daily")),
    ("@dayly x", Bad(1, "found @dayly")),
    ("@ x", Bad(1, "expected a nickname")),
    ("@after", Bad(7, "expected the name of a job, or several separated by commas, found the end of the line")),
    ("@after a", Bad(9, "expected a command, found the end of the line")),
    ("@after /bin/x", Bad(8, "expected the name of a job, or several separated by commas, found /bin/x")),
    ("@after a, b x", Bad(10, "expected the name of a job")),
    ("@after default x", Bad(8, "found default")),
    ("@after a:b x", Bad(8, "expected the name of a job without a user, found a:b")),
    ("@After a x", Bad(1, "found @After")),
    ("@0 x", Bad(1, "expected an interval")),
    ("@quartz * * * x", Bad(16, "expected seven fields")),
    ("foo", Bad(1, "expected a minute")),
    ("export A=b", Bad(1, "expected a minute")),
    ("MAILTO root", Bad(1, "expected a minute")),
    ("\u{e9} * * * * x", Bad(1, "found \u{e9}")),
    ("- * * * * x", Bad(2, "expected a minute")),
    ("--5 * * * * x", Bad(2, "found -")),
    // Errors behind the fields. {entry.c load_entry: e_cmd, e_option}
    ("* * * * *", Bad(10, "expected a command, found the end of the line")),
    ("* * * * *   ", Bad(13, "expected a command, found the end of the line")),
    ("@daily", Bad(7, "expected a command, found the end of the line")),
    ("@daily  ", Bad(9, "expected a command, found the end of the line")),
    ("* * * * * * x", Bad(11, "expected a command, found *")),
    ("* * * * * *x", Bad(11, "expected a command, found *x")),
    ("0 */5 * * * */2 x", Bad(13, "expected a command, found */2")),
    ("@daily *", Bad(8, "expected a command, found *")),
    ("* * * * * -n", Bad(13, "expected a command after the flags")),
    ("* * * * * -n ", Bad(14, "expected a command after the flags")),
    ("* * * * * -n -n x", Bad(14, "the flag -n again")),
    ("* * * * * -x y", Bad(11, "found -x")),
    ("* * * * * -nq y", Bad(11, "found -nq")),
    ("* * * * * - y", Bad(11, "found -")),
    ("* * * * * -q -z", Bad(14, "found -z")),
    // Settings. {env.c load_env}; their shapes have rows of their own in `setting`.
    ("A=b", Set("A", "b")),
    ("  A = b  ", Set("A", "b")),
    ("'F O'=\" y \"", Set("F O", " y ")),
    ("A=", Set("A", "")),
    ("A=a#b % $X", Set("A", "a#b % $X")),
    ("A=a#b % $HOME", OddSet(9, "$HOME stays as it is")),
    ("MAILTO=", Set("MAILTO", "")),
    ("MAILTO=\"\"", Set("MAILTO", "")),
    ("MAILTO=ann@example.org,bob", Set("MAILTO", "ann@example.org,bob")),
    ("SHELL=/bin/bash", Set("SHELL", "/bin/bash")),
    ("CRON_TZ=Europe/Berlin", Set("CRON_TZ", "Europe/Berlin")),
    ("CRON_TZ=\"local\"", Set("CRON_TZ", "local")),
    ("CRON_TZ=UTC", Set("CRON_TZ", "UTC")),
    ("RANDOM_DELAY=45", Set("RANDOM_DELAY", "45")),
    ("RANDOM_DELAY=0", Set("RANDOM_DELAY", "0")),
    ("*=1 * * * * x", OddSet(1, "a variable named *")),
    ("5 = 4", OddSet(1, "a variable named 5")),
    ("@daily=x", OddSet(1, "a variable named @daily")),
    ("=x", OddSet(1, "without a name")),
    ("MAILT=ann", OddSet(1, "no setting MAILT")),
    ("  mailto=ann", OddSet(3, "no setting mailto")),
    ("CRON_TZ=UTC+3", OddSet(9, "not the name of a time zone but a rule")),
    ("CRON_TZ=", OddSet(9, "an empty CRON_TZ")),
    ("X=\"a\" # c", Bad(7, "expected nothing after the closing \", found # c")),
    ("X='a", Bad(3, "expected a closing '")),
    // A wrong value is an error, and yet the variable is there.
    ("CRON_TZ=Mars/Base", Bad(9, "unknown time zone Mars/Base")),
    ("CRON_TZ = 'Europe/Nowhere'", Bad(12, "unknown time zone Europe/Nowhere")),
    ("RANDOM_DELAY=soon", Bad(14, "expected a number of minutes from 0 to 1440, found soon")),
    ("RANDOM_DELAY=-3", Bad(14, "found -3")),
    ("RANDOM_DELAY=1441", Bad(14, "found 1441")),
];

/// Lines of a system table.
const SYSTEM: &[(&str, Is)] = &[
    ("* * * * * root x", Job("x")),
    ("*\t*\t*\t*\t*\troot\tx", Job("x")),
    (
        "17 *\t* * *\troot    cd / && run-parts --report /etc/cron.hourly",
        Job("cd / && run-parts --report /etc/cron.hourly"),
    ),
    ("@daily www-data x y", Job("x y")),
    ("* * * * * root -n x", Job("x")),
    ("-* * * * * root -q -s x", Job("x")),
    ("* * * * * DOM\\ann x", Job("x")),
    ("* * * * * ann@example.org x", Job("x")),
    ("* * * * * root root x", Job("root x")),
    ("* * * * * root *x", Job("*x")),
    ("* * * * * root 1 x", Job("1 x")),
    ("* * * * * nosuchuser x", Job("x")),
    ("", Nothing),
    ("# x", Nothing),
    ("MAILTO=root", Set("MAILTO", "root")),
    ("* * * * * root", Bad(15, "expected a command after the user root")),
    ("* * * * * root  ", Bad(17, "expected a command after the user root")),
    ("* * * * *", Bad(10, "expected a user and a command")),
    ("@daily", Bad(7, "expected a user and a command")),
    ("* * * * * /usr/bin/backup --all", Bad(11, "expected a user name, found /usr/bin/backup")),
    ("* * * * * [ -x /bin/y ] && /bin/y", Bad(11, "expected a user name, found [")),
    ("* * * * * * root x", Bad(11, "expected a user name, found *")),
    ("0 0 3 * * */2 root x", Bad(11, "expected a user name, found */2")),
    ("* * * * * -n root x", Bad(11, "expected a user name, found -n")),
    ("0 24 * * * root x", Bad(3, "expected an hour from 0 to 23, found 24")),
    ("@after a root x", Odd(8, "no entry of this table has the name root:a")),
    ("@after alice:a root x", Odd(8, "no entry of this table has the name alice:a")),
    ("@after a root", Bad(14, "expected a command after the user root")),
    ("@after *:a root x", Bad(8, "expected USER:NAME, found *:a")),
    ("@after :a root x", Bad(8, "found :a")),
    ("0 0 3 * * 1 root x", Odd(11, "the user here is 1")),
    ("* * * * * echo hello", Odd(11, "the name of a command")),
    ("* * * * * root echo 5%", Odd(22, "standard input")),
];

#[test]
fn every_kind_of_line_is_read_as_the_references_mean_it() {
    for profile in [&DEBIAN, &CRONIE] {
        for (form, rows) in [(Form::User, USER), (Form::System, SYSTEM)] {
            for (line, is) in rows {
                check(form, profile, line, is);
            }
        }
    }
    assert!(USER.len() + SYSTEM.len() >= 150);
}

fn check(form: Form, profile: &Profile, line: &str, is: &Is) {
    let name = profile.name;
    let parsed = parse(form, profile, format!("{line}\n").as_bytes());
    let said: Vec<String> = parsed.diagnostics.iter().map(|d| d.one_line("t")).collect();
    let (table, said_nothing) = (&parsed.table, said.is_empty());
    let severity = parsed.diagnostics.first().map(|d| d.severity);
    let tells = |column: usize, words: &str| {
        parsed.diagnostics.len() == 1
            && parsed.diagnostics.iter().all(|d| (d.line, d.column) == (1, column) && d.message.contains(words))
    };
    let right = match is {
        Job(command) => said_nothing && table.entries.len() == 1 && table.commands == command.as_bytes(),
        Odd(column, words) => tells(*column, words) && severity == Some(Severity::Warning) && table.entries.len() == 1,
        Bad(column, words) => tells(*column, words) && severity == Some(Severity::Error) && table.entries.is_empty(),
        Set(name, value) => {
            said_nothing && table.settings.len() == 1 && {
                let set = &table.settings[0];
                (&*set.name, &*set.value) == (name.as_bytes(), value.as_bytes())
            }
        }
        OddSet(column, words) => {
            tells(*column, words) && severity == Some(Severity::Warning) && table.settings.len() == 1
        }
        Nothing => said_nothing && table.settings.is_empty() && table.entries.is_empty(),
    };
    assert!(right, "{name} {form:?} {line:?}: {said:#?} {:?}", table.entries);
}

#[test]
fn the_help_line_names_the_likely_intention() {
    for (form, line, words) in [
        (Form::User, "0 24 * * * x", "midnight is hour 0"),
        (Form::User, "5/15 * * * * x", "5-59/15"),
        (Form::User, "* * * * sunday x", "sun"),
        (Form::User, "0 */5 * * * * x", "leave out the seconds"),
        (Form::User, "* * * * * root x", "no user in front of the command"),
        (Form::User, "export A=b", "without a word in front"),
        (Form::User, "MAILTO root", "MAILTO=VALUE"),
        (Form::User, "X=\"a\" # c", "a comment needs a line of its own"),
        (Form::User, "MALTO=root", "did you mean MAILTO?"),
        (Form::User, "@Daily x", "@daily"),
        (Form::User, "* * * * * date +%s", "\\%"),
        (Form::System, "* * * * * /bin/x y", "the user stands in front of the command"),
        (Form::System, "* * * * * backup", "the user stands in front of the command"),
        (Form::System, "* * * * * * root x", "leave out the seconds"),
        (Form::System, "* * * * * rsync -a /x /y", "the user stands in front of the command"),
    ] {
        let parsed = parse(form, &DEBIAN, format!("{line}\n").as_bytes());
        let help = parsed.diagnostics.first().and_then(|d| d.help.clone()).unwrap_or_default();
        assert!(help.contains(words), "{line:?}: {help:?}");
    }
}
