//! The mail with a job's output: addresses, the header byte for byte as the profile's reference implementation writes it
//! (do_command.c of Debian cron and cronie), and the mailer's command line.
//!
//! Text from a user can become neither another header line nor an option of the mailer.

use super::format_count;
use crate::crontab::{is_job_setting, is_safe_address};
use crate::profile::{Profile, ProfileName};

/// The default mailer of both reference implementations.
pub const SENDMAIL: &str = "/usr/sbin/sendmail";

/// The settings of a crontab that concern mail, as raw bytes.
#[derive(Clone, Copy, Debug, Default)]
pub struct MailSettings<'a> {
    /// The value of `MAILTO`.
    pub to: Option<&'a [u8]>,
    /// The value of `MAILFROM`.
    pub from: Option<&'a [u8]>,
    /// The value of `CONTENT_TYPE`.
    pub content_type: Option<&'a [u8]>,
    /// The value of `CONTENT_TRANSFER_ENCODING`.
    pub encoding: Option<&'a [u8]>,
}

/// The resolved recipients and sender.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The recipients. None if no mail is wanted, or if it must not be sent.
    pub to: Option<Vec<u8>>,
    /// The sender for `From:`, and with the cronie profile for `-f`.
    pub from: Vec<u8>,
    /// Rejected addresses, to be logged in this order.
    pub refused: Vec<Vec<u8>>,
}

/// The log event for a rejected address.
pub fn refusal(profile: &Profile) -> &'static str {
    match profile.profile {
        ProfileName::Debian => "UNSAFE MAIL",
        ProfileName::Cronie => "UNSAFE",
    }
}

/// Resolves the recipients: MAILTO, which may be a comma-separated list; the user if it is not set; none if it is empty or
/// unsafe.
pub fn addresses(profile: &Profile, user: &str, settings: &MailSettings<'_>) -> Addresses {
    let mut refused = Vec::new();
    let default = match profile.profile {
        ProfileName::Debian => "root (Cron Daemon)",
        ProfileName::Cronie => user,
    };
    let mut from = default.as_bytes();
    let mut to = None;
    // cronie checks the sender first, Debian only if there is a recipient. This decides the order of the log lines.
    if profile.profile == ProfileName::Cronie {
        from = settings.from.filter(|from| is_usable(profile, from, &mut refused)).unwrap_or(from);
    }
    match settings.to {
        None if user.starts_with('-') => refused.push(user.as_bytes().to_vec()),
        None => to = Some(user.as_bytes().to_vec()),
        Some(wanted) if is_usable(profile, wanted, &mut refused) => to = Some(wanted.to_vec()),
        Some(_) => {}
    }
    if profile.profile == ProfileName::Debian && to.is_some() {
        from = settings.from.filter(|from| is_usable(profile, from, &mut refused)).unwrap_or(from);
    }
    let from = from.to_vec();
    Addresses { to, from, refused }
}

/// Whether the address is set and safe. An unsafe one is added to `refused`.
fn is_usable(profile: &Profile, address: &[u8], refused: &mut Vec<Vec<u8>>) -> bool {
    let safe = is_safe(profile, address);
    if !safe {
        refused.push(address.to_vec());
    }
    safe && !address.is_empty()
}

/// Whether an address is safe on the mailer's command line and in a header.
pub fn is_safe(profile: &Profile, address: &[u8]) -> bool {
    is_safe_address(address, &profile.dialect)
}

/// Expands `$NAME` and `${NAME}` in cronie's MAILTO and MAILFROM. None if a variable is not set.
pub fn expand(address: &[u8], variable: impl Fn(&str) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let mut expanded = Vec::with_capacity(address.len());
    let mut rest = address;
    while let Some(at) = rest.iter().position(|&byte| byte == b'$') {
        let (before, reference) = rest.split_at(at);
        expanded.extend_from_slice(before);
        let Some((name, length)) = reference_name(reference) else {
            // Not a valid reference; the reference implementation stops expanding here.
            rest = reference;
            break;
        };
        expanded.extend(variable(name)?);
        rest = reference.get(length..).unwrap_or(&[]);
    }
    expanded.extend_from_slice(rest);
    Some(expanded)
}

/// The name in `$NAME...` or `${NAME}...`, and the length of the reference in bytes.
fn reference_name(reference: &[u8]) -> Option<(&str, usize)> {
    let braced = reference.get(1) == Some(&b'{');
    let begin = if braced { 2 } else { 1 };
    let after = reference.get(begin..)?;
    let length = after.iter().take_while(|byte| byte.is_ascii_alphanumeric() || **byte == b'_').count();
    let name = std::str::from_utf8(after.get(..length)?).ok()?;
    let closed = !braced || after.get(length) == Some(&b'}');
    let starts_well = name.bytes().next().is_some_and(|first| !first.is_ascii_digit());
    (closed && starts_well).then_some((name, begin + length + usize::from(braced)))
}

/// The contents of a mail's header.
#[derive(Clone, Copy, Debug)]
pub struct Head<'a> {
    /// The sender, as [`Addresses`] has it.
    pub from: &'a [u8],
    /// The recipients, as [`Addresses`] has them.
    pub to: &'a [u8],
    /// The user that the job ran as.
    pub user: &'a str,
    /// The full name of this host.
    pub host: &'a [u8],
    /// Whether the subject has the full host name (Debian's `-n`) instead of its first part.
    pub full_host_name: bool,
    /// The command up to the first `%`.
    pub command: &'a [u8],
    /// Whether the subject says that the job failed (Debian's `-L 4`).
    pub says_failed: bool,
    /// The daemon's character set, as nl_langinfo(3) names it.
    pub charset: &'a str,
    /// The mail settings of the crontab.
    pub settings: MailSettings<'a>,
    /// The job's id, `USER:NAME`.
    pub job: &'a str,
    /// How the run ended: `exit 7`.
    pub status: &'a str,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

/// The header, with the empty line that ends it. `variables` become X-Cron-Env lines in the given order, without the job settings: those are for
/// the daemon, and commands and URLs of services do not belong into a mail.
pub fn head<'a>(profile: &Profile, head: &Head<'_>, variables: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut text = Vec::with_capacity(1024);
    let mut line = |parts: &[&[u8]]| {
        // Line breaks in text from a user must not start another header.
        text.extend(
            parts.iter().flat_map(|part| part.iter()).map(|&b| if matches!(b, b'\n' | b'\r' | 0) { b' ' } else { b }),
        );
        text.push(b'\n');
    };
    let host = if head.full_host_name { head.host } else { first_label(head.host) };
    let failed: &[u8] = if head.says_failed { b" (failed)" } else { b"" };
    let charset = match profile.profile {
        // The preferred MIME name.
        ProfileName::Debian if head.charset.eq_ignore_ascii_case("ANSI_X3.4-1968") => "US-ASCII",
        ProfileName::Debian | ProfileName::Cronie => head.charset,
    };
    match profile.profile {
        ProfileName::Debian => line(&[b"From: ", head.from]),
        ProfileName::Cronie => line(&[b"From: \"(Cron Daemon)\" <", head.from, b">"]),
    }
    line(&[b"To: ", head.to]);
    line(&[b"Subject: Cron <", head.user.as_bytes(), b"@", host, b"> ", head.command, failed]);
    line(&[b"MIME-Version: 1.0"]);
    match head.settings.content_type {
        Some(wanted) => line(&[b"Content-Type: ", wanted]),
        None => line(&[b"Content-Type: text/plain; charset=", charset.as_bytes()]),
    }
    line(&[b"Content-Transfer-Encoding: ", head.settings.encoding.unwrap_or(b"8bit")]);
    if profile.profile == ProfileName::Cronie {
        line(&[b"Auto-Submitted: auto-generated"]);
        line(&[b"Precedence: bulk"]);
    }
    for (name, value) in variables.filter(|(name, _)| !is_job_setting(name)) {
        line(&[b"X-Cron-Env: <", name, b"=", value, b">"]);
    }
    let duration = format!("{:.1}s", head.duration_ms as f64 / 1000.0);
    line(&[b"X-Cron-Job: ", head.job.as_bytes()]);
    line(&[b"X-Cron-Status: ", head.status.as_bytes()]);
    line(&[b"X-Cron-Duration: ", duration.as_bytes()]);
    text.push(b'\n');
    text
}

/// The output as it is mailed: cronie removes carriage returns, except for one at the very beginning.
pub fn body(profile: &Profile, output: Vec<u8>) -> Vec<u8> {
    match profile.profile {
        ProfileName::Debian => output,
        ProfileName::Cronie => {
            let mut at = 0_usize;
            let mut output = output;
            output.retain(|&byte| {
                at += 1;
                at == 1 || byte != b'\r'
            });
            output
        }
    }
}

/// The arguments with which the profile's cron calls sendmail(8).
pub fn sendmail_arguments(profile: &Profile, addresses: &Addresses) -> Vec<Vec<u8>> {
    let fixed: &[&str] = match profile.profile {
        ProfileName::Debian => &[SENDMAIL, "-FCronDaemon", "-i", "-B8BITMIME", "-oem"],
        ProfileName::Cronie => &[SENDMAIL, "-FCronDaemon", "-i", "-odi", "-oem", "-oi", "-t", "-f"],
    };
    let last = match profile.profile {
        ProfileName::Debian => addresses.to.clone().unwrap_or_default(),
        ProfileName::Cronie => addresses.from.clone(),
    };
    fixed.iter().map(|argument| argument.as_bytes().to_vec()).chain([last]).collect()
}

/// The log text about a mailer that failed.
pub fn failure(profile: &Profile, bytes: usize, status: i32) -> String {
    let bytes = format_count(bytes, "byte", "bytes");
    let whose = match profile.profile {
        ProfileName::Debian => " from MTA",
        ProfileName::Cronie => "",
    };
    format!("mailed {bytes} of output but got status 0x{status:04x}{whose}")
}

fn first_label(host: &[u8]) -> &[u8] {
    host.split(|&byte| byte == b'.').find(|label| !label.is_empty()).unwrap_or(&[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{CRONIE, DEBIAN};

    fn settings<'a>(to: Option<&'a str>, from: Option<&'a str>) -> MailSettings<'a> {
        MailSettings { to: to.map(str::as_bytes), from: from.map(str::as_bytes), ..MailSettings::default() }
    }

    #[test]
    fn mailto_decides_who_gets_the_mail() {
        for (to, debian, cronie) in [
            (None, Some("alice"), Some("alice")),
            (Some(""), None, None),
            (Some("bob,ops@example.org"), Some("bob,ops@example.org"), Some("bob,ops@example.org")),
            (Some("bob carol"), None, None),
            (Some("-C/etc/shadow"), None, None),
            (Some("/var/mail/x"), None, None),
            (Some("a/b=c"), Some("a/b=c"), None),
            (Some("x;id"), None, None),
            (Some("x\ny"), None, None),
            (Some("ålice"), None, None),
        ] {
            for (profile, expected) in [(&DEBIAN, debian), (&CRONIE, cronie)] {
                let got = addresses(profile, "alice", &settings(to, None));
                assert_eq!(got.to.as_deref(), expected.map(str::as_bytes), "{to:?} {}", profile.name);
                let refused = usize::from(expected.is_none() && to.is_some_and(|to| !to.is_empty()));
                assert_eq!(got.refused.len(), refused, "{to:?} {}", profile.name);
            }
        }
    }

    #[test]
    fn a_user_whose_name_looks_like_an_option_gets_no_mail() {
        assert_eq!(addresses(&DEBIAN, "-oQ", &settings(None, None)).to, None);
    }

    #[test]
    fn an_unsafe_sender_is_replaced_by_the_usual_one() {
        for (from, debian, cronie) in [
            (None, "root (Cron Daemon)", "alice"),
            (Some(""), "root (Cron Daemon)", "alice"),
            (Some("ops@example.org"), "ops@example.org", "ops@example.org"),
            (Some("a b"), "root (Cron Daemon)", "alice"),
        ] {
            for (profile, expected) in [(&DEBIAN, debian), (&CRONIE, cronie)] {
                let got = addresses(profile, "alice", &settings(None, from));
                assert_eq!(got.from, expected.as_bytes(), "{from:?} {}", profile.name);
                assert_eq!(got.refused.len(), usize::from(from == Some("a b")));
            }
        }
    }

    #[test]
    fn references_to_the_daemons_variables_are_expanded() {
        let known = |name: &str| (name == "OPS").then(|| b"ops@example.org".to_vec());
        for (address, expected) in [
            ("$OPS", Some("ops@example.org")),
            ("root,${OPS},x", Some("root,ops@example.org,x")),
            ("$NOPE", None),
            ("a$", Some("a$")),
            ("${OPS", Some("${OPS")),
            ("$1", Some("$1")),
            ("plain", Some("plain")),
        ] {
            assert_eq!(expand(address.as_bytes(), known), expected.map(|e| e.as_bytes().to_vec()), "{address}");
        }
    }

    fn a_head<'a>(from: &'a [u8], settings: MailSettings<'a>) -> Head<'a> {
        Head {
            from,
            to: b"alice",
            user: "alice",
            host: b"box.example.org",
            full_host_name: false,
            command: b"date +%F",
            says_failed: false,
            charset: "ANSI_X3.4-1968",
            settings,
            job: "alice:date-0123456789",
            status: "exit 0",
            duration_ms: 1_250,
        }
    }

    fn shown(profile: &Profile, values: &Head<'_>, variables: &[(&[u8], &[u8])]) -> String {
        String::from_utf8(head(profile, values, variables.iter().copied())).unwrap()
    }

    #[test]
    fn the_head_is_the_reference_byte_for_byte() {
        let variables: [(&[u8], &[u8]); 2] = [(b"SHELL", b"/bin/sh"), (b"HOME", b"/home/alice")];
        assert_eq!(
            shown(&DEBIAN, &a_head(b"root (Cron Daemon)", MailSettings::default()), &variables),
            "From: root (Cron Daemon)\nTo: alice\nSubject: Cron <alice@box> date +%F\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=US-ASCII\nContent-Transfer-Encoding: 8bit\n\
             X-Cron-Env: <SHELL=/bin/sh>\nX-Cron-Env: <HOME=/home/alice>\n\
             X-Cron-Job: alice:date-0123456789\nX-Cron-Status: exit 0\nX-Cron-Duration: 1.2s\n\n"
        );
        assert_eq!(
            shown(&CRONIE, &a_head(b"alice", MailSettings::default()), &variables),
            "From: \"(Cron Daemon)\" <alice>\nTo: alice\nSubject: Cron <alice@box> date +%F\nMIME-Version: 1.0\n\
             Content-Type: text/plain; charset=ANSI_X3.4-1968\nContent-Transfer-Encoding: 8bit\n\
             Auto-Submitted: auto-generated\nPrecedence: bulk\n\
             X-Cron-Env: <SHELL=/bin/sh>\nX-Cron-Env: <HOME=/home/alice>\n\
             X-Cron-Job: alice:date-0123456789\nX-Cron-Status: exit 0\nX-Cron-Duration: 1.2s\n\n"
        );
    }

    #[test]
    fn job_settings_are_not_shown_in_the_head() {
        let variables: [(&[u8], &[u8]); 4] =
            [(b"CRON_NAME", b"a"), (b"CRON_TZ", b"UTC"), (b"CRON_PING", b"https://h/secret"), (b"CRON_ON_LATE", b"x")];
        let text = shown(&DEBIAN, &a_head(b"root", MailSettings::default()), &variables);
        let shown: Vec<&str> = text.lines().filter(|line| line.starts_with("X-Cron-Env")).collect();
        assert_eq!(shown, ["X-Cron-Env: <CRON_TZ=UTC>"]);
    }

    #[test]
    fn wishes_and_flags_show_in_the_head() {
        let mut values = a_head(
            b"root (Cron Daemon)",
            MailSettings { content_type: Some(b"text/html"), encoding: Some(b"base64"), ..MailSettings::default() },
        );
        values.full_host_name = true;
        values.says_failed = true;
        let text = shown(&DEBIAN, &values, &[]);
        assert!(text.contains("\nSubject: Cron <alice@box.example.org> date +%F (failed)\n"), "{text}");
        assert!(text.contains("\nContent-Type: text/html\nContent-Transfer-Encoding: base64\nX-Cron-Job: "), "{text}");
    }

    #[test]
    fn nothing_that_a_user_writes_becomes_a_header_of_its_own() {
        let evil: &[u8] = b"x\r\nBcc: all\n\nbody";
        let mut values = a_head(
            b"alice",
            MailSettings { content_type: Some(evil), encoding: Some(evil), ..MailSettings::default() },
        );
        values.command = evil;
        for profile in [&DEBIAN, &CRONIE] {
            let text = shown(profile, &values, &[(b"A\nBcc", evil)]);
            assert!(!text.contains("\nBcc") && !text.contains('\r'), "{text}");
            assert_eq!(text.find("\n\n"), Some(text.len() - 2));
        }
    }

    #[test]
    fn no_argument_of_the_mailer_that_a_user_chose_is_an_option() {
        let got = addresses(&DEBIAN, "alice", &settings(Some("a,b"), None));
        let arguments = sendmail_arguments(&DEBIAN, &got);
        assert_eq!(arguments.join(&b' '), b"/usr/sbin/sendmail -FCronDaemon -i -B8BITMIME -oem a,b");
        let got = addresses(&CRONIE, "alice", &settings(Some("a,b"), Some("me@x")));
        let arguments = sendmail_arguments(&CRONIE, &got);
        assert_eq!(arguments.join(&b' '), b"/usr/sbin/sendmail -FCronDaemon -i -odi -oem -oi -t -f me@x");
    }

    #[test]
    fn carriage_returns_go_where_cronie_drops_them() {
        assert_eq!(body(&CRONIE, b"\ra\r\nb\r".to_vec()), b"\ra\nb");
        assert_eq!(body(&DEBIAN, b"a\r\n".to_vec()), b"a\r\n");
    }

    #[test]
    fn the_end_of_a_failed_mailer_is_logged_in_the_words_of_the_reference() {
        assert_eq!(failure(&DEBIAN, 1, 0x4b00), "mailed 1 byte of output but got status 0x4b00 from MTA");
        assert_eq!(failure(&CRONIE, 12, 9), "mailed 12 bytes of output but got status 0x0009");
    }
}
