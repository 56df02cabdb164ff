//! The syntax file for Vim, by Vim itself.

use crate::{contrib, lacks, run};
use std::fs;
use std::process::Command;

#[test]
fn vim_knows_a_crontab_by_its_name_and_each_part_by_its_place() {
    if lacks("vim_knows_a_crontab_by_its_name_and_each_part_by_its_place", &["vim"]) {
        return;
    }
    // Line, column, and what stands there. cronwheel.vim tells the file by its name.
    let table = [
        "# a comment",
        "CRON_TZ=Europe/Berlin",
        "NAME = value",
        "30 2 * * mon-fri  -q backup 100%",
        "@daily  report",
        "@10s  poll",
        "*/5 9~17 L * *  true",
    ];
    let wanted = [
        (1, 1, "crontabComment"),
        (2, 1, "crontabSetting"),
        (2, 9, "crontabValue"),
        (3, 1, "crontabName"),
        (4, 1, "crontabNumber"),
        (4, 6, "crontabOperator"),
        (4, 10, "crontabWord"),
        (4, 19, "crontabFlag"),
        (4, 22, "crontabCommand"),
        (4, 32, "crontabPercent"),
        (5, 1, "crontabNick"),
        (5, 9, "crontabCommand"),
        (6, 1, "crontabNick"),
        (7, 1, "crontabOperator"),
        (7, 17, "crontabCommand"),
    ];
    let place = tempfile::tempdir().expect("a directory");
    let (file, told) = (place.path().join("jobs.crontab"), place.path().join("told"));
    fs::write(&file, table.join("\n")).expect("a table");
    let asked: String = wanted
        .iter()
        .map(|(line, column, _)| format!("call add(told, synIDattr(synID({line}, {column}, 1), 'name'))\n"))
        .collect();
    // Ours before Vim's own, which knows a crontab too: with `syntax/crontab.vim` of both, the first counts.
    let script = format!(
        "set runtimepath^={}\nfiletype on\nsyntax on\nedit {}\nlet told = [&filetype]\n{asked}call writefile(told, '{}')\nqall!\n",
        contrib().join("vim").display(),
        file.display(),
        told.display()
    );
    let path = place.path().join("script.vim");
    fs::write(&path, script).expect("a script");
    run(Command::new("vim")
        .args(["-es", "-u", "NONE", "-i", "NONE", "--not-a-term", "-S"])
        .arg(&path)
        .env("HOME", place.path()));
    let told = fs::read_to_string(told).expect("what Vim said");
    let wanted: Vec<&str> = ["crontab"].into_iter().chain(wanted.iter().map(|(_, _, name)| *name)).collect();
    assert_eq!(told.lines().collect::<Vec<_>>(), wanted);
}
