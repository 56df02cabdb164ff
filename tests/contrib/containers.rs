//! The image and the pod. There is no engine and no registry here: the steps of the Dockerfile are done in a chroot, and what is checked is
//! what they make of crond: a first process without privileges, on a file system that it cannot write to.

use crate::common::implementation::needs;
use crate::common::{Deadline, Implementation, World};
use crate::world;
use crate::{lacks, read, run};
use cronwheel::sys::clock;
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

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
    let mut container = Container::start(world, script, arguments);
    container.wait_for_output(wanted);
    container.stop(world)
}

/// A first process in namespaces of its own, with what it has printed.
struct Container {
    unshare: Child,
    first: u32,
}

impl Container {
    const OUTPUT: &str = "/run/said";

    /// Runs `script` with `arguments`; it ends with the `exec` of the first process.
    fn start(world: &World, script: &str, arguments: &[String]) -> Container {
        let said = fs::File::create(Container::OUTPUT).expect("a file");
        let mut unshare = Command::new("unshare")
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
        let first = Deadline::seconds(30).wait_for("the first process", || {
            let ended = unshare.try_wait().expect("the container");
            assert!(ended.is_none(), "{ended:?}: {}", Container::said());
            world.processes().into_iter().find(|process| process.parent == unshare.id())
        });
        Container { unshare, first: first.pid }
    }

    fn said() -> String {
        fs::read_to_string(Container::OUTPUT).expect("the file")
    }

    fn wait_for_output(&mut self, wanted: &str) {
        Deadline::seconds(30).wait_for(wanted, || {
            let ended = self.unshare.try_wait().expect("the container");
            assert!(ended.is_none(), "{ended:?}: {}", Container::said());
            Container::said().contains(wanted).then_some(())
        });
    }

    /// Tells it to stop, as `docker stop` does, and gives all its output.
    fn stop(mut self, world: &World) -> String {
        world.run(&format!("kill -TERM {}", self.first)).ok();
        let status = self.unshare.wait().expect("its end");
        assert!(status.success(), "{status}: {}", Container::said());
        Container::said()
    }
}

/// Where the image is put together and run.
const IMAGE: &str = "/run/image";

/// The image of the Dockerfile: the last stage, each of its steps done in a file system of its own.
struct Image {
    instructions: Vec<(String, String)>,
}

impl Image {
    /// Builds it. Its base is the small Debian of `tests/install-needs`, and what the first stage builds are the programs under test.
    fn build(world: &World) -> Image {
        let all = instructions(&read("docker/Dockerfile"));
        let known = ["FROM", "WORKDIR", "COPY", "RUN", "USER", "HEALTHCHECK", "ENTRYPOINT", "CMD"];
        assert!(all.iter().all(|(word, _)| known.contains(&word.as_str())), "{all:?}");
        let stages: Vec<_> = all.split(|(word, _)| word == "FROM").skip(1).map(<[_]>::to_vec).collect();
        let [build, last] = &stages[..] else { panic!("{} stages", stages.len()) };
        let built: Vec<_> = build.iter().filter(|(word, _)| word == "RUN").map(|(_, line)| line.as_str()).collect();
        assert_eq!(built, ["cargo build --release --locked --bin crond --bin cronctl"]);
        let base = needs().join("bookworm");
        let mount = format!(
            "mkdir -p {IMAGE}/upper {IMAGE}/work {IMAGE}/root && mount -t overlay overlay {IMAGE}/root \
             -o lowerdir={},upperdir={IMAGE}/upper,workdir={IMAGE}/work",
            base.display()
        );
        world.run(&mount).ok();
        let image = Image { instructions: last.clone() };
        for (word, rest) in last {
            match word.as_str() {
                "RUN" => drop(world.run(&format!("chroot {IMAGE}/root /bin/sh -euc '{rest}'")).ok()),
                "COPY" => Image::copy(rest),
                _ => {}
            }
        }
        image
    }

    fn copy(rest: &str) {
        let top = Path::new(env!("CARGO_MANIFEST_DIR"));
        let words: Vec<&str> = rest.split_whitespace().filter(|word| !word.starts_with("--")).collect();
        let is_of_build = rest.starts_with("--from=build ");
        let (to, from) = words.split_last().expect("a place");
        for from in from {
            let name = Path::new(from).file_name().expect("a name");
            let source = match (is_of_build, *from) {
                (true, "/src/target/release/crond") => env!("CARGO_BIN_EXE_crond").into(),
                (true, "/src/target/release/cronctl") => env!("CARGO_BIN_EXE_cronctl").into(),
                // Of the image of the first stage, which has certificates as this machine has.
                (true, "/etc/ssl/certs/ca-certificates.crt") => PathBuf::from(from),
                (true, _) => panic!("the first stage makes no {from}"),
                (false, _) => top.join(from),
            };
            let to = if to.ends_with('/') { Path::new(to).join(name) } else { to.into() };
            let to = Path::new(IMAGE).join("root").join(to.strip_prefix("/").expect("an absolute path"));
            fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
            fs::copy(&source, &to).unwrap_or_else(|e| panic!("{}: {e}", source.display()));
        }
    }

    fn only(&self, wanted: &str) -> &str {
        let all: Vec<&str> =
            self.instructions.iter().filter(|(word, _)| word == wanted).map(|(_, rest)| rest.as_str()).collect();
        let [only] = all[..] else { panic!("{wanted}: {all:?}") };
        only
    }

    /// A list of words, in JSON.
    fn words(text: &str) -> Vec<String> {
        serde_json::from_str(text).unwrap_or_else(|e| panic!("{text}: {e}"))
    }

    /// How a program begins in it: as the user of the image, without privileges, in its directory.
    fn as_user(&self) -> String {
        let user = self.only("USER");
        format!(
            "setpriv --reuid={user} --regid={user} --clear-groups --bounding-set=-all --no-new-privs -- \
             env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/var/lib/cronwheel \
             /bin/sh -euc 'cd {}; exec \"$@\"' sh",
            self.only("WORKDIR")
        )
    }

    /// Runs it: read-only but for /tmp and what `mounts`, lines for a shell in its root, make.
    fn run(&self, world: &World, mounts: &str, command: &[String]) -> Container {
        let script = format!(
            "cd {IMAGE}/root; mount --bind . .; cd {IMAGE}/root; mount -t proc proc proc; mount --rbind /dev dev; \
             mount -t tmpfs -o mode=1777 tmpfs tmp; {mounts} mount -o remount,bind,ro .; exec chroot . {} \"$@\"",
            self.as_user()
        );
        let arguments = [&Image::words(self.only("ENTRYPOINT"))[..], command].concat();
        Container::start(world, &script, &arguments)
    }

    /// What the engine runs to see whether it is healthy.
    fn health_check(&self) -> String {
        let (_, command) = self.only("HEALTHCHECK").split_once("CMD ").expect("a command");
        format!("{} {}", self.as_user(), Image::words(command).join(" "))
    }

    /// The exit status of the health check in a container.
    fn is_healthy(&self, world: &World, container: &Container) -> bool {
        let line = format!("nsenter --target {} --mount --pid --root --wd -- {}", container.first, self.health_check());
        world.run(&line).code() == 0
    }
}

/// Seconds in an option like `--stop-timeout 5s`.
fn stop_timeout(command: &[String]) -> u64 {
    let at = command.iter().position(|word| word == "--stop-timeout").expect("--stop-timeout");
    command[at + 1].trim_end_matches('s').parse().expect("seconds")
}

/// How long `docker stop` waits before it kills everything.
const DOCKER_WAITS: u64 = 10;

#[test]
fn the_image_built_by_the_dockerfile_runs_its_table_is_healthy_and_stops_before_docker_kills_it() {
    let Some(world) = world!(Implementation::OursDebian, ["bookworm"]) else { return };
    let image = Image::build(&world);
    // It is small: besides its base it has the programs, a table, the certificates and a user.
    let added = world.run(&format!("cd {IMAGE}/upper && find . -type f -printf '%p\\n' | sort")).ok();
    let is_account = |path: &&str| ["passwd", "shadow", "group", "gshadow"].iter().any(|name| path.contains(name));
    let is_home = |path: &&str| path.starts_with("./var/lib/cronwheel/");
    let added: Vec<&str> = added.lines().filter(|path| !is_account(path) && !is_home(path)).collect();
    let wanted = [
        "./etc/cronwheel/jobs.crontab",
        "./etc/ssl/certs/ca-certificates.crt",
        "./usr/local/bin/cronctl",
        "./usr/local/bin/crond",
    ];
    let by_useradd = ["./etc/.pwd.lock", "./etc/subuid", "./etc/subgid", "./var/log/lastlog", "./var/log/faillog"];
    let added: Vec<&str> = added.into_iter().filter(|path| !by_useradd.contains(path)).collect();
    assert_eq!(added, wanted);

    let command = Image::words(image.only("CMD"));
    assert!(stop_timeout(&command) < DOCKER_WAITS);
    let mut container = image.run(&world, "", &command);
    container.wait_for_output("crond is up; the next full minute brings the first job");
    assert!(image.is_healthy(&world, &container), "{}", Container::said());
    let said = container.stop(&world);
    assert!(said.contains("STARTUP"), "{said}");
    // The check can fail: nothing runs now.
    assert_ne!(world.run(&format!("chroot {IMAGE}/root {}", image.health_check())).code(), 0);

    // A table of the user's, as in the Dockerfile's second example, whose job would run for a long time.
    fs::write("/run/jobs.crontab", "@reboot echo a long job; sleep 600\n").expect("a table");
    let table = command.last().expect("a table").trim_start_matches('/');
    let mut container = image.run(&world, &format!("mount --bind /run/jobs.crontab {table};"), &command);
    container.wait_for_output("a long job\n");
    let began_ms = clock::monotonic_ms();
    let said = container.stop(&world);
    let took_ms = clock::monotonic_ms() - began_ms;
    assert!(took_ms < DOCKER_WAITS as i64 * 1000, "{took_ms} ms: {said}");
    assert!(said.contains("1 job still running; terminating it"), "{said}");
}

#[test]
fn the_compose_file_fits_the_image_and_its_command_runs() {
    let name = "the_compose_file_fits_the_image_and_its_command_runs";
    if lacks(name, &["python3"]) {
        return;
    }
    let Some(world) = world!(Implementation::OursDebian, ["bookworm"]) else { return };
    let file = crate::contrib().join("docker/compose.yaml");
    let documents = yaml(&file);
    let [document] = &documents[..] else { panic!("{documents:?}") };
    let cron = &document["services"]["cron"];
    // Its paths are relative to it.
    let here = file.parent().expect("a folder");
    let context = here.join(cron["build"]["context"].as_str().expect("a path"));
    assert!(context.join("Cargo.toml").exists());
    assert!(context.join(".dockerignore").exists(), "else target and .git are sent to the engine");
    assert!(context.join(cron["build"]["dockerfile"].as_str().expect("a path")).exists());
    assert!((cron["read_only"] == true) && cron["tmpfs"] == serde_json::json!(["/tmp"]), "the socket is below /tmp");
    let command: Vec<String> = serde_json::from_value(cron["command"].clone()).expect("words");
    let grace = cron["stop_grace_period"].as_str().expect("a time").trim_end_matches('s').parse().expect("seconds");
    assert!(stop_timeout(&command) + 10 < grace, "a stop waits for running jobs, and kills them ten seconds later");

    let image = Image::build(&world);
    let mut mounts = String::new();
    for volume in cron["volumes"].as_array().expect("volumes") {
        let parts: Vec<&str> = volume.as_str().expect("a volume").split(':').collect();
        let to = parts[1].trim_start_matches('/');
        if parts[0].starts_with('.') {
            mounts += &format!("mount --bind {} {to}; mount -o remount,bind,ro {to};", here.join(parts[0]).display());
        } else {
            assert!(document["volumes"].get(parts[0]).is_some(), "{volume}");
            // A new volume has the owner of the directory in the image.
            let user = image.only("USER");
            mounts += &format!("mount -t tmpfs tmpfs {to}; chroot . chown {user}:{user} /{to};");
        }
    }
    let mut container = image.run(&world, &mounts, &command);
    container.wait_for_output("crond is up; the next full minute brings the first job");
    assert!(image.is_healthy(&world, &container), "{}", Container::said());
    let said = container.stop(&world);
    let records = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    assert!(records.into_iter().any(|record| record["event"] == "CMD"), "{said}");
}

/// The documents of a file in YAML.
pub fn yaml(file: &Path) -> Vec<Value> {
    let read = "import json, sys, yaml; print(json.dumps(list(yaml.safe_load_all(open(sys.argv[1])))))";
    let told = run(Command::new("python3").args(["-c", read]).arg(file));
    serde_json::from_str(&told).expect("JSON")
}

#[test]
fn the_pods_parts_fit_together_and_its_table_runs_under_its_arguments() {
    if lacks("the_pods_parts_fit_together_and_its_table_runs_under_its_arguments", &["python3"]) {
        return;
    }
    let Some(world) = world!(Implementation::OursDebian) else { return };
    let documents = yaml(&crate::contrib().join("kubernetes/cronwheel.yaml"));
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
    let grace = pod["terminationGracePeriodSeconds"].as_u64().expect("seconds");
    assert!(grace > stop_timeout(&arguments), "a stop waits for running jobs");
    let probe = &container["livenessProbe"]["exec"]["command"];
    let check = instructions(&read("docker/Dockerfile")).into_iter().find(|(word, _)| word == "HEALTHCHECK");
    let check = check.expect("a check").1;
    let check = check.split_once("CMD ").expect("a command").1;
    assert_eq!(probe, &serde_json::from_str::<Value>(check).expect("words"), "as in the image");
    fs::set_permissions(place, fs::Permissions::from_mode(0o755)).expect("its mode");
    let started: Vec<String> = [vec!["/usr/sbin/crond".to_owned()], arguments].concat();
    let said = first_process_says(&world, &started, "here we are");
    let records = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    assert!(records.into_iter().any(|record| record["event"] == "CMD"), "{said}");
}
