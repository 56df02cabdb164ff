//! The control socket as a client of another project sees it: the package `varlink` of PyPI, which reads the descriptions and checks each
//! message against them. Debian 12 has no varlinkctl.

use crate::common::implementation::needs;
use crate::common::{Deadline, Implementation};
use crate::world;
use std::fs;

/// Lists, shows, runs, pauses and follows events. Each answer is a line.
const CLIENT: &str = r#"
import datetime, queue, threading, varlink
address = "unix:/run/cronwheel/io.cronwheel.Cron"
with varlink.Client(address=address) as client, client.open("io.cronwheel.Cron") as cron, client.open("io.cronwheel.Cron") as other:
    print(",".join(client.get_interfaces()))
    print(cron.Status()["entries"])
    for page in cron.List(_more=True):
        print(",".join(sorted(job["name"] + "=" + job["state"] for job in page["jobs"])))
    print(cron.Show("say")["explanation"])
    print(cron.Why(job="say")["verdict"].split(" at ")[0])
    print(len(list(cron.Next(count=3, _more=True))), len(list(cron.Next(count=9, per_job=1, _more=True))))
    for page in cron.Metrics(filter={"jobs": ["say"]}, _more=True):
        print(page["jobs"][0]["name"], page["jobs"][0]["overlap"], page["daemon"]["entries"], len(page["duration_bounds"]))
    events = queue.Queue()
    def follow():
        # Ends with the connection.
        try:
            for event in other.Events(_more=True):
                events.put(event)
        except (OSError, ValueError):
            pass
    threading.Thread(target=follow, daemon=True).start()
    # Nothing says that events are sent from now on, so the job is run until one comes. The first can be the end of a run whose start was
    # before that, so that the events of one more run are the ones to look at.
    while events.empty():
        list(cron.Run(job="say", _more=True))
    replies = list(cron.Run(job="say", _more=True))
    print(replies[1]["outcome"]["outcome"], replies[1]["outcome"]["exit_code"])
    of_run = (event["event"] for event in iter(lambda: events.get(timeout=60), None) if event.get("run") == replies[0]["run"])
    print(next(of_run), next(of_run))
    until = (datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=1)).isoformat()
    print(cron.Pause(jobs=["say"], until=until, note="by hand")["paused"][0])
    print(next(event["text"] for event in iter(events.get, None) if event["event"] == "pause").split(" until ")[0])
    print(cron.List(filter={"state": "paused"})["jobs"][0]["note"])
    print(cron.Resume(jobs=[], all=True)["resumed"][0])
    run = cron.Run(job="long")["run"]
    print("".join(part["data"] for part in cron.Output(run=run, follow=True, _more=True)))
    try:
        cron.Show("nobody")
    except varlink.VarlinkError as error:
        print(error.error())
"#;

#[test]
fn a_client_of_another_project_lists_runs_pauses_and_follows_events() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    // Where alice can read it, wherever this checkout is.
    let installed = needs().join("varlink/lib");
    world.run(&format!("cp -r {}/python3*/site-packages/varlink /run/varlink", installed.display())).ok();
    fs::write("/run/client.py", CLIENT).unwrap();
    let table = "CRON_TZ=UTC\nCRON_NAME=say\n0 0 1 1 * exit 3\nCRON_NAME=long\n0 0 1 1 * echo one; sleep 1; echo two\n";
    world.crontab("alice", table).ok();
    let daemon = world.start_daemon(&[]);
    let made = || fs::exists("/run/cronwheel/io.cronwheel.Cron").unwrap().then_some(());
    Deadline::seconds(20).wait_for("the control socket", made);
    let shown = world.run_as("alice", "PYTHONPATH=/run /usr/bin/python3 /run/client.py").ok();
    let expected = [
        "org.varlink.service,io.cronwheel.Cron",
        "2",
        "long=idle,say=idle",
        "At 00:00 on 1 January",
        "it runs next",
        "3 2",
        "say allow 2 12",
        "failed 3",
        "start end",
        "alice:say",
        "paused",
        "by hand",
        "alice:say",
        "one",
        "two",
        "",
        "io.cronwheel.Cron.NoSuchJob",
    ];
    assert_eq!(shown.lines().collect::<Vec<_>>(), expected);
    assert!(daemon.stop().success());
}
