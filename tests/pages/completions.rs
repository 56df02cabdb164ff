//! Completions for bash, zsh and fish, made by `clap_complete`.

use clap::Command;
use clap_complete::{Shell, generate};

/// The files of one program: path and text.
pub fn of(name: &'static str, command: Command) -> [(String, String); 3] {
    let made = |shell| {
        let mut bytes = Vec::new();
        generate(shell, &mut command.clone(), name, &mut bytes);
        String::from_utf8(bytes).expect("text")
    };
    [
        (format!("contrib/completions/{name}.bash"), with_users(&made(Shell::Bash))),
        (format!("contrib/completions/_{name}"), made(Shell::Zsh)),
        (format!("contrib/completions/{name}.fish"), made(Shell::Fish)),
    ]
}

/// bash has a word for users, which the generator does not use: an option `--user` takes one.
fn with_users(script: &str) -> String {
    let mut lines = Vec::new();
    let mut in_user = false;
    for line in script.lines() {
        match line.trim() {
            "--user)" | "-u)" => in_user = true,
            ";;" => in_user = false,
            _ => {}
        }
        lines.push(if in_user { line.replace("compgen -f", "compgen -u") } else { line.to_owned() });
    }
    lines.join("\n") + "\n"
}
