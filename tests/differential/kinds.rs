//! The kinds of differences that cron-differences(7) lists, as properties of single lines. The names are the keys in the page's source.

use crate::classic;

/// A line, and what both programs say of it.
pub struct Difference<'a> {
    pub line: &'a str,
    /// Whether cronwheel accepts it; if not, the other one does.
    pub is_accepted_by_us: bool,
}

/// The kind of a difference in the verdict; none: the page does not list it.
pub fn of_verdict(difference: &Difference<'_>) -> Option<&'static str> {
    let text = difference.line.trim_start_matches([' ', '\t']);
    match (difference.is_accepted_by_us, assigned(text)) {
        (false, Some(("MAILTO", value))) => is_unsafe_address(value).then_some("unsafe-mail"),
        (false, Some(_)) => None,
        (true, Some((_, value))) => value.is_empty().then_some("empty-setting"),
        (false, None) => of_refused(text),
        (true, None) => is_extended(text).then_some("superset"),
    }
}

/// The kind of a difference in the meaning of a line that both accept.
pub fn of_meaning(line: &str) -> Option<&'static str> {
    let text = line.trim_start_matches([' ', '\t']);
    let (schedule, _) = schedule_and_rest(text)?;
    let weekday = schedule.split([' ', '\t']).rfind(|word| !word.is_empty())?;
    let ends_with_sunday = |item: &str| {
        item.split('/').next().and_then(|range| range.split_once('-')).is_some_and(|(_, last)| is_sunday(last))
    };
    if weekday.split(',').any(ends_with_sunday) {
        return Some("sunday");
    }
    is_extended(text).then_some("superset")
}

fn is_sunday(text: &str) -> bool {
    text.eq_ignore_ascii_case("sun") || text.trim_start_matches('0').is_empty() && !text.is_empty()
}

/// The name, which may be empty, and the value of a line that is a setting, without quotes.
fn assigned(text: &str) -> Option<(&str, &str)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim_matches([' ', '\t']);
    let is_quoted = name.len() > 1
        && [('"', '"'), ('\'', '\'')].iter().any(|(open, close)| name.starts_with(*open) && name.ends_with(*close));
    if !is_quoted && name.contains([' ', '\t']) {
        return None;
    }
    let value = value.trim_matches([' ', '\t']);
    let unquoted = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    Some((name.trim_matches(['"', '\'']), unquoted.unwrap_or(value)))
}

/// Whether Debian's cron since 3.0pl1-187 refuses a MAILTO.
fn is_unsafe_address(value: &str) -> bool {
    let is_plain = |char: char| char.is_ascii_alphanumeric() || "@!:%-.,_+=/".contains(char);
    value.starts_with(['-', '/', '|']) || !value.chars().all(is_plain)
}

/// The schedule of an entry, and what follows it. None: it has too few words.
fn schedule_and_rest(text: &str) -> Option<(&str, &str)> {
    // A dash in front is a flag of cronie's.
    let count = if text.strip_prefix('-').unwrap_or(text).starts_with('@') { 1 } else { 5 };
    let mut at = 0;
    for _ in 0..count {
        at += text[at..].len() - text[at..].trim_start_matches([' ', '\t']).len();
        if at == text.len() {
            return None;
        }
        at += text[at..].find([' ', '\t']).unwrap_or(text.len() - at);
    }
    Some((&text[..at], text[at..].trim_start_matches([' ', '\t'])))
}

/// Why cronwheel refuses an entry that the other one accepts.
fn of_refused(text: &str) -> Option<&'static str> {
    let (schedule, command) = schedule_and_rest(text)?;
    if classic::read(schedule).is_some() {
        return match command {
            "" => Some("no-command"),
            _ if command.starts_with('-') => Some("dash"),
            _ => None,
        };
    }
    let words = schedule.split([' ', '\t']).filter(|word| !word.is_empty());
    let wrong: Vec<(usize, &str)> =
        words.enumerate().filter(|(index, word)| classic::field(word, *index).is_none()).collect();
    let is_large = |word: &str| word.split(|char: char| !char.is_ascii_digit()).any(|digits| digits.len() > 9);
    if wrong.iter().all(|(_, word)| is_large(word)) {
        return Some("overflow");
    }
    // A beginning of the field is one by the page.
    let is_half = |(index, word): &(usize, &str)| {
        is_large(word)
            || (1..word.len()).any(|end| word.is_char_boundary(end) && classic::field(&word[..end], *index).is_some())
    };
    wrong.iter().all(is_half).then_some("misread")
}

/// Whether an entry has what only cronwheel, or only one of the other programs, understands.
fn is_extended(text: &str) -> bool {
    let Some((schedule, command)) = schedule_and_rest(text) else { return false };
    let is_quiet = schedule.starts_with('-');
    let is_nickname = schedule.starts_with('@') && classic::read(schedule).is_none();
    let has_shape = schedule.split([' ', '\t']).any(|word| {
        word.split(',').any(|item| {
            let is_shape = |char: char| matches!(char, '~' | '#' | 'L' | 'W' | 'l' | 'w');
            item.contains(is_shape)
                && classic::read(&format!("* * * {item} *")).is_none()
                && classic::read(&format!("* * * * {item}")).is_none()
        })
    });
    let has_flag = ["-n ", "-q ", "-s ", "-n\t", "-q\t", "-s\t"].iter().any(|flag| command.starts_with(flag));
    is_quiet || is_nickname || has_shape || has_flag
}
