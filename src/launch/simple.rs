//! Simple commands: those with which a shell would do no more than start one program, so that it can be started without one.
//!
//! What is said of shells here was read and tried with dash 0.5.12 and bash 5.0 to 5.3; `tests/launch/simple.rs` holds it against those
//! that are installed.

use super::environment::{SHELL, Variables, c_string};
use crate::sys::process::Program;

/// A shell whose doings are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) enum Shell {
    /// It adds PWD.
    Dash,
    /// Called as sh, from version 5 on. It adds PWD, SHLVL and `_`.
    Bash,
}

/// What means nothing to any shell inside a word, letters and digits aside.
const PLAIN: &[u8] = b"_@+=:,./-%";

/// Names that a shell takes for itself: sets, changes, drops or obeys. Any of them in a job's environment is the shell's business.
const OF_SHELLS: [&[u8]; 31] = [
    b"_",
    b"COMP_WORDBREAKS",
    b"DIRSTACK",
    b"ENV",
    b"EPOCHREALTIME",
    b"EPOCHSECONDS",
    b"EUID",
    b"FUNCNAME",
    b"GROUPS",
    b"HISTCMD",
    b"IFS",
    b"LINENO",
    b"OLDPWD",
    b"OPTARG",
    b"OPTERR",
    b"OPTIND",
    b"PIPESTATUS",
    b"POSIXLY_CORRECT",
    b"PPID",
    b"PS0",
    b"PS1",
    b"PS2",
    b"PS3",
    b"PS4",
    b"PWD",
    b"RANDOM",
    b"SECONDS",
    b"SHELLOPTS",
    b"SHLVL",
    b"SRANDOM",
    b"UID",
];

/// Beginnings of such names; the dynamic linker obeys the second in the shell's process, too.
const BEGINNINGS_OF_SHELLS: [&[u8]; 2] = [b"BASH", b"LD_"];

impl Shell {
    /// Whether it gives this variable to its commands as it was given it, and heeds it in nothing that can be seen.
    fn hands_on(self, name: &[u8]) -> bool {
        let is_of_shells =
            OF_SHELLS.contains(&name) || BEGINNINGS_OF_SHELLS.iter().any(|beginning| name.starts_with(beginning));
        // bash complains of a locale that is not there.
        let is_of_this_shell = self == Shell::Bash && name == b"LC_ALL";
        is_identifier(name) && !is_of_shells && !is_of_this_shell
    }

    /// What it adds to the environment of a program that it was told to start by this word, PWD aside.
    fn additions(self, first_word: &[u8]) -> Vec<std::ffi::CString> {
        match self {
            Shell::Dash => Vec::new(),
            // It counts itself, and no more once it is replaced by its last command.
            Shell::Bash => vec![c"SHLVL=0".to_owned(), c_string(&[b"_=", first_word])],
        }
    }
}

/// What that shell at /bin/sh would start for this command. None: it would do more, or might.
pub(super) fn program(shell: Shell, command: &[u8], environment: &Variables) -> Option<Program> {
    let has_that_shell = environment.get("SHELL") == Some(SHELL);
    if !has_that_shell || !environment.iter().all(|(name, _)| shell.hands_on(name)) {
        return None;
    }
    let words = words(command)?;
    let first = words.first()?;
    let mut strings = environment.strings();
    strings.extend(shell.additions(first));
    let arguments = words.iter().map(|word| c_string(&[word])).collect();
    Some(Program::new(c_string(&[first]), arguments, strings).told_its_directory())
}

/// The words of a command that consists of nothing else, the first of them a path.
fn words(command: &[u8]) -> Option<Vec<&[u8]>> {
    let words: Vec<&[u8]> =
        command.split(|byte| matches!(byte, b' ' | b'\t')).filter(|word| !word.is_empty()).collect();
    let is_plain = |word: &&[u8]| word.iter().all(|byte| byte.is_ascii_alphanumeric() || PLAIN.contains(byte));
    let all_plain = words.iter().all(is_plain);
    words.first().is_some_and(|first| all_plain && names_a_file(first)).then_some(words)
}

/// With a slash it is no builtin, function, alias or keyword and is not looked for in PATH; with `=` it may be an assignment, with `-` or
/// `+` at its beginning the shell's option, with `%` a job of its own.
fn names_a_file(first_word: &[u8]) -> bool {
    let begins_plainly =
        first_word.first().is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_'));
    begins_plainly && first_word.contains(&b'/') && !first_word.contains(&b'=')
}

/// Whether a shell can have a variable of this name; what it cannot have it does not hand on.
fn is_identifier(name: &[u8]) -> bool {
    let is_letter = |byte: &u8| byte.is_ascii_alphabetic() || *byte == b'_';
    name.first().is_some_and(is_letter) && name.iter().all(|byte| is_letter(byte) || byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    #[test]
    fn a_command_is_simple_when_no_shell_could_make_anything_else_of_its_words() {
        for (command, expected) in [
            ("/bin/true", &["/bin/true"][..]),
            (" \t/bin/true \t", &["/bin/true"]),
            ("./run  --all\t-v", &["./run", "--all", "-v"]),
            ("bin/run", &["bin/run"]),
            ("_x/run", &["_x/run"]),
            ("/bin/date +%F", &["/bin/date", "+%F"]),
            ("/opt/a+b/c@d x=1 a:b,c 50% / - -- ..", &["/opt/a+b/c@d", "x=1", "a:b,c", "50%", "/", "-", "--", ".."]),
            ("/bin/echo if then done in", &["/bin/echo", "if", "then", "done", "in"]),
        ] {
            let expected: Vec<&[u8]> = expected.iter().map(|word| word.as_bytes()).collect();
            assert_eq!(words(command.as_bytes()).unwrap_or_default(), expected, "{command:?}");
        }
    }

    #[test]
    fn everything_else_is_for_the_shell() {
        for command in [
            "",
            "   ",
            "true",
            "exit 3",
            "cd /tmp",
            ". ./x",
            "X=1 /bin/true",
            "PATH=/bin/x",
            "/a=b/c",
            "-c/x",
            "-/x",
            "+/x",
            "%1/x",
            "@/x",
            ":/x",
            ",/x",
            "~/bin/x",
            "/bin/x ~",
            "/bin/x a=~",
            "/bin/x 'a'",
            "/bin/x \"a\"",
            "/bin/x a\\ b",
            "/bin/x $HOME",
            "/bin/x `y`",
            "/bin/x *",
            "/bin/x a?",
            "/bin/x [ab]",
            "/bin/x {a,b}",
            "/bin/x >y",
            "/bin/x 2>&1",
            "/bin/x <y",
            "/bin/x | /bin/y",
            "/bin/x; /bin/y",
            "/bin/x && /bin/y",
            "/bin/x &",
            "(/bin/x)",
            "! /bin/x",
            "/bin/x !y",
            "/bin/x #y",
            "/bin/x ^y",
            "/bin/x\n/bin/y",
            "/bin/x\r",
            "/bin/x a\x0bb",
            "/bin/x \u{fc}",
            "/bin/x\u{a0}y",
            "/bin/x a\0b",
        ] {
            assert_eq!(words(command.as_bytes()), None, "{command:?}");
        }
    }

    #[test]
    fn what_is_plain_alone_or_beside_another_means_nothing_to_any_shell() {
        let letters = [b'a', b'Z', b'0', b'9'];
        let all: Vec<u8> = PLAIN.iter().copied().chain(letters).collect();
        let pairs = all.iter().flat_map(|one| all.iter().map(|other| [*one, *other]));
        let texts = pairs.map(|pair| String::from_utf8(pair.to_vec()).unwrap());
        // cat tells its own arguments, and on its other output that it knows no such files.
        let program = "/bin/cat -- /proc/self/cmdline".to_owned();
        let command = texts.fold(program, |line, text| format!("{line} {text} {text}x  x{text}\tx{text}x"));
        let words = words(command.as_bytes()).unwrap();
        for shell in ["dash", "bash"] {
            let shown = Command::new(shell).arg0("sh").arg("-c").arg(&command).output().unwrap();
            let arguments: Vec<&[u8]> = shown.stdout.split(|byte| *byte == 0).collect();
            assert_eq!(arguments.split_last().unwrap(), (&&b""[..], &words[..]), "{shell}");
        }
    }

    /// Of the names in bash's manual those that it has no value for by itself.
    const OF_THE_MANUAL: &str = "CDPATH CHILD_MAX COLUMNS COMP_CWORD COMP_LINE COMP_WORDS COMPREPLY COPROC EMACS EXECIGNORE FCEDIT FIGNORE \
        FUNCNEST GLOBIGNORE GLOBSORT HISTCONTROL HISTFILE HISTFILESIZE HISTIGNORE HISTSIZE HISTTIMEFORMAT HOME HOSTFILE IGNOREEOF \
        INPUTRC INSIDE_EMACS LANG LC_ALL LC_COLLATE LC_CTYPE LC_MESSAGES LC_NUMERIC LC_TIME LINES LOGNAME MAIL MAILCHECK MAILPATH \
        MAPFILE PROMPT_COMMAND PROMPT_DIRTRIM READLINE_LINE REPLY TERMCAP TERMINFO TEXTDOMAIN TIMEFORMAT TMOUT TMPDIR TZ USER \
        auto_resume histchars";

    #[test]
    fn a_name_that_a_shell_hands_on_reaches_its_command_as_it_was_and_nothing_else_does() {
        let own = Command::new("bash").args(["-c", "compgen -v"]).env_clear().output().unwrap().stdout;
        let own = String::from_utf8(own).unwrap();
        let names: Vec<&str> = own.lines().chain(OF_THE_MANUAL.split_whitespace()).collect();
        for ((shell, known), value) in [("dash", Shell::Dash), ("bash", Shell::Bash)]
            .into_iter()
            .flat_map(|shell| ["", "5", "x", "/ y"].map(|value| (shell, value)))
        {
            let names: Vec<&str> = names.iter().copied().filter(|name| known.hands_on(name.as_bytes())).collect();
            assert!(names.contains(&"HOME") && names.contains(&"histchars"));
            let mut job = Command::new(format!("/bin/{shell}"));
            job.arg0("sh").args(["-c", "/bin/cat /proc/self/environ"]).current_dir("/").env_clear();
            let shown = job.envs(names.iter().map(|name| (name, value))).output().unwrap();
            let mut got: Vec<String> =
                String::from_utf8(shown.stdout).unwrap().split_terminator('\0').map(str::to_owned).collect();
            let additions = known.additions(b"/bin/cat");
            let additions = additions.iter().map(|one| one.to_str().unwrap().to_owned()).chain(["PWD=/".to_owned()]);
            let mut expected: Vec<String> =
                names.iter().map(|name| format!("{name}={value}")).chain(additions).collect();
            got.sort_unstable();
            expected.sort_unstable();
            assert_eq!((got, shown.stderr), (expected, Vec::new()), "{shell} {value:?}");
        }
    }

    /// Whether a job with these variables beside the usual ones is started without its shell.
    fn is_direct(shell: Shell, lines: &[&str]) -> bool {
        let usual = ["SHELL=/bin/sh", "HOME=/home/alice", "PATH=/usr/bin:/bin", "LOGNAME=alice"];
        let all = usual.iter().chain(lines).map(|line| line.as_bytes());
        program(shell, b"/bin/true", &Variables::from_strings(all)).is_some()
    }

    #[test]
    fn an_environment_of_which_a_shell_makes_anything_else_is_for_the_shell() {
        for shell in [Shell::Dash, Shell::Bash] {
            for lines in [&[][..], &["MAILTO=", "LANG=de_DE.UTF-8", "TZ=UTC", "_x=1", "X9=(){ :; }", "PWDX=1", "x=\n"]]
            {
                assert!(is_direct(shell, lines), "{shell:?} {lines:?}");
            }
            for line in [
                "SHELL=/bin/dash",
                "SHELL=/usr/bin/sh",
                "SHELL=",
                "PWD=/",
                "OLDPWD=/",
                "SHLVL=1",
                "_=x",
                "IFS=x",
                "PS4=+",
                "ENV=/x",
                "BASH_ENV=/x",
                "BASH_FUNC_x%%=() { :; }",
                "BASHOPTS=x",
                "SHELLOPTS=xtrace",
                "POSIXLY_CORRECT=",
                "LD_PRELOAD=/x",
                "A-B=1",
                "9A=1",
                "=1",
                "\u{fc}=1",
            ] {
                assert!(!is_direct(shell, &[line]), "{shell:?} {line:?}");
            }
        }
        assert!(is_direct(Shell::Dash, &["LC_ALL=xx"]));
        assert!(!is_direct(Shell::Bash, &["LC_ALL=xx"]));
    }
}
