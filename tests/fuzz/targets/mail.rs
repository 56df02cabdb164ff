//! Any bytes as what users write into mails: nothing of it becomes another header line or an option of the mailer.

use super::input::Input;
use cronwheel::profile::{CRONIE, DEBIAN, Profile, ProfileName};
use cronwheel::report::mail::{
    Head, MailSettings, addresses, body, expand, failure, head, is_safe, refusal, sendmail_arguments,
};

/// What the parts of an input stand between.
const END: u8 = 0xff;

/// The names of all header lines, in their order; those of cronie alone, and those that may be there more than once.
const HEADERS: [(&str, bool, bool); 12] = [
    ("From: ", false, false),
    ("To: ", false, false),
    ("Subject: Cron <", false, false),
    ("MIME-Version: 1.0", false, false),
    ("Content-Type: ", false, false),
    ("Content-Transfer-Encoding: ", false, false),
    ("Auto-Submitted: auto-generated", true, false),
    ("Precedence: bulk", true, false),
    ("X-Cron-Env: <", false, true),
    ("X-Cron-Job: ", false, false),
    ("X-Cron-Status: ", false, false),
    ("X-Cron-Duration: ", false, false),
];

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let bits = input.byte();
    let profile = if bits & 1 == 0 { &DEBIAN } else { &CRONIE };
    let user = String::from_utf8_lossy(input.until(END)).into_owned();
    let mut part = |is_set: u8| Some(input.until(END)).filter(|_| bits & is_set != 0);
    let settings = MailSettings { to: part(2), from: part(4), content_type: part(8), encoding: part(16) };
    let (host, command, name, value) = (input.until(END), input.until(END), input.until(END), input.until(END));
    check_addresses(profile, &user, &settings);
    let resolved = addresses(profile, &user, &settings);
    let job = format!("{user}:{}", String::from_utf8_lossy(name));
    let values = Head {
        from: &resolved.from,
        to: resolved.to.as_deref().unwrap_or_default(),
        user: &user,
        host,
        full_host_name: bits & 32 != 0,
        command,
        says_failed: bits & 64 != 0,
        charset: "UTF-8",
        settings,
        job: &job,
        status: "exit 1",
        duration_ms: u64::from(bits),
    };
    let variables = [(name, value), (b"CRON_PING".as_slice(), b"https://h/secret".as_slice()), (value, name)];
    let text = head(profile, &values, variables.into_iter());
    check_head(profile, &text);
    let parts = user.len() * 2 + host.len() + command.len() + 6 * (name.len() + value.len());
    let settings = settings.to.map_or(0, <[u8]>::len)
        + settings.from.map_or(0, <[u8]>::len)
        + settings.content_type.map_or(0, <[u8]>::len)
        + settings.encoding.map_or(0, <[u8]>::len);
    assert!(text.len() <= 1_000 + 2 * (parts + settings) + user.len() * 4, "{} bytes", text.len());

    let mailed = body(profile, input.0.to_vec());
    assert!(mailed.len() <= input.0.len() && (profile.profile == ProfileName::Cronie || mailed == input.0));
    assert!(failure(profile, mailed.len(), i32::from(bits)).lines().count() == 1 && !refusal(profile).is_empty());
}

fn check_addresses(profile: &Profile, user: &str, settings: &MailSettings<'_>) {
    let resolved = addresses(profile, user, settings);
    assert!(resolved.refused.len() <= 2);
    if let Some(to) = &resolved.to {
        // The user's own name is what the system says it is, but no option.
        assert!(!to.starts_with(b"-") && (settings.to.is_none() || is_safe(profile, to)), "{resolved:?}");
        let arguments = sendmail_arguments(profile, &resolved);
        let last = arguments.last().expect("an argument");
        assert!(
            !last.starts_with(b"-") || (profile.profile == ProfileName::Cronie && user.starts_with('-')),
            "{resolved:?}"
        );
    }
    for wanted in [settings.to, settings.from].into_iter().flatten() {
        if is_safe(profile, wanted) {
            let is_plain = |byte: &u8| byte.is_ascii_graphic() && !b"\"'`$&;|<>()\\*?[]{}~#^".contains(byte);
            assert!(wanted.iter().all(is_plain) && !wanted.starts_with(b"-"), "{}", wanted.escape_ascii());
        }
        let expanded = expand(wanted, |name| {
            assert!(!name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_'));
            (!name.starts_with('X')).then(|| b"ann".to_vec())
        });
        match expanded {
            Some(expanded) if !wanted.contains(&b'$') => assert_eq!(expanded, wanted),
            Some(expanded) => assert!(expanded.len() <= 2 * wanted.len()),
            None => assert!(wanted.windows(2).any(|pair| pair == b"$X" || pair == b"{X")),
        }
    }
}

fn check_head(profile: &Profile, text: &[u8]) {
    assert!(!text.contains(&b'\r') && !text.contains(&0));
    let lines = text.strip_suffix(b"\n\n").expect("an empty line at the end").split(|byte| *byte == b'\n');
    let mut headers =
        HEADERS.iter().filter(|(_, of_cronie, _)| !of_cronie || profile.profile == ProfileName::Cronie).peekable();
    for line in lines {
        while let Some((_, _, true)) = headers.peek().filter(|(name, _, _)| !line.starts_with(name.as_bytes())) {
            headers.next();
        }
        let (name, _, is_many) = headers.peek().expect("no more header lines");
        assert!(line.starts_with(name.as_bytes()), "{}", text.escape_ascii());
        if !is_many {
            headers.next();
        }
    }
    assert_eq!(headers.next(), None, "{}", text.escape_ascii());
}
