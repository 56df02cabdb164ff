//! Any bytes as the settings above an entry: every value of a policy is within its bounds, what is not obeyed is told in its line, and a variable
//! has the value that env.c of the reference implementations gives it.

use super::table::{check_diagnostics, context};
use cronwheel::crontab::{
    Crontab, Form, IoClass, LARGEST_ENVIRONMENT, Parsed, Policy, is_job_setting, job_settings, settings,
};
use cronwheel::profile::{CRONIE, DEBIAN};

/// The entries below the settings. The last of them has the defaults again, as far as they can be set.
const ENTRIES: &[u8] = b"\n@daily root true\n5 4 * * * daemon true\n@5m root true\n@reboot root true\n";

pub fn run(input: &[u8]) {
    let text = [input, ENTRIES].concat();
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    for profile in [&DEBIAN, &CRONIE] {
        for form in [Form::User, Form::System] {
            let parsed = Crontab::parse(&text, &context(form, profile)).expect("memory");
            check_diagnostics(&parsed.diagnostics, &lines);
            for entry in &parsed.table.entries {
                let is_root = entry.user.as_deref() == Some("root");
                check_policy(&entry.policy(), form, is_root);
                let size: usize =
                    parsed.table.variables(entry).iter().map(|(name, value)| name.len() + value.len() + 2).sum();
                assert!(size <= LARGEST_ENVIRONMENT);
            }
            check_variables(&parsed, &lines);
        }
    }
    written_again(&lines);
}

fn check_policy(policy: &Policy, form: Form, is_root: bool) {
    const LONGEST: u32 = 36_525 * 86_400;
    assert!(policy.timeout.is_none_or(|timeout| (1..=LONGEST).contains(&timeout)), "{policy:?}");
    assert!(policy.grace <= LONGEST && policy.late.is_none_or(|late| (1..=LONGEST).contains(&late)), "{policy:?}");
    assert!(
        policy.retry.attempts <= 1_000 && policy.retry.first <= LONGEST && policy.retry.max <= LONGEST,
        "{policy:?}"
    );
    assert!(policy.catch_up.max_age <= LONGEST, "{policy:?}");
    let mut pauses = (1..=policy.retry.attempts).map(|attempt| policy.retry.pause(attempt));
    assert!(pauses.all(|pause| pause <= policy.retry.max.max(policy.retry.first)));
    assert!((0..256).any(|status| policy.success.contains(status)), "no exit status is a success: {policy:?}");
    assert!(policy.group.as_ref().is_none_or(|group| group.slots >= 1 && !group.name.is_empty()), "{policy:?}");
    assert!(policy.alert.is_none_or(|alert| alert.failures >= 1), "{policy:?}");
    if let Some(ping) = &policy.ping {
        assert!(ping.url.starts_with("http://") || ping.url.starts_with("https://"), "{policy:?}");
        assert!(ping.url.bytes().all(|byte| byte.is_ascii_graphic()), "{policy:?}");
    }
    let nice = policy.limits.nice.unwrap_or_default();
    assert!((-20..=19).contains(&nice) && (nice >= 0 || (is_root && form == Form::System)), "{policy:?}");
    assert!(!matches!(policy.limits.io, Some(IoClass::BestEffort(level)) if level > 7), "{policy:?}");
}

/// Whether each line that env.c reads as a variable is one, with the same value. What differs on purpose is left out: see the comments.
fn check_variables(parsed: &Parsed, lines: &[&[u8]]) {
    for (line, number) in lines.iter().zip(1..) {
        let found = parsed.table.settings.iter().find(|setting| setting.line == number);
        let Some((name, value, is_quoted)) =
            load_env(line).filter(|_| !parsed.errors().any(|said| said.line == number as usize))
        else {
            continue;
        };
        // A line after one that makes the environment too large is dropped.
        let Some(setting) = found else {
            assert!(parsed.errors().next().is_some(), "{} is no setting", line.escape_ascii());
            continue;
        };
        // Quotes keep blanks at the end of a value here; see cron-differences(7).
        let kept = value.iter().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
        let value = if is_quoted { &value[..] } else { &value[..kept] };
        assert_eq!((&*setting.name, &*setting.value), (&name[..], value), "{}", line.escape_ascii());
    }
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t' | 0x0b | 0x0c | b'\r')
}

/// A line as env.c (load_env) reads it: name, value, and whether the value is in quotes. None: it is no variable.
fn load_env(line: &[u8]) -> Option<(Vec<u8>, Vec<u8>, bool)> {
    let skip = |text: &[u8]| text.iter().take_while(|byte| is_space(byte)).count();
    let text = &line[line.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()..];
    if text.starts_with(b"#") || text.contains(&0) {
        return None;
    }
    let word = |text: &[u8], ends: &dyn Fn(&u8) -> bool| -> Option<(Vec<u8>, usize, bool)> {
        match text.first()? {
            quote @ (b'"' | b'\'') => {
                let length = text[1..].iter().position(|byte| byte == quote)?;
                Some((text[1..=length].to_vec(), length + 2, true))
            }
            _ => {
                let length = text.iter().position(ends).unwrap_or(text.len());
                Some((text[..length].to_vec(), length, false))
            }
        }
    };
    let (name, length, is_quoted) = word(text, &|byte| is_space(byte) || *byte == b'=')?;
    if name.is_empty() || (is_quoted && name.contains(&b'=')) {
        return None;
    }
    let rest = &text[length..];
    let rest = rest[skip(rest)..].strip_prefix(b"=")?;
    let rest = &rest[skip(rest)..];
    if rest.is_empty() {
        return None;
    }
    let (value, length, is_quoted) = word(rest, &|_| false)?;
    // Behind the closing quote there may be blanks only.
    (!is_quoted || skip(&rest[length..]) == rest.len() - length).then_some((name, value, is_quoted))
}

/// Whether a job setting whose value is obeyed has the same effect when the value is written in quotes.
fn written_again(lines: &[&[u8]]) {
    let line = lines.first().copied().unwrap_or_default();
    let Some(equals) = line.iter().position(|byte| *byte == b'=') else { return };
    let (name, value) = (&line[..equals], &line[equals + 1..]);
    if !is_job_setting(name) || value.iter().any(|byte| matches!(byte, b'"' | b'\'' | b'\r' | 0)) {
        return;
    }
    let value = value.trim_ascii();
    let policies = |text: &[u8]| {
        let text = [text, ENTRIES].concat();
        let parsed = Crontab::parse(&text, &context(Form::System, &CRONIE)).expect("memory");
        parsed.table.entries.iter().map(|entry| entry.policy()).collect::<Vec<_>>()
    };
    let quoted = [name, b"=\"", value, b"\""].concat();
    let bare = [name, b"=", value].concat();
    assert_eq!(policies(&bare), policies(&quoted), "{}", bare.escape_ascii());
    assert!(settings().count() > job_settings().len());
}
