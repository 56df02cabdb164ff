//! The rules, the configuration and the cron entry for Prometheus.

use crate::common::implementation::package;
use crate::common::machine::run;
use crate::common::{Deadline, Implementation};
use crate::world;
use crate::{contrib, lacks, read};
use std::fs;
use std::process::Command;

fn promtool() -> Command {
    let mut command = Command::new(package("prometheus").join("usr/bin/promtool"));
    command.current_dir(contrib().join("prometheus"));
    command
}

#[test]
fn promtool_accepts_the_rules_and_their_tests() {
    if lacks("promtool_accepts_the_rules_and_their_tests", &["prometheus"]) {
        return;
    }
    assert!(run(promtool().args(["check", "rules", "alerts.yml"])).contains("SUCCESS"));
    assert!(run(promtool().args(["test", "rules", "alerts_test.yml"])).contains("SUCCESS"));
    // The files that it names are elsewhere.
    assert!(run(promtool().args(["check", "config", "--syntax-only", "scrape.yml"])).contains("SUCCESS"));
    let (rules, tests) = (read("prometheus/alerts.yml"), read("prometheus/alerts_test.yml"));
    for alert in rules.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let fires = tests
            .split(&format!("alertname: {alert}\n"))
            .skip(1)
            .any(|rest| rest.trim_start().starts_with("exp_alerts"));
        assert!(fires, "no test in which {alert} fires");
    }
}

#[test]
fn the_rules_name_metrics_that_there_are_and_the_entry_writes_them() {
    let Some(world) = world!(Implementation::OursDebian, ["prometheus"]) else { return };
    let entry = read("prometheus/textfile.cron");
    world.drop_in("cronwheel-metrics", &entry);
    fs::create_dir_all("/var/lib/prometheus/node-exporter").expect("a directory");
    let checked = world.run("cronctl check --system /etc/cron.d/cronwheel-metrics");
    assert!(checked.code() == 0 && checked.stdout.contains("1 entry, 0 errors, 0 warnings"), "{checked:?}");
    let _daemon = world.start_daemon(&[]);
    // It runs each minute.
    let file = "/var/lib/prometheus/node-exporter/cronwheel.prom";
    let text = world.wait_for_file(file, Deadline::seconds(90));
    assert!(
        text.contains("\n# TYPE cronwheel_job_runs_total counter\n") && text.contains("\ncronwheel_up 1\n"),
        "{text}"
    );
    let checked =
        world.run(&format!("{} check metrics <{file}", package("prometheus").join("usr/bin/promtool").display()));
    assert!(checked.code() == 0 && checked.stdout.is_empty() && checked.stderr.is_empty(), "{checked:?}");
    let rules = read("prometheus/alerts.yml");
    let is_name = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let names = rules.split(|char| !is_name(char)).filter(|word| word.starts_with("cronwheel_"));
    let mut count = 0;
    for name in names {
        assert!(text.contains(&format!("\n{name}{{")) || text.contains(&format!("\n{name} ")), "{name}: {text}");
        count += 1;
    }
    assert!(count >= 10, "{count} names");
}
