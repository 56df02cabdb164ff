//! A command line as a list in mdoc(7).

use clap::{Arg, Command};

/// Where the made part of a page begins.
pub const BEGIN: &str = ".\\\" options: begin\n";
/// Where it ends.
pub const END: &str = ".\\\" options: end\n";

/// The options of both profiles as one list; what only one of them has, or means otherwise, says so. Verbs get a
/// heading and a list each, of what they do not share.
pub fn render(mut debian: Command, mut cronie: Command) -> String {
    debian.build();
    cronie.build();
    let mut text = list(&debian, &cronie, true);
    for verb in debian.get_subcommands() {
        let other = cronie.find_subcommand(verb.get_name()).unwrap_or(verb);
        text += &format!(".Ss cronctl {}\n{}\n", verb.get_name(), wrapped(&about(verb)));
        text += &list(verb, other, false);
    }
    text
}

/// Every word of a command line that its page must have.
pub fn words(command: &Command) -> Vec<String> {
    let mut words: Vec<String> = visible(command)
        .flat_map(|arg| {
            let long = arg.get_long().map(|long| format!("\\-{long}"));
            let short = arg.get_short().map(|short| format!("Fl {short}"));
            long.into_iter().chain(short)
        })
        .collect();
    for verb in command.get_subcommands() {
        words.push(verb.get_name().to_owned());
        words.extend(self::words(verb));
    }
    words
}

fn visible(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_hide_set())
}

fn list(debian: &Command, cronie: &Command, whole: bool) -> String {
    let shown = |command| visible(command).filter(|arg| whole || !is_shared(arg));
    let is_same = |arg: &Arg, other: &Arg| help(other) == help(arg) && heading(other) == heading(arg);
    let mut items = String::new();
    for arg in shown(debian) {
        match shown(cronie).find(|other| other.get_id() == arg.get_id()) {
            Some(other) if is_same(arg, other) => items += &item(arg, None),
            // Side by side, so that nobody takes the one for the other.
            Some(other) => items += &(item(arg, Some("debian")) + &item(other, Some("cronie"))),
            None => items += &item(arg, Some("debian")),
        }
    }
    for arg in shown(cronie).filter(|arg| !shown(debian).any(|other| other.get_id() == arg.get_id())) {
        items += &item(arg, Some("cronie"));
    }
    if items.is_empty() { items } else { format!(".Bl -tag -width Ds\n{items}.El\n") }
}

/// Whether a verb has it from the program.
fn is_shared(arg: &Arg) -> bool {
    arg.is_global_set() || arg.get_id() == "help"
}

fn item(arg: &Arg, profile: Option<&str>) -> String {
    let only = profile.map_or(String::new(), |name| format!("In the {name} profile: "));
    format!("{}{}\n", heading(arg), wrapped(&(only + &help(arg))))
}

/// `.It Fl f , \-file Ar FILE`.
fn heading(arg: &Arg) -> String {
    let names: Vec<String> = [arg.get_short().map(|c| c.to_string()), arg.get_long().map(|long| format!("\\-{long}"))]
        .into_iter()
        .flatten()
        .collect();
    let takes_values = arg.get_num_args().is_some_and(|range| range.takes_values());
    let named =
        arg.get_value_names().and_then(|names| names.first()).map_or(arg.get_id().as_str(), |name| name.as_str());
    let value = if takes_values || names.is_empty() { format!(" Ar {named}") } else { String::new() };
    if names.is_empty() { format!(".It{value}\n") } else { format!(".It Fl {}{value}\n", names.join(" , ")) }
}

fn help(arg: &Arg) -> String {
    arg.get_long_help().or(arg.get_help()).map(|help| help.to_string()).unwrap_or_default()
}

fn about(command: &Command) -> String {
    command.get_long_about().or(command.get_about()).map(|about| about.to_string()).unwrap_or_default()
}

/// Lines of at most 79 bytes, a new one after each sentence.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace().map(escaped) {
        let full = lines.last().is_some_and(|last| last.len() + 1 + word.len() > 79 || last.ends_with(['.', '?']));
        if full {
            lines.push(String::new());
        }
        if let Some(last) = lines.last_mut() {
            if !last.is_empty() {
                last.push(' ');
            }
            last.push_str(&word);
        }
    }
    if lines.iter().any(|line| !line.is_empty()) { lines.join("\n") } else { "See above.".to_owned() }
}

fn escaped(word: &str) -> String {
    let word = word.replace('\\', "\\e");
    if word.starts_with(['.', '\'']) { format!("\\&{word}") } else { word }
}
