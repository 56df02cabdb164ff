//! The quick start of a fleet, run with Debian's etcd, and the pods that are one.

use crate::common::Implementation;
use crate::common::implementation::package;
use crate::world;
use crate::{contrib, lacks, run};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

const SCRIPT: &str = "fleet/quickstart";

#[test]
fn shellcheck_has_nothing_to_say_about_the_quick_start() {
    if lacks("shellcheck_has_nothing_to_say_about_the_quick_start", &["shellcheck"]) {
        return;
    }
    run(Command::new("shellcheck").arg(contrib().join(SCRIPT)));
}

/// A line that a job of the quick start has printed: `web1 | odd: fence 12, due 2026-11-27T10:15:01Z`.
struct Run<'a> {
    node: &'a str,
    job: &'a str,
    fence: u64,
    due: &'a str,
}

impl<'a> Run<'a> {
    fn of_line(line: &'a str) -> Option<Run<'a>> {
        let (node, rest) = line.split_once(" | ")?;
        let (job, rest) = rest.split_once(": fence ")?;
        let (fence, due) = rest.split_once(", due ")?;
        Some(Run { node, job, fence: fence.parse().ok()?, due })
    }
}

#[test]
fn the_quick_start_starts_every_slot_once_also_while_a_node_is_stopped_and_leaves_nothing() {
    let Some(world) = world!(Implementation::OursDebian, ["etcd-server"]) else { return };
    let programs = [
        (package("etcd-server").join("usr/bin/etcd"), "/usr/local/bin/etcd"),
        (contrib().join(SCRIPT), "/usr/local/bin/quickstart"),
    ];
    for (from, to) in programs {
        fs::copy(from, to).expect("a copy");
        fs::set_permissions(to, fs::Permissions::from_mode(0o755)).expect("its mode");
    }
    let before = fs::read_dir("/tmp").expect("/tmp").count();
    let shown = world.run_as("alice", "SECONDS_EACH=20 PATH=$PATH:/usr/sbin CROND=/usr/sbin/cron quickstart 2>&1");
    let said = shown.ok();
    let runs: Vec<Run<'_>> = said.lines().filter_map(Run::of_line).collect();
    let slots: BTreeSet<(&str, &str)> = runs.iter().map(|run| (run.job, run.due)).collect();
    assert_eq!(slots.len(), runs.len(), "a slot ran twice: {said}");
    // About a minute, with a slot of either job each second; what is claimed by a node that is killed is lost.
    assert!(runs.len() > 40, "{said}");
    for job in ["odd", "even"] {
        let mut last = 0;
        let mut by_slot: BTreeMap<&str, u64> = BTreeMap::new();
        by_slot.extend(runs.iter().filter(|run| run.job == job).map(|run| (run.due, run.fence)));
        for fence in by_slot.into_values() {
            assert!(fence > last, "the fences of {job} grow: {said}");
            last = fence;
        }
    }
    let (before_it, while_stopped) = said.split_once(" is killed: ").expect("the second part");
    let stopped = before_it.rsplit(' ').next().expect("a node");
    let (while_stopped, _) = while_stopped.split_once(" starts again").expect("the third part");
    let taken_over: Vec<Run<'_>> =
        while_stopped.lines().filter_map(Run::of_line).filter(|run| run.job == "odd").collect();
    assert!(!taken_over.is_empty() && taken_over.iter().all(|run| run.node != stopped), "{said}");

    let left = fs::read_dir("/tmp").expect("/tmp").count();
    assert_eq!(left, before, "files are left in /tmp");
    let names: Vec<String> = world.processes().into_iter().map(|process| process.name).collect();
    assert!(!names.iter().any(|name| name == "etcd" || name == "cron"), "{names:?}");
}

#[test]
fn the_pods_of_a_fleet_fit_together_and_their_files_are_read_without_a_complaint() {
    if lacks("the_pods_of_a_fleet_fit_together_and_their_files_are_read_without_a_complaint", &["python3"]) {
        return;
    }
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let documents = crate::containers::yaml(&contrib().join("kubernetes/fleet.yaml"));
    let kinds: Vec<&str> = documents.iter().filter_map(|document| document["kind"].as_str()).collect();
    assert_eq!(kinds, ["Secret", "ConfigMap", "StatefulSet", "Service", "PodDisruptionBudget"]);
    let [secret, map, set, service, budget] = &documents[..] else { panic!("{documents:?}") };
    let (spec, pod) = (&set["spec"], &set["spec"]["template"]["spec"]);
    let labels = &spec["template"]["metadata"]["labels"];
    for selector in [
        &spec["selector"]["matchLabels"],
        &service["spec"]["selector"],
        &budget["spec"]["selector"]["matchLabels"],
        &pod["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ] {
        assert_eq!(selector, labels);
    }
    assert_eq!(spec["serviceName"], service["metadata"]["name"]);
    let container = &pod["containers"][0];
    let volumes = [&pod["volumes"], &spec["volumeClaimTemplates"]];
    let volumes = volumes.iter().flat_map(|volumes| volumes.as_array().expect("volumes"));
    let names: Vec<&Value> = volumes.map(|volume| volume.get("name").unwrap_or(&volume["metadata"]["name"])).collect();
    let mut places = BTreeMap::new();
    for mount in container["volumeMounts"].as_array().expect("mounts") {
        assert!(names.contains(&&mount["name"]), "{mount}");
        places.insert(mount["name"].as_str().expect("a name"), mount["mountPath"].as_str().expect("a path"));
    }
    assert_eq!(pod["volumes"][0]["configMap"]["name"], map["metadata"]["name"]);
    assert_eq!(pod["volumes"][1]["secret"]["secretName"], secret["metadata"]["name"]);

    // The files where the pod shows them.
    for (volume, files) in [("fleet", &map["data"]), ("etcd", &secret["stringData"])] {
        fs::create_dir_all(places[volume]).expect("a folder");
        for (name, text) in files.as_object().expect("files") {
            fs::write(format!("{}/{name}", places[volume]), text.as_str().expect("text")).expect("a file");
        }
    }
    let arguments: Vec<String> = serde_json::from_value(container["args"].clone()).expect("words");
    let config = &arguments[arguments.iter().position(|word| word == "--config").expect("--config") + 1];
    let table = arguments.last().expect("a table");
    let shown = world.run(&format!("cronctl check --config {config} {table} 2>&1")).ok();
    assert_eq!(shown, format!("{table}: 2 entries, 0 errors, 0 warnings\n"));
    let text = fs::read_to_string(config).expect("the configuration");
    for path in text.split('"').filter(|word| word.starts_with('/')) {
        assert!(fs::metadata(path).is_ok(), "{path} is not mounted");
    }
}
