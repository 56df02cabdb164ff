//! Tables of cases: the policy that each value of a job setting makes, what is said about faulty ones, and what is shared.

use super::cases_tests::parse;
use super::*;
use crate::profile::{CRONIE, DEBIAN};
use crate::schedule::Day;
use std::sync::Arc;

fn of(text: &str) -> Parsed {
    parse(Form::User, &DEBIAN, text.as_bytes())
}

fn of_system(text: &str) -> Parsed {
    parse(Form::System, &DEBIAN, text.as_bytes())
}

/// Line, column, message and help of all warnings. Errors fail.
fn warnings(parsed: &Parsed) -> Vec<(usize, usize, String, String)> {
    assert!(parsed.is_ok(), "{:#?}", parsed.diagnostics);
    let shown = |d: &Diagnostic| (d.line, d.column, d.message.clone(), d.help.clone().unwrap_or_default());
    parsed.warnings().map(shown).collect()
}

fn policies(parsed: &Parsed) -> Vec<Arc<Policy>> {
    parsed.table.entries.iter().map(Entry::policy).collect()
}

/// The policy that one setting makes of the default, in a system table.
fn policy(name: &str, value: &str) -> Policy {
    let parsed = of_system(&format!("{name}={value}\n0 3 1 * * root x\n"));
    let said: Vec<_> = warnings(&parsed).into_iter().filter(|said| !said.2.contains("has no 0")).collect();
    assert!(said.is_empty(), "{name}={value}: {said:?}");
    assert_eq!(parsed.table.entries.len(), 1);
    Policy::clone(&parsed.table.entries[0].policy())
}

fn day(text: &str) -> Day {
    Day::parse_iso(text.as_bytes()).expect("a date")
}

fn days(from: &str, to: &str) -> (Day, Day) {
    (day(from), day(to))
}

#[test]
fn each_value_makes_its_policy() {
    let default = Policy::default;
    let group = |name: &str, slots| Some(Group { name: name.into(), slots });
    let command = |text: &str| Some(Arc::<[u8]>::from(text.as_bytes()));
    let retry = |attempts, first, max| Policy { retry: Retry { attempts, first, max }, ..default() };
    let catch_up = |mode, max_age| Policy { catch_up: CatchUp { mode, max_age }, ..default() };
    let except = |days: &[(Day, Day)], calendars: &[&str]| Policy {
        except: Arc::new(Exceptions::new(days.to_vec(), calendars.iter().map(|name| (*name).into()).collect())),
        ..default()
    };
    let ping = |url: &str, with_output| Policy { ping: Some(Ping { url: url.into(), with_output }), ..default() };
    let limits = |nice, io| Policy { limits: ResourceLimits { nice, io }, ..default() };
    let alert = |failures, repeat| Policy { alert: Some(Alert { failures, repeat }), ..default() };
    let success = |list: &[u8]| Policy { success: ExitStatuses::of(list.iter().copied()), ..default() };
    for (name, value, wanted) in [
        ("CRON_ENABLED", "no", Policy { is_enabled: false, ..default() }),
        ("CRON_ENABLED", "yes", default()),
        ("CRON_OVERLAP", "allow", default()),
        ("CRON_OVERLAP", "skip", Policy { overlap: Overlap::Skip, ..default() }),
        ("CRON_OVERLAP", "'queue'", Policy { overlap: Overlap::Queue, ..default() }),
        ("CRON_OVERLAP", "\"replace\"", Policy { overlap: Overlap::Replace, ..default() }),
        ("CRON_GROUP", "db", Policy { group: group("db", 1), ..default() }),
        ("CRON_GROUP", "a.B_c-9,10000", Policy { group: group("a.B_c-9", 10_000), ..default() }),
        ("CRON_TIMEOUT", "1h30m", Policy { timeout: Some(5400), ..default() }),
        ("CRON_GRACE", "0s", Policy { grace: 0, ..default() }),
        ("CRON_GRACE", "10s", default()),
        ("CRON_RETRY", "0", default()),
        ("CRON_RETRY", "3", retry(3, 30, 3600)),
        ("CRON_RETRY", "1000,1m", retry(1000, 60, 3600)),
        ("CRON_RETRY", "2,5m,10m", retry(2, 300, 600)),
        ("CRON_RETRY", "2,2h", retry(2, 7200, 7200)),
        ("CRON_RETRY", "2,10m,5m", retry(2, 600, 600)),
        ("CRON_SUCCESS", "0", default()),
        ("CRON_SUCCESS", "0,1,24", success(&[0, 1, 24])),
        ("CRON_SUCCESS", "255", success(&[255])),
        ("CRON_FAIL_ON", "stderr", Policy { fails_on_stderr: true, ..default() }),
        ("CRON_FAIL_ON", "off", default()),
        ("CRON_CATCHUP", "none", default()),
        ("CRON_CATCHUP", "once", catch_up(CatchUpMode::Once, 31 * 86_400)),
        ("CRON_CATCHUP", "all,7d", catch_up(CatchUpMode::All, 7 * 86_400)),
        ("CRON_EXCEPT", "2026-12-24", except(&[days("2026-12-24", "2026-12-24")], &[])),
        ("CRON_EXCEPT", "2026-12-24..2027-01-06", except(&[days("2026-12-24", "2027-01-06")], &[])),
        (
            "CRON_EXCEPT",
            "holidays,2024-02-29,de.BY_x-1",
            except(&[days("2024-02-29", "2024-02-29")], &["holidays", "de.BY_x-1"]),
        ),
        ("CRON_EXCEPT", "a..b", except(&[], &["a..b"])),
        ("CRON_EXCEPT", "2026", except(&[], &["2026"])),
        ("CRON_LATE", "1d", Policy { late: Some(86_400), ..default() }),
        ("CRON_MAIL", "output", default()),
        ("CRON_MAIL", "failure", Policy { mail: MailRule::Failure, ..default() }),
        ("CRON_MAIL", "never", Policy { mail: MailRule::Never, ..default() }),
        ("CRON_MAIL", "change", Policy { mail: MailRule::Change, ..default() }),
        (
            "CRON_ON_FAILURE",
            "a %b",
            Policy { hooks: Hooks { failure: command("a %b"), ..Hooks::default() }, ..default() },
        ),
        ("CRON_ON_SUCCESS", "b", Policy { hooks: Hooks { success: command("b"), ..Hooks::default() }, ..default() }),
        ("CRON_ON_RECOVERY", "c", Policy { hooks: Hooks { recovery: command("c"), ..Hooks::default() }, ..default() }),
        ("CRON_ON_LATE", "d", Policy { hooks: Hooks { late: command("d"), ..Hooks::default() }, ..default() }),
        ("CRON_ALERT", "1", alert(1, None)),
        ("CRON_ALERT", "3,1d", alert(3, Some(86_400))),
        ("CRON_PING", "https://hc.example/a-b,c?x=1", ping("https://hc.example/a-b,c?x=1", false)),
        ("CRON_PING", "http://[::1]:8000/x,output", ping("http://[::1]:8000/x", true)),
        ("CRON_PING", "http://127.0.0.1", ping("http://127.0.0.1", false)),
        ("CRON_LIMITS", "nice=19", limits(Some(19), None)),
        ("CRON_LIMITS", "nice=-20", limits(Some(-20), None)),
        ("CRON_LIMITS", "io=idle  nice=0", limits(Some(0), Some(IoClass::Idle))),
        ("CRON_LIMITS", "nice=5 io=best-effort:7", limits(Some(5), Some(IoClass::BestEffort(7)))),
        ("CRON_HISTORY", "full", default()),
        ("CRON_HISTORY", "no-output", Policy { history: HistoryRule::NoOutput, ..default() }),
        ("CRON_HISTORY", "off", Policy { history: HistoryRule::Off, ..default() }),
    ] {
        assert_eq!(policy(name, value), wanted, "{name}={value}");
    }
    for setting in job_settings() {
        assert_eq!(policy(setting.name, "default"), Policy::default(), "{}", setting.name);
    }
}

#[test]
fn a_faulty_value_is_a_warning_at_its_place_and_changes_nothing() {
    let long_name = "n".repeat(65);
    let long_url = format!("http://h/{}", "x".repeat(2000));
    let calendars = (0..22).map(|number| format!("{}", char::from(b'a' + number))).collect::<Vec<_>>().join(",");
    let many = vec!["x"; 1001].join(",");
    // Setting, value, column of the fault in the value from 0, message.
    for (name, value, column, message) in [
        ("CRON_NAME", "", 0, "expected a name of 1 to 64 characters, found nothing"),
        ("CRON_NAME", "a b", 1, "expected a name of letters, digits and the characters . _ -, found a blank"),
        ("CRON_NAME", "a/b", 1, "found /"),
        ("CRON_NAME", "caf\u{e9}s", 3, "found \u{e9}"),
        ("CRON_NAME", long_name.as_str(), 0, "found 65 characters"),
        ("CRON_ENABLED", "", 0, "expected yes or no, found nothing"),
        ("CRON_ENABLED", "true", 0, "expected yes or no, found true"),
        ("CRON_OVERLAP", "Skip", 0, "expected allow, skip, queue or replace, found Skip"),
        ("CRON_GROUP", "", 0, "expected the name of a group of 1 to 64 characters, found nothing"),
        ("CRON_GROUP", "default,2", 0, "found default, which is reserved and cannot be a name"),
        ("CRON_GROUP", "db,0", 3, "expected a number of slots from 1 to 10000, found 0"),
        ("CRON_GROUP", "db,10001", 3, "found 10001"),
        ("CRON_GROUP", "db,", 3, "found nothing"),
        ("CRON_GROUP", "db,1,2", 4, "expected NAME or NAME,SLOTS, found more: ,2"),
        ("CRON_TIMEOUT", "30", 0, "expected a duration such as 90s, 30m, 2h or 1h30m, found 30"),
        ("CRON_TIMEOUT", "0s", 0, "expected a duration of at least 1s, found 0s"),
        ("CRON_GRACE", "", 0, "found nothing"),
        ("CRON_RETRY", "1001", 0, "expected a number of retries from 0 to 1000, found 1001"),
        ("CRON_RETRY", "-1", 0, "found -1"),
        ("CRON_RETRY", "3,30", 2, "found 30"),
        ("CRON_RETRY", "3,30s,", 6, "found nothing"),
        ("CRON_RETRY", "3, 30s", 2, "found  30s"),
        ("CRON_RETRY", "3,30s,1h,2h", 8, "found more: ,2h"),
        ("CRON_SUCCESS", "256", 0, "expected an exit status from 0 to 255, found 256"),
        ("CRON_SUCCESS", "0,", 2, "found nothing"),
        ("CRON_SUCCESS", "", 0, "found nothing"),
        ("CRON_FAIL_ON", "stdout", 0, "expected stderr or off, found stdout"),
        ("CRON_CATCHUP", "on", 0, "expected none, once or all, found on"),
        ("CRON_CATCHUP", "once,0d", 5, "at least 1s"),
        ("CRON_CATCHUP", "all,7d,1", 6, "found more: ,1"),
        ("CRON_EXCEPT", "", 0, "found nothing"),
        ("CRON_EXCEPT", "2026-02-29", 0, "expected a date such as 2026-12-24, found 2026-02-29"),
        ("CRON_EXCEPT", "a,2026-13-01..2026-12-01", 2, "found 2026-13-01"),
        ("CRON_EXCEPT", "2026-12-24..2026-12-32", 12, "found 2026-12-32"),
        ("CRON_EXCEPT", "2026-12-24..", 12, "found nothing"),
        ("CRON_EXCEPT", "2026-12-24..2026-12-23", 0, "expected the earlier date first"),
        ("CRON_EXCEPT", "x..2026-12-23", 0, "found x"),
        ("CRON_EXCEPT", "2026-1-5", 0, "found 2026-1-5"),
        ("CRON_EXCEPT", "2026/01/05", 0, "found 2026/01/05"),
        ("CRON_EXCEPT", ".hidden", 0, "found .hidden"),
        ("CRON_EXCEPT", "a, b", 2, "found a blank"),
        ("CRON_EXCEPT", "a,default", 2, "found default, which is reserved and cannot be a name"),
        ("CRON_EXCEPT", many.as_str(), 2000, "expected at most 1000 dates and calendars, found more"),
        ("CRON_EXCEPT", calendars.as_str(), 40, "expected at most 20 calendars, found more"),
        ("CRON_LATE", "soon", 0, "found soon"),
        ("CRON_MAIL", "always", 0, "expected output, failure, never or change, found always"),
        ("CRON_ON_FAILURE", "", 0, "expected a command, found nothing"),
        ("CRON_ON_LATE", "' '", 1, "expected a command, found nothing"),
        ("CRON_ALERT", "0", 0, "expected a number of failures from 1 to 1000000, found 0"),
        ("CRON_ALERT", "3,1", 2, "expected a duration"),
        ("CRON_PING", "", 0, "expected a URL that begins with https:// or http://, found nothing"),
        ("CRON_PING", "ftp://secret.example/", 0, "begins with https:// or http://, found ftp://"),
        ("CRON_PING", "secret.example/x", 0, "begins with https:// or http://, found none"),
        ("CRON_PING", "https:///secret", 8, "expected the name of a host"),
        ("CRON_PING", "https://h:0/", 8, "expected the name of a host"),
        ("CRON_PING", "https://h:x/", 8, "expected the name of a host"),
        ("CRON_PING", "https://[::1/", 8, "expected the name of a host"),
        ("CRON_PING", "https://secret@/", 8, "expected the name of a host"),
        ("CRON_PING", "https://h/a secret", 11, "found a blank"),
        ("CRON_PING", "https://h/\u{e9}", 10, "printable ASCII"),
        ("CRON_PING", long_url.as_str(), 0, "expected a URL of at most 2000 characters, found 2009"),
        ("CRON_LIMITS", "", 0, "found nothing"),
        ("CRON_LIMITS", "nice=20", 5, "expected a nice value from 0 to 19, found 20"),
        ("CRON_LIMITS", "nice=-1", 5, "expected a nice value from 0 to 19, found -1"),
        ("CRON_LIMITS", "nice=", 5, "found nothing"),
        ("CRON_LIMITS", "nice=1 nice=2", 7, "expected each limit once"),
        ("CRON_LIMITS", "io=best-effort:8", 3, "expected idle or best-effort:0 to best-effort:7"),
        ("CRON_LIMITS", "nice=1 cpu=2", 7, "found cpu=2"),
        ("CRON_HISTORY", "none", 0, "expected full, no-output or off, found none"),
    ] {
        let parsed = of(&format!("{name}={value}\n0 3 1 * * x\n"));
        let said = warnings(&parsed);
        let [(1, at, text, help)] = said.as_slice() else { panic!("{name}={value}: {said:?}") };
        assert_eq!(*at, name.len() + 2 + column, "{name}={value}: {text}");
        assert!(text.starts_with(&format!("{name}: expected ")) && text.contains(message), "{name}={value}: {text}");
        assert!(!help.is_empty() && !text.contains("secret"), "{text}");
        assert!(parsed.table.entries[0].policy.is_none(), "{name}={value}");
        assert_eq!(parsed.table.entries[0].name(), None);
        let variables = parsed.table.variables(&parsed.table.entries[0]);
        let variable = variables.iter().find(|(known, _)| *known == name.as_bytes()).map(|(_, value)| *value);
        assert_eq!(variable, Some(value.trim_matches('\'').as_bytes()), "the line stays a variable");
    }
    for (value, help) in [("Skip", "did you mean skip?"), ("replce", "did you mean replace?"), ("x", "allow | skip")] {
        let said = warnings(&of(&format!("CRON_OVERLAP={value}\n")));
        assert!(said[0].3.contains(help), "{value}: {}", said[0].3);
    }
}

#[test]
fn a_good_value_holds_over_a_faulty_one_until_it_is_reset() {
    let text = "CRON_TIMEOUT=1m\nCRON_TIMEOUT=soon\n@daily a\nCRON_TIMEOUT=default\n@daily b\n\
                CRON_NAME=good\nCRON_NAME=\n@daily c\nCRON_NAME=d\nCRON_NAME=default\n@daily d\n";
    let parsed = of(text);
    assert_eq!(warnings(&parsed).iter().map(|said| said.0).collect::<Vec<_>>(), [2, 7]);
    let timeouts: Vec<_> = policies(&parsed).iter().map(|policy| policy.timeout).collect();
    assert_eq!(timeouts, [Some(60), None, None, None]);
    let names: Vec<_> = parsed.table.entries.iter().map(Entry::name).collect();
    assert_eq!(names, [None, None, Some("good"), None]);
}

#[test]
fn entries_under_the_same_settings_share_one_policy() {
    let parsed = of("@daily a\nA=1\n@daily b\nCRON_TIMEOUT=1m\nCRON_MAIL=never\n@daily c\nB=2\n@daily d\n\
                     @daily -s e\n@daily -s f\nCRON_OVERLAP=skip\n@daily g\n@daily -s h\n\
                     CRON_TIMEOUT=default\nCRON_MAIL=output\nCRON_OVERLAP=allow\n@daily i\nCRON_GRACE=10s\n@daily j\n");
    assert_eq!(warnings(&parsed), []);
    let policies = policies(&parsed);
    let shares = |a: usize, b: usize| Arc::ptr_eq(&policies[a], &policies[b]);
    let [a, b, c, d, e, f, g, h, i, j] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9];
    assert!(shares(a, b) && shares(c, d) && shares(e, f) && shares(g, h) && shares(i, j));
    assert!(Arc::ptr_eq(&policies[a], &Policy::shared_default()) && shares(a, i));
    assert!(!shares(a, c) && !shares(c, e));
    assert_eq!((policies[e].overlap, policies[e].timeout), (Overlap::Skip, Some(60)));
    assert_eq!(policies[g], policies[e]);
}

#[test]
fn the_flags_s_and_n_win_over_the_settings() {
    let parsed =
        of("CRON_OVERLAP=queue\nCRON_MAIL=never\n@daily -s -n -q a\n@daily b\nCRON_MAIL=change\n@daily -n c\n");
    let policies = policies(&parsed);
    assert_eq!((policies[0].overlap, policies[1].overlap), (Overlap::Skip, Overlap::Queue));
    let mail = [MailRule::Failure, MailRule::Never, MailRule::Failure];
    assert_eq!(policies.iter().map(|policy| policy.mail).collect::<Vec<_>>(), mail);
    let flags = parsed.table.entries[0].flags;
    assert!(flags.single && flags.quiet && flags.mail_only_on_failure);
}

#[test]
fn an_entry_on_which_no_setting_has_an_effect_has_no_policy() {
    for (line, has_policy) in [("@reboot a", false), ("@daily a", true), ("@reboot -s a", true)] {
        let parsed = of(&format!("CRON_CATCHUP=once\n{line}\n"));
        assert_eq!(parsed.table.entries[0].policy.is_some(), has_policy, "{line}");
    }
}

#[test]
fn a_name_and_a_ping_hold_for_the_next_entry_only() {
    let text = "CRON_NAME=a\n# c\n\nCRON_PING=http://h/1\nX=1\n@daily a\n@daily b\n\
                CRON_NAME=lost\nCRON_PING=http://h/2\nbad\n@daily c\n\
                CRON_NAME=lost\n@daily \0\n@daily d\nCRON_NAME=e\nX='\n@daily e\n\
                CRON_TZ=Mars/Base\nCRON_NAME=zoneless\n@daily z\nCRON_TZ=local\n@daily f\n";
    let parsed = of(text);
    let table = &parsed.table;
    let found: Vec<_> = table
        .entries
        .iter()
        .map(|entry| {
            let ping = entry.policy.as_ref().and_then(|policy| policy.ping.as_ref()).map(|ping| &*ping.url);
            (String::from_utf8_lossy(table.command(entry)).into_owned(), entry.name(), ping)
        })
        .collect();
    let row = |command: &str, name, ping| (command.to_owned(), name, ping);
    assert_eq!(
        found,
        [
            row("a", Some("a"), Some("http://h/1")),
            row("b", None, None),
            row("c", None, None),
            row("d", None, None),
            row("e", Some("e"), None),
            row("f", None, None),
        ]
    );
}

#[test]
fn a_negative_nice_value_is_for_entries_of_root() {
    let parsed = of_system("CRON_LIMITS=nice=-5 io=idle\n@daily root a\n@daily www-data b\n@daily root -s c\n");
    let said = warnings(&parsed);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!((said[0].0, said[0].1), (3, 1));
    assert_eq!(said[0].2, "the nice value of CRON_LIMITS has no effect on entries of www-data");
    let limits: Vec<_> = policies(&parsed).iter().map(|policy| (policy.limits.nice, policy.limits.io)).collect();
    let io = Some(IoClass::Idle);
    assert_eq!(limits, [(Some(-5), io), (None, io), (Some(-5), io)]);
}

#[test]
fn a_setting_that_does_not_apply_is_named() {
    for (schedule, settings, names) in [
        ("0 3 * * *", "CRON_CATCHUP=once\nCRON_EXCEPT=x\nCRON_LATE=1h", &[][..]),
        ("@5m", "CRON_CATCHUP=once\nCRON_EXCEPT=x\nCRON_LATE=1h", &["CRON_CATCHUP", "CRON_LATE"]),
        ("@reboot", "CRON_CATCHUP=once\nCRON_EXCEPT=x\nCRON_LATE=1h", &["CRON_CATCHUP", "CRON_EXCEPT", "CRON_LATE"]),
        (
            "@after a",
            "CRON_CATCHUP=once\nCRON_EXCEPT=x\nCRON_LATE=1h\nCRON_NAME=a\n@daily a",
            &["CRON_CATCHUP", "CRON_EXCEPT"],
        ),
        ("@reboot", "CRON_CATCHUP=none\nCRON_EXCEPT=default", &[]),
        ("@reboot", "CRON_RETRY=0\nCRON_TIMEOUT=1h\nCRON_GROUP=x\nCRON_NAME=y\nCRON_ALERT=2", &[]),
    ] {
        let said = warnings(&of(&format!("{settings}\n{schedule} x\n")));
        let found: Vec<&str> = said.iter().filter_map(|said| said.2.split(" has no effect on ").next()).collect();
        assert_eq!(found, names, "{schedule} {settings}");
    }
    let said = warnings(&of("CRON_LATE=1h\n  @reboot x\n"));
    assert_eq!((said[0].0, said[0].1), (2, 3));
    assert_eq!(
        (said[0].2.as_str(), said[0].3.as_str()),
        ("CRON_LATE has no effect on @reboot entries", "write CRON_LATE=default above this entry")
    );
}

#[test]
fn retries_of_a_reboot_entry_are_warned_about() {
    for (setting, times) in [("1", "once"), ("3,1m", "3 times")] {
        let said = warnings(&of(&format!("CRON_RETRY={setting}\n@reboot x\n@after a y\nCRON_NAME=a\n@daily x\n")));
        let wanted = format!("CRON_RETRY tries this @reboot entry again only {times} after a boot, ");
        assert!(said.len() == 1 && said[0].0 == 2 && said[0].2.starts_with(&wanted), "{said:?}");
    }
}

#[test]
fn values_that_do_not_go_with_the_interval_of_an_entry_are_warned_about() {
    for (settings, schedule, words) in [
        // The first pause under allow.
        ("CRON_RETRY=3,5m", "*/10 * * * *", None),
        (
            "CRON_RETRY=3,10m",
            "*/10 * * * *",
            Some("CRON_RETRY waits 10m for its first retry, but this entry is due again after 10m"),
        ),
        ("CRON_RETRY=0,10m", "*/10 * * * *", None),
        ("CRON_RETRY=3,10m\nCRON_OVERLAP=skip", "*/10 * * * *", None),
        ("CRON_RETRY=3,1h", "0 9,10 1 1 *", Some("after 1h")),
        ("CRON_RETRY=3,30s", "@every_second", Some("after 1s")),
        ("CRON_RETRY=3,30s", "@quartz 0/10 * * * * ? *", Some("after 10s")),
        ("CRON_RETRY=3,10m", "0 0 30 2 *", None),
        // The timeout under allow.
        ("CRON_TIMEOUT=10m", "*/10 * * * *", None),
        ("CRON_TIMEOUT=11m", "*/10 * * * *", Some("CRON_TIMEOUT is 11m, but this entry is due again after 10m")),
        ("CRON_TIMEOUT=11m\nCRON_OVERLAP=replace", "*/10 * * * *", None),
        ("CRON_TIMEOUT=1d", "@5m", None),
        ("CRON_TIMEOUT=25h", "@daily", Some("after 1d")),
        // Retries under queue.
        ("CRON_RETRY=3,1m\nCRON_OVERLAP=queue", "*/10 * * * *", None),
        ("CRON_RETRY=4,1m\nCRON_OVERLAP=queue", "*/10 * * * *", Some("the pauses of CRON_RETRY are 15m together")),
        ("CRON_RETRY=1000,30000d,30000d\nCRON_OVERLAP=queue", "@daily", Some("more than 100 years")),
        // Catch-up of everything.
        ("CRON_CATCHUP=all", "0 * * * *", None),
        (
            "CRON_CATCHUP=all",
            "*/30 * * * *",
            Some("CRON_CATCHUP=all runs each missed slot of this entry, which is due every 30m"),
        ),
        ("CRON_CATCHUP=once", "* * * * *", None),
        ("CRON_CATCHUP=all", "0,30 4 1 1 *", Some("due every 30m")),
    ] {
        let said = warnings(&of(&format!("{settings}\n{schedule} x\n")));
        let said: Vec<_> = said.into_iter().filter(|said| !said.2.contains("never matches")).collect();
        match words {
            None => assert_eq!(said, [], "{settings} {schedule}"),
            Some(words) => {
                assert_eq!(said.len(), 1, "{settings} {schedule}: {said:?}");
                assert!(said[0].2.contains(words) && !said[0].3.is_empty(), "{settings} {schedule}: {said:?}");
            }
        }
    }
    let said = warnings(&of("CRON_SUCCESS=1,24\n@daily a\n@daily b\n"));
    assert_eq!(said.len(), 1);
    assert_eq!((said[0].0, said[0].1), (1, 14));
    assert!(said[0].2.contains("a job that exits with 0 counts as failed"));
}

#[test]
fn a_table_of_long_lists_keeps_a_bounded_number_of_them() {
    let items = vec!["x"; 1000].join(",");
    let text: String = (0..150).map(|_| format!("CRON_EXCEPT={items}\n@daily root x\n")).collect();
    let parsed = parse(Form::System, &CRONIE, text.as_bytes());
    assert_eq!((parsed.warnings().count(), parsed.unlisted.warnings), (50, 0));
    assert!(parsed.warnings().all(|said| said.message.contains("in all of a table")));
    assert_eq!(parsed.table.entries.len(), 150);
}

#[test]
fn job_settings_are_told_from_other_variables() {
    for setting in job_settings() {
        assert!(is_job_setting(setting.name.as_bytes()));
        let is_hidden = setting.name == "CRON_PING" || setting.name.starts_with("CRON_ON_");
        assert_eq!(is_hidden_from_jobs(setting.name.as_bytes()), is_hidden, "{}", setting.name);
        assert!(settings().any(|known| known == setting.name));
    }
    assert!(is_job_setting(b"CRON_FLEET") && is_job_setting(b"CRON_FLEET_NODES"));
    for other in ["CRON_TZ", "CRON_JOB", "CRON_FLEETS", "MAILTO", "cron_ping", ""] {
        assert!(!is_job_setting(other.as_bytes()) && !is_hidden_from_jobs(other.as_bytes()), "{other}");
    }
    assert_eq!(job_settings().len(), 25);
}

/// Lines, columns and messages of errors.
fn errors(parsed: &Parsed) -> Vec<(usize, usize, String)> {
    parsed.errors().map(|d| (d.line, d.column, d.message.clone())).collect()
}

#[test]
fn an_entry_knows_the_jobs_that_it_runs_after() {
    let parsed = of("CRON_NAME=a\n@daily x\n@after  b,a,b\t-n y z\nCRON_NAME=b\n@after a x\n");
    assert_eq!(warnings(&parsed), []);
    let after = |entry: usize| -> Vec<&str> { parsed.table.entries[entry].after().iter().map(|job| &**job).collect() };
    assert_eq!((after(0), after(1), after(2)), (vec![], vec!["b", "a"], vec!["a"]));
    let (table, entry) = (&parsed.table, &parsed.table.entries[1]);
    assert_eq!((table.command(entry), &*table.timing(entry).text), (&b"y z"[..], &b"@after  b,a,b"[..]));
    let system = of_system(
        "CRON_NAME=a\n@daily root x\nCRON_NAME=a\n@daily alice x\n@after alice:a,a root y\n@after a alice y\n",
    );
    assert_eq!(warnings(&system), []);
    let jobs: Vec<Vec<&str>> =
        system.table.entries[2..].iter().map(|entry| entry.after().iter().map(|job| &**job).collect()).collect();
    assert_eq!(jobs, [vec!["alice:a", "root:a"], vec!["alice:a"]]);
}

#[test]
fn an_unknown_job_is_an_error_at_install_and_a_warning_at_load() {
    let text = "CRON_NAME=upload\n@daily x\n@after uplaod,backup y\nCRON_NAME=bad\nbad\n@after bad z\n";
    let parsed = of(text);
    let said: Vec<_> = errors(&parsed);
    assert_eq!(said.iter().map(|said| (said.0, said.1)).collect::<Vec<_>>(), [(3, 8), (3, 15), (5, 1)], "{said:?}");
    let helps: Vec<String> = parsed.errors().map(|d| d.help.clone().unwrap_or_default()).collect();
    assert_eq!(helps[..2], ["did you mean upload?", "write CRON_NAME=backup above the entry that is meant"]);
    assert_eq!(parsed.table.entries.len(), 3, "the daemon runs the table all the same");

    let context = super::cases_tests::context(Form::User, &DEBIAN);
    let mut parser = Parser::new(&context).of_installed();
    parser.feed(b"@after backup y\n").unwrap();
    let parsed = parser.finish().unwrap();
    assert!(parsed.is_ok());
    assert_eq!((parsed.warnings().count(), parsed.table.entries.len()), (1, 1));
    // A derived name is no CRON_NAME.
    assert_eq!(errors(&of("@daily backup\n@after backup x\n")).len(), 1);
}

#[test]
fn a_cycle_is_an_error_that_shows_all_of_it() {
    let cycle = |form, text: &str| errors(&parse(form, &DEBIAN, text.as_bytes()));
    let said = cycle(
        Form::User,
        "CRON_NAME=a\n@after c x\nCRON_NAME=b\n@after ok,a x\nCRON_NAME=c\n@after b x\nCRON_NAME=ok\n@daily x\n@after a x\n",
    );
    assert_eq!(
        said,
        [(4, 11, "expected jobs that do not wait for each other, found a cycle: a after c after b after a".to_owned())]
    );
    let said = cycle(Form::User, "CRON_NAME=a\n@after a x\n");
    assert_eq!(said, [(2, 8, "expected jobs that do not wait for each other, found a cycle: a after a".to_owned())]);
    let said = cycle(
        Form::System,
        "CRON_NAME=a\n@after b root x\nCRON_NAME=b\n@after root:a root x\nCRON_NAME=a\n@after root:a bob x\n",
    );
    assert_eq!(
        said,
        [(
            4,
            8,
            "expected jobs that do not wait for each other, found a cycle: root:a after root:b after root:a".to_owned()
        )]
    );
    // Two ways to one job are no cycle.
    let diamond = "CRON_NAME=a\n@daily x\nCRON_NAME=b\n@after a x\nCRON_NAME=c\n@after a x\nCRON_NAME=d\n@after b,c x\n@after b,c,d x\n";
    assert_eq!(cycle(Form::User, diamond), []);
}

#[test]
fn the_first_entry_of_a_name_keeps_it() {
    let parsed = of("CRON_NAME=a\n@daily x\nCRON_NAME=a\n@daily y\n@after a z\n");
    let said = warnings(&parsed);
    assert_eq!(said.len(), 1, "{said:?}");
    assert_eq!((said[0].0, said[0].2.as_str()), (4, "the name a is already used in line 2"));
    let names: Vec<_> = parsed.table.entries.iter().map(Entry::name).collect();
    assert_eq!(names, [Some("a"), None, None]);
}

#[test]
fn a_group_with_different_numbers_of_runs_is_a_warning_for_each_that_is_set() {
    for (text, expected) in [
        ("CRON_GROUP=g,2\n* * * * * a\n* * * * * b\nCRON_GROUP=h\n* * * * * c\n", vec![]),
        ("CRON_GROUP=g,2\n* * * * * a\nCRON_GROUP=g\n* * * * * b\n* * * * * c\n", vec![4]),
    ] {
        let parsed = parse(Form::User, &CRONIE, text.as_bytes());
        let lines: Vec<usize> = parsed.warnings().map(|said| said.line).collect();
        assert_eq!(lines, expected, "{text}");
    }
}
