//! The image and the pod. Nothing here can build the one or run the other without a registry; what is checked is what
//! they make of crond: a first process without privileges, on a file system that it cannot write to.

use crate::common::{Deadline, Implementation, World};
use crate::world;
use crate::{lacks, read, run};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

/// The instructions of a Dockerfile, continued lines joined.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).collect();
    let joined = lines.join("\n").replace("\\\n", " ");
    joined
        .lines()
        .map(|line| line.split_once(' ').expect("an instruction and its arguments"))
        .map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()))
        .collect()
}

/// Runs crond as the first process of a container does: uid 1000, nothing to be written to but /tmp; gives its output
/// once a job has said `wanted`, and it was told to stop.
fn first_process_says(world: &World, arguments: &[String], wanted: &str) -> String {
    let script = "mount -o remount,bind,ro / && mount -t tmpfs tmpfs /tmp && \
        exec setpriv --reuid=1000 --regid=1000 --clear-groups --bounding-set=-all --no-new-privs -- \"$@\"";
    let said = fs::File::create("/run/said").expect("a file");
    let mut container = Command::new("unshare")
        .args(["--mount", "--pid", "--fork", "--mount-proc", "--", "sh", "-euc", script, "sh"])
        .args(arguments)
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin:/usr/sbin")
        .env("HOME", "/tmp")
        .stdin(Stdio::null())
        .stdout(said.try_clone().expect("the file"))
        .stderr(said)
        .spawn()
        .expect("unshare");
    let so_far = || fs::read_to_string("/run/said").expect("the file");
    Deadline::seconds(30).wait_for(wanted, || {
        let ended = container.try_wait().expect("the container");
        assert!(ended.is_none(), "{ended:?}: {}", so_far());
        so_far().contains(wanted).then_some(())
    });
    let first =
        world.processes().into_iter().find(|process| process.parent == container.id()).expect("the first process");
    world.run(&format!("kill -TERM {}", first.pid)).ok();
    let status = container.wait().expect("its end");
    assert!(status.success(), "{status}: {}", so_far());
    so_far()
}

#[test]
fn what_the_dockerfile_copies_is_there_and_what_it_starts_runs_as_an_ordinary_first_process() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let instructions = instructions(&read("docker/Dockerfile"));
    let all = |wanted: &str| {
        instructions.iter().filter(move |(word, _)| word == wanted).map(|(_, rest)| rest.as_str()).collect::<Vec<_>>()
    };
    let known = ["FROM", "WORKDIR", "COPY", "RUN", "USER", "ENTRYPOINT", "CMD"];
    assert!(instructions.iter().all(|(word, _)| known.contains(&word.as_str())), "{instructions:?}");
    assert_eq!(all("FROM").len(), 2);
    assert!(all("RUN")[0].starts_with("cargo build --release --locked --bin crond"));
    // The user is made as the image does it; packages come from nowhere here.
    let make_user = all("RUN")[1].split("&&").map(str::trim).find(|part| part.starts_with("useradd ")).expect("a user");
    world.run(make_user).ok();
    assert!(make_user.ends_with(all("USER")[0]));
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    for copy in all("COPY") {
        let words: Vec<&str> = copy.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        let (to, from) = words.split_last().expect("a place");
        for from in from.iter().filter(|from| **from != ".") {
            let name = Path::new(from).file_name().expect("a name");
            let built = from
                .strip_prefix("/src/target/release/")
                .map(|name| Path::new("/usr/sbin").join(name.replace("cronctl", "../bin/cronctl")));
            let to = if to.ends_with('/') { Path::new(to).join(name) } else { to.into() };
            fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            fs::copy(built.unwrap_or_else(|| top.join(from)), &to).unwrap_or_else(|e| panic!("{from}: {e}"));
        }
    }
    let started: Vec<String> = [all("ENTRYPOINT")[0], all("CMD")[0]]
        .iter()
        .flat_map(|list| serde_json::from_str::<Vec<String>>(list).expect("a list in JSON"))
        .collect();
    let said = first_process_says(&world, &started, "crond is up; the next full minute brings the first job");
    assert!(said.contains("STARTUP"), "{said}");
}

#[test]
fn the_pods_parts_fit_together_and_its_table_runs_under_its_arguments() {
    if lacks("the_pods_parts_fit_together_and_its_table_runs_under_its_arguments", &["python3"]) {
        return;
    }
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let read = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let file = crate::contrib().join("kubernetes/cronwheel.yaml");
    let told = run(Command::new("python3").args(["-c", read]).arg(file));
    let documents: Vec<Value> = serde_json::from_str(&told).expect("JSON");
    let [map, deployment] = &documents[..] else { panic!("{documents:?}") };
    assert_eq!((&map["kind"], &map["apiVersion"]), (&"ConfigMap".into(), &"v1".into()));
    assert_eq!((&deployment["kind"], &deployment["apiVersion"]), (&"Deployment".into(), &"apps/v1".into()));
    let (spec, pod) = (&deployment["spec"], &deployment["spec"]["template"]["spec"]);
    assert_eq!(spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]);
    assert_eq!((&spec["replicas"], &spec["strategy"]["type"]), (&1.into(), &"Recreate".into()), "no job runs twice");
    let container = &pod["containers"][0];
    let volumes = pod["volumes"].as_array().expect("volumes");
    for mount in container["volumeMounts"].as_array().expect("mounts") {
        assert!(volumes.iter().any(|volume| volume["name"] == mount["name"]), "{mount}");
    }
    assert!(volumes.iter().any(|volume| volume["configMap"]["name"] == map["metadata"]["name"]));
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);

    // The table where the pod shows it, with one more job that does not wait for a full minute.
    let arguments: Vec<String> = serde_json::from_value(container["args"].clone()).expect("words");
    let place = Path::new(container["volumeMounts"][0]["mountPath"].as_str().expect("a path"));
    fs::create_dir_all(place).expect("a folder");
    for (name, text) in map["data"].as_object().expect("tables") {
        let text = text.as_str().expect("text");
        fs::write(place.join(name), format!("{text}@reboot echo here we are\n")).expect("a table");
        world.run(&format!("cronctl check {}", place.join(name).display())).ok();
    }
    let stop = arguments.iter().position(|word| word == "--stop-timeout").expect("a time to stop");
    let seconds: u64 = arguments[stop + 1].trim_end_matches('s').parse().expect("seconds");
    assert!(pod["terminationGracePeriodSeconds"].as_u64().expect("seconds") > seconds, "a stop waits for running jobs");
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).expect("its mode");
    let started: Vec<String> = [vec!["/usr/sbin/crond".to_owned()], arguments].concat();
    let said = first_process_says(&world, &started, "here we are");
    let records = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    assert!(records.into_iter().any(|record| record["event"] == "CMD"), "{said}");
}
