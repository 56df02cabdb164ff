//! Runs the caller's editor with the caller's privileges, environment and limits.

use super::failure::Failure;
use super::messages;
use super::session::Session;
use crate::profile::ProfileName;
use crate::sys::contract::FreshChild;
use crate::sys::interrupts;
use crate::sys::process::{self, Status};
use crate::sys::{descriptor, files, identity::Inherited};
use std::ffi::{CString, OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// The exit status of a child that cannot start the editor.
const NOT_STARTED: i32 = 127;

/// Runs `sh -c "EDITOR FILE"` in the profile's working directory and waits for its end. `line` is the line at which the editor begins, if it
/// is known to take one.
pub fn edit(session: &Session<'_>, file: &Path, line: Option<usize>) -> Result<(), Failure> {
    let editor = choose(session.inherited, session.words.editors);
    let shown = editor.to_string_lossy().into_owned();
    let program = || session.program.to_owned();
    let start_failed = |source: std::io::Error| Failure::EditorStart { program: program(), source: source.into() };
    let mut command = editor.into_vec();
    if let Some(line) = line.filter(|_| takes_line(&command, session.inherited)) {
        command.extend_from_slice(format!(" +{line}").as_bytes());
    }
    command.push(b' ');
    command.extend_from_slice(file.as_os_str().as_bytes());
    let command = CString::new(command).map_err(|error| start_failed(error.into()))?;
    let arguments = [c"/bin/sh".to_owned(), c"-c".to_owned(), command];
    let environment = session.inherited.environment();
    let child =
        process::fork(session.inherited.threads(), |child| become_editor(&child, session, &arguments, &environment))
            .map_err(start_failed)?;
    let end =
        process::wait(child).map_err(|source| Failure::EditorWait { program: program(), source: source.into() })?;
    match end {
        Status::Code(0) => Ok(()),
        Status::Code(status) => Err(Failure::EditorStatus { program: program(), editor: shown, status }),
        Status::Signal { number, core_dumped } => {
            Err(Failure::EditorSignal { program: program(), editor: shown, signal: number, core_dumped })
        }
    }
}

/// In the child: drops the set-id privileges permanently, restores the caller's settings, and executes the shell. Returns
/// only on failure.
fn become_editor(child: &FreshChild, session: &Session<'_>, arguments: &[CString], environment: &[CString]) -> i32 {
    let program = session.program;
    if let Err(error) = session.identity.give_up() {
        messages::warn(&format!("{program}: {error}"));
        return NOT_STARTED;
    }
    process::default_signals();
    let prepared = interrupts::ignore_terminal()
        .and_then(|()| process::unblock_signals())
        .and_then(|()| descriptor::close_from(child, 3, &[]));
    if let Err(error) = prepared {
        messages::warn(&format!("{program}: preparing the editor: {}", files::reason(&error)));
        return NOT_STARTED;
    }
    session.inherited.restore();
    // As in the reference implementation, temporary files of editors end up in /tmp. If there is no /tmp, the working
    // directory stays as it is.
    if session.profile.profile == ProfileName::Debian {
        let _ = process::enter(c"/tmp");
    }
    let error = process::Program::new(c"/bin/sh".to_owned(), arguments.to_vec(), environment.to_vec()).exec();
    messages::warn(&format!("{program}: /bin/sh: {}", files::reason(&error)));
    NOT_STARTED
}

/// VISUAL, EDITOR, or the first of the profile's editors that exists; the first one if none does.
fn choose(inherited: &Inherited, fallbacks: &[&str]) -> OsString {
    let named = ["VISUAL", "EDITOR"]
        .into_iter()
        .find_map(|variable| inherited.variable(variable).filter(|value| !value.is_empty()));
    let found = || fallbacks.iter().find(|path| Path::new(path).exists()).or(fallbacks.first());
    named.cloned().or_else(|| found().map(OsString::from)).unwrap_or_else(|| "vi".into())
}

/// Editors that begin at line N if they are called with `+N` in front of the file.
const TAKE_A_LINE: [&str; 28] = [
    "emacs",
    "emacsclient",
    "gvim",
    "jed",
    "jmacs",
    "joe",
    "jove",
    "jpico",
    "jstar",
    "kak",
    "mcedit",
    "mg",
    "micro",
    "nano",
    "ne",
    "nvi",
    "nvim",
    "pico",
    "rjoe",
    "rnano",
    "rvim",
    "tilde",
    "vi",
    "view",
    "vile",
    "vim",
    "vis",
    "zile",
];

/// Debian's command that starts the editor which the user has selected, and the system's default editor.
const SENSIBLE: &str = "sensible-editor";
const DEFAULT: &str = "/usr/bin/editor";

/// Whether an editor's command line takes `+N`.
fn takes_line(editor: &[u8], inherited: &Inherited) -> bool {
    let Some(command) = first_word(editor) else { return false };
    let selected =
        || inherited.variable("HOME").and_then(|home| selected_editor(&Path::new(home).join(".selected_editor")));
    let command = match base_name(command) {
        SENSIBLE => selected().unwrap_or_else(|| DEFAULT.to_owned()),
        _ => command.to_owned(),
    };
    // The name may be a link: editor to nano, vi to vim.basic, but also vi to busybox, which would open a file named `+3`.
    let target = find_program(&command, inherited.variable("PATH")).and_then(|path| std::fs::canonicalize(path).ok());
    target.as_deref().and_then(Path::file_name).and_then(OsStr::to_str).is_some_and(is_known)
}

/// The path of a program: its own if it is absolute, otherwise as the shell finds it.
fn find_program(name: &str, path: Option<&OsString>) -> Option<PathBuf> {
    if name.contains('/') {
        return name.starts_with('/').then(|| name.into());
    }
    let is_program = |path: &PathBuf| path.is_file() && path.to_str().is_some_and(files::is_executable);
    let found = std::env::split_paths(path?).map(|directory| directory.join(name)).find(is_program);
    // The editor's working directory may be another one.
    found.filter(|path| path.is_absolute())
}

/// Whether it is the name of an editor that takes `+N`, perhaps with a variant: `vim.basic`, `emacs-gtk`.
fn is_known(name: &str) -> bool {
    let plain = name.split(['.', '-']).next().unwrap_or(name);
    TAKE_A_LINE.contains(&plain)
}

/// The program of a command line. None: the line is more than a program with its options, so that `+N` behind it would go nowhere known, or would
/// be the name of a file.
fn first_word(line: &[u8]) -> Option<&str> {
    let line = std::str::from_utf8(line).ok()?;
    let is_plain = |c: char| c.is_alphanumeric() || "_-+./:=, ".contains(c);
    let mut words = line.split(' ').filter(|word| !word.is_empty());
    let word = words.next()?;
    (line.chars().all(is_plain) && !word.contains('=') && words.all(|word| word != "--")).then_some(word)
}

fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// The editor that select-editor(1) has written to this file.
fn selected_editor(path: &Path) -> Option<String> {
    const LARGEST: usize = 4096;
    let text = files::read_text(path, LARGEST).ok()?;
    let value = text.lines().rev().find_map(|line| line.trim().strip_prefix("SELECTED_EDITOR="))?;
    Some(value.trim_matches(['"', '\'']).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn editors_that_take_a_line_are_known_by_their_first_word() {
        for (line, word, known) in [
            ("vi", Some("vi"), true),
            ("/usr/bin/vim.basic -u NONE -N", Some("/usr/bin/vim.basic"), true),
            ("emacs-gtk -nw", Some("emacs-gtk"), true),
            ("ed", Some("ed"), false),
            ("sh /tmp/script", Some("sh"), false),
            ("code --wait", Some("code"), false),
            ("LANG=C vim", None, false),
            ("true && vi", None, false),
            ("vim --", None, false),
            ("vim --noplugin", Some("vim"), true),
            ("vi \"$1\" >", None, false),
            ("", None, false),
        ] {
            assert_eq!(first_word(line.as_bytes()), word, "{line}");
            assert_eq!(word.is_some_and(|word| is_known(base_name(word))), known, "{line}");
        }
    }

    #[test]
    fn a_bare_name_is_found_where_the_shell_finds_it() {
        let [first, second] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        let path = std::env::join_paths([first.path(), second.path()]).unwrap();
        std::fs::write(first.path().join("vi"), "not executable").unwrap();
        std::os::unix::fs::symlink("/bin/sh", second.path().join("vi")).unwrap();
        for (name, wanted) in [
            ("vi", Some(second.path().join("vi"))),
            ("vim", None),
            ("/opt/vim", Some("/opt/vim".into())),
            ("bin/vim", None),
        ] {
            assert_eq!(find_program(name, Some(&path)), wanted, "{name}");
        }
        assert_eq!(find_program("vi", None), None);
    }

    #[test]
    fn the_selected_editor_is_read_from_its_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("selected");
        assert_eq!(selected_editor(&path), None);
        std::fs::write(&path, "# Generated\nSELECTED_EDITOR=\"/usr/bin/vim.basic\"\n").unwrap();
        assert_eq!(selected_editor(&path).as_deref(), Some("/usr/bin/vim.basic"));
    }
}
