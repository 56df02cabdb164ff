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
    let verbs = verbs_with_jobs(&command);
    [
        (format!("contrib/completions/{name}.bash"), bash_with_jobs(&with_users(&made(Shell::Bash)), &verbs)),
        (format!("contrib/completions/_{name}"), zsh_with_jobs(&made(Shell::Zsh), &verbs)),
        (format!("contrib/completions/{name}.fish"), fish_with_jobs(made(Shell::Fish), &verbs)),
    ]
}

/// The verbs whose arguments are jobs.
fn verbs_with_jobs(command: &Command) -> Vec<String> {
    let takes_jobs =
        |verb: &&Command| verb.get_positionals().any(|arg| ["job", "jobs"].contains(&arg.get_id().as_str()));
    command.get_subcommands().filter(takes_jobs).map(|verb| verb.get_name().to_owned()).collect()
}

/// In bash a colon separates words, so that after `USER:` the rest of the name is completed.
fn bash_with_jobs(script: &str, verbs: &[String]) -> String {
    if verbs.is_empty() {
        return script.to_owned();
    }
    let mut script = script.to_owned();
    for verb in verbs {
        let begin = script.find(&format!("        cronctl__subcmd__{verb})\n")).expect("the verb");
        let options = begin + script[begin..].find("opts=\"").expect("its options");
        let end = options + script[options..].find('\n').expect("a line") - 1;
        script.insert_str(end, " $(_cronctl_jobs)");
        let options = script[options..end].find(" [JOB").map(|at| options + at);
        if let Some(at) = options {
            script.replace_range(at..end, "");
        }
    }
    let function = "# The names of jobs, from the daemon.\n_cronctl_jobs() {\n    [[ ${cur} == -* ]] || cronctl job-names 2>/dev/null | sed 'p; s/^[^:]*://'\n}\n\n";
    function.to_owned() + &script
}

fn zsh_with_jobs(script: &str, verbs: &[String]) -> String {
    if verbs.is_empty() {
        return script.to_owned();
    }
    let lines = script.lines().map(|line| match line.strip_suffix(":_default' \\") {
        Some(start) if [":job ", "::job ", "*::jobs "].iter().any(|begin| start.starts_with(&format!("'{begin}"))) => {
            format!("{start}:_cronctl_jobs' \\\n")
        }
        _ => format!("{line}\n"),
    });
    let function = "# The names of jobs, from the daemon.\n_cronctl_jobs() {\n    local -a jobs\n    jobs=(${(f)\"$(cronctl job-names 2>/dev/null)\"})\n    compadd -- $jobs\n}\n\n";
    let script: String = lines.collect();
    let begin = script.find("_cronctl() {").expect("the function");
    format!("{}{function}{}", &script[..begin], &script[begin..])
}

fn fish_with_jobs(mut script: String, verbs: &[String]) -> String {
    for verb in verbs {
        script += &format!(
            "complete -c cronctl -n \"__fish_cronctl_using_subcommand {verb}\" -f -a \"(cronctl job-names 2>/dev/null)\"\n"
        );
    }
    script
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
