//! Any bytes as a crontab in both forms and profiles: every entry, setting and diagnostic belongs to a line, what comes in pieces is read as a
//! whole, and an entry that is written again is read as the same entry.

use super::input::Input;
use cronwheel::crontab::{
    Command, Context, Crontab, Diagnostic, Entry, Form, KnownNames, MOST_LISTED, Parsed, Parser, Severity,
};
use cronwheel::profile::{CRONIE, DEBIAN, Profile};
use cronwheel::schedule::{HostKey, Zone, Zones};
use std::sync::{Arc, LazyLock};

/// Some zones are enough to tell known from unknown.
pub struct FewZones;

static BERLIN: LazyLock<Arc<Zone>> = LazyLock::new(|| Arc::new(Zone::embedded("Europe/Berlin").unwrap()));

impl Zones for FewZones {
    fn named(&self, name: &str) -> Option<Arc<Zone>> {
        match name {
            "UTC" => Some(Zone::utc()),
            "Europe/Berlin" => Some(Arc::clone(&BERLIN)),
            _ => None,
        }
    }
    fn system(&self) -> Arc<Zone> {
        Zone::utc()
    }
}

/// What tables are read with here.
pub fn context(form: Form, profile: &Profile) -> Context<'_> {
    Context { form, dialect: &profile.dialect, name: "ann", host: HostKey(7), known: KnownNames::of_zones(&FewZones) }
}

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let piece = usize::from(input.byte()) + 1;
    for profile in [&DEBIAN, &CRONIE] {
        for form in [Form::User, Form::System] {
            let context = context(form, profile);
            let parsed = Crontab::parse(input.0, &context).expect("memory");
            check(input.0, &parsed, &context, profile);
            in_pieces(input.0, piece, &parsed, &context);
        }
    }
}

fn check(text: &[u8], parsed: &Parsed, context: &Context<'_>, profile: &Profile) {
    let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
    let is_line = |number: usize| number >= 1 && number <= lines.len();
    check_diagnostics(&parsed.diagnostics, &lines);
    assert_eq!(parsed.is_ok(), parsed.errors().next().is_none());
    let table = &parsed.table;
    assert!(table.entries.len() + table.settings.len() <= lines.len());
    assert!(table.entries.is_sorted_by_key(|entry| entry.line) && table.timings.len() <= table.entries.len());
    assert!(table.commands.len() <= text.len());
    for setting in &table.settings {
        assert!(is_line(setting.line as usize) && !setting.name.contains(&b'=') && !setting.value.contains(&b'\n'));
    }
    for entry in &table.entries {
        let raw = table.command(entry);
        assert!(is_line(entry.line as usize) && !raw.is_empty() && !raw.contains(&b'\n') && !raw.contains(&0));
        assert!(Command::split(raw, profile.backslash).shell.len() <= raw.len());
        assert_eq!(entry.user.is_none(), context.form == Form::User);
        let variables = table.variables(entry);
        assert!(variables.len() <= entry.settings as usize);
        read_again(table, entry, context);
    }
}

/// Whether diagnostics are within their bounds, and each is about a line and fits on one.
pub fn check_diagnostics(diagnostics: &[Diagnostic], lines: &[&[u8]]) {
    let count = |severity| diagnostics.iter().filter(|said| said.severity == severity).count();
    assert!(count(Severity::Error) <= MOST_LISTED + 1 && count(Severity::Warning) <= MOST_LISTED);
    for diagnostic in diagnostics {
        let line = lines[diagnostic.line - 1];
        assert!((1..=line.len() + 1).contains(&diagnostic.column), "{diagnostic:?}");
        let (one_line, picture) = (diagnostic.one_line("fuzz"), diagnostic.picture("fuzz"));
        assert!(one_line.lines().count() == 1 && one_line.len() < 2_000, "{one_line}");
        assert!(picture.ends_with('\n') && picture.len() < 4_000, "{picture}");
        assert!(!picture.chars().any(|char| char.is_control() && char != '\n'), "{picture:?}");
    }
}

fn in_pieces(text: &[u8], piece: usize, whole: &Parsed, context: &Context<'_>) {
    let (mut reader, mut checker) = (Parser::new(context), Parser::new(context).check_only());
    for piece in text.chunks(piece) {
        reader.feed(piece).expect("memory");
        checker.feed(piece).expect("memory");
    }
    let (read, judged) = (reader.finish().expect("memory"), checker.finish().expect("memory"));
    for found in [&read, &judged] {
        assert_eq!((&found.diagnostics, found.unlisted), (&whole.diagnostics, whole.unlisted));
        assert_eq!(found.newlines, whole.newlines);
    }
    assert_eq!(format!("{:?}", read.table.entries), format!("{:?}", whole.table.entries));
    assert_eq!(read.table.timings, whole.table.timings);
    assert!(judged.table.entries.is_empty() && judged.table.settings.is_empty());
}

/// Writes an entry as one line, and reads that.
fn read_again(table: &Crontab, entry: &Entry, context: &Context<'_>) {
    let timing = table.timing(entry);
    // What is drawn depends on the text, blanks included.
    if timing.text.contains(&b'~') {
        return;
    }
    let mut line = timing.text.to_vec();
    line.push(b' ');
    if let Some(user) = &entry.user {
        line.extend_from_slice(user.as_bytes());
        line.push(b' ');
    }
    let flags = entry.flags;
    for (is_set, flag) in [(flags.mail_only_on_failure, "-n "), (flags.quiet, "-q "), (flags.single, "-s ")] {
        line.extend_from_slice(if is_set { flag.as_bytes() } else { b"" });
    }
    line.extend_from_slice(table.command(entry));
    line.push(b'\n');
    let again = Crontab::parse(&line, context).expect("memory");
    let shown = line.escape_ascii();
    let [found] = &again.table.entries[..] else { panic!("{shown} has become {again:?}") };
    assert_eq!(again.table.command(found), table.command(entry), "{shown}");
    assert_eq!((found.flags, &found.user), (entry.flags, &entry.user), "{shown}");
    assert_eq!(again.table.timing(found).schedule, timing.schedule, "{shown}");
}
