//! The completions, each asked by its own shell. (`tests/pages` keeps them as the command lines are.)

use crate::{contrib, lacks, run};
use std::process::Command;

/// What is typed, and what must be among the answers, in every shell.
const ASKED: [(&str, &[&str], &[&str]); 6] = [
    ("crontab", &["-u", "roo"], &["root"]),
    ("crontab", &["--li"], &["--list"]),
    ("cronctl", &["ne"], &["next"]),
    ("cronctl", &["simulate", "--fr"], &["--from"]),
    ("crond", &["--stop"], &["--stop-timeout"]),
    ("cron", &["--stop"], &["--stop-timeout"]),
];

/// The answers, in whatever order and with whatever description behind them.
fn has(told: &str, wanted: &str) -> bool {
    told.split([' ', '\t', '\n', '=']).any(|word| word == wanted)
}

fn ask(shell: &str, extension: impl Fn(&str) -> String, ask: impl Fn(&str, &[&str]) -> Command) {
    for (program, typed, wanted) in ASKED {
        let file = extension(program);
        assert!(contrib().join("completions").join(&file).exists(), "{file}");
        let told = run(&mut ask(program, typed));
        for word in wanted {
            assert!(has(&told, word), "{shell}: {program} {typed:?} says {told:?}");
        }
    }
}

#[test]
fn bash_completes_users_verbs_and_options() {
    if lacks("bash_completes_users_verbs_and_options", &["bash"]) {
        return;
    }
    ask(
        "bash",
        |program| format!("{program}.bash"),
        |program, typed| {
            let last = typed.last().expect("something typed");
            let before = typed.iter().rev().nth(1).copied().unwrap_or(program);
            let script = format!(
                ". completions/{program}.bash; complete -p {program} >/dev/null; COMP_WORDS=({program} {typed}); \
             COMP_CWORD={count}; _{program} {program} '{last}' '{before}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
                typed = typed.join(" "),
                count = typed.len()
            );
            let mut command = Command::new("bash");
            command.args(["--norc", "--noprofile", "-euc", &script]).current_dir(contrib());
            command
        },
    );
}

#[test]
fn fish_completes_users_verbs_and_options() {
    if lacks("fish_completes_users_verbs_and_options", &["fish"]) {
        return;
    }
    let home = tempfile::tempdir().expect("a directory");
    ask(
        "fish",
        |program| format!("{program}.fish"),
        |program, typed| {
            let script = format!("source completions/{program}.fish; complete -C '{program} {}'", typed.join(" "));
            let mut command = Command::new("fish");
            command.args(["--no-config", "-c", &script]).current_dir(contrib()).env("HOME", home.path());
            command
        },
    );
}

#[test]
fn zsh_completes_users_verbs_and_options() {
    if lacks("zsh_completes_users_verbs_and_options", &["zsh"]) {
        return;
    }
    // zsh completes at a terminal only: a second zsh on a pseudo-terminal, which says what its line is after a tab.
    const SETTINGS: &str = r#"
PS1=
fpath=($COMPLETIONS $fpath)
autoload -U compinit
compinit -u -D
complete_and_tell() { zle complete-word; print -r -- "[[$BUFFER ]]"; exit }
zle -N complete_and_tell
bindkey "^I" complete_and_tell
"#;
    const ASK: &str = r#"
zmodload zsh/zpty
zpty asked zsh -i
zpty -n -w asked "$1"$'\t'
zpty -r asked told '*\[\[*\]\]*'
print -r -- "${${told##*\[\[}%%\]\]*}"
"#;
    let home = tempfile::tempdir().expect("a directory");
    std::fs::write(home.path().join(".zshrc"), SETTINGS).expect("settings");
    let file = |program: &str| format!("_{program}");
    ask("zsh", file, |program, typed| {
        let mut command = Command::new("timeout");
        command.args(["30", "zsh", "-f", "-c", ASK, "zsh"]).arg(format!("{program} {}", typed.join(" ")));
        command.env("COMPLETIONS", contrib().join("completions"));
        command.env("TERM", "dumb").env("ZDOTDIR", home.path());
        command
    });
}
