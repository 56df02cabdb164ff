//! Tables that ask for memory: the daemon's use of it stays bounded.

use crate::common::{Deadline, Implementation, World};
use crate::{CANARY, wait_for_canary, world};
use std::fs;
use std::process::{Child, Stdio};

/// A job that tells each second that it runs, in a file of its own.
fn job(system: bool, name: &str) -> String {
    format!("@every_second {}echo >>/run/lines/{name}\n", if system { "root " } else { "" })
}

fn prepare(world: &World) {
    world.drop_in("canary", CANARY);
    world.run("mkdir -m 1777 /run/lines").ok();
}

fn wait_for_job(name: &str) {
    let path = format!("/run/lines/{name}");
    let count = || fs::read_to_string(&path).unwrap_or_default().lines().count();
    let before = count();
    Deadline::seconds(20).wait_for(name, || (count() > before).then_some(()));
}

/// A table in place, as one that was there before the daemon: `make` writes it to standard output.
fn place(world: &World, path: &str, make: &str) {
    let (directory, name) = path.rsplit_once('/').unwrap();
    let owner = if directory == world.implementation.spool() { name } else { "root" };
    let line = format!(
        "cd {directory} && {{ {make}; }} >tmp.new && chown {owner} tmp.new && chmod 600 tmp.new && mv tmp.new {name}"
    );
    world.run(&line).ok();
}

/// Shell commands that write a comment of so many bytes, without a newline.
fn comment(bytes: u64) -> String {
    format!("printf '#'; head -c {} /dev/zero | tr '\\0' x", bytes - 1)
}

/// The daemon with that much address space, in KiB, and ended with this value.
struct Bounded(Child);

impl Bounded {
    fn start(world: &World, kib: u64, arguments: &str) -> Bounded {
        let (daemon, foreground) = (world.implementation.daemon(), world.implementation.foreground());
        let line = format!("ulimit -S -v {kib} && exec {daemon} {foreground} {arguments}");
        let mut command = world.command_as("root", &line);
        Bounded(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
    }

    /// A number of its /proc/PID/status, in KiB.
    fn memory(&self, what: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status.lines().find(|line| line.starts_with(what)).unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Lets the peak begin with what is used now.
    fn reset_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.0.id()), "5").unwrap();
    }

    fn assert_alive(&mut self) {
        assert!(matches!(self.0.try_wait(), Ok(None)), "the daemon has ended");
    }
}

impl Drop for Bounded {
    fn drop(&mut self) {
        // Already gone is as good.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

fn a_comment_of_250_megabytes_costs_no_memory(world: &World) {
    prepare(world);
    let spool = world.implementation.spool();
    // A hole takes no room on this machine's disk, which is its memory.
    let huge = |line: &str| format!("echo '{line}'; printf '#'; truncate -s 250M /dev/stdout");
    place(world, &format!("{spool}/alice"), &huge("@every_second true"));
    place(world, "/etc/cron.d/huge", &huge("@every_second root true"));
    // This one is not too large for a table.
    let job = job(true, "long");
    place(world, "/etc/cron.d/long", &format!("{}; echo; echo '{}'", comment(60 << 20), job.trim_end()));
    // Again at every restart.
    for _ in 0..2 {
        let mut daemon = Bounded::start(world, 200_000, "");
        wait_for_canary();
        wait_for_job("long");
        let peak = daemon.memory("VmHWM");
        assert!(peak < 24 << 10, "{peak} KiB at most");
        daemon.assert_alive();
        daemon.0.kill().unwrap();
        daemon.0.wait().unwrap();
    }
    for (path, most) in [(format!("{spool}/alice"), 16 << 20), ("/etc/cron.d/huge".to_owned(), 64 << 20)] {
        let told =
            format!("{path}:1:1: error: expected a table of at most {most} bytes, found more: nothing of it runs");
        world.log.wait_for(&told, Deadline::seconds(20));
    }
}

#[test]
fn a_comment_of_250_megabytes_costs_no_memory_in_the_debian_profile() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    a_comment_of_250_megabytes_costs_no_memory(&world);
}

#[test]
fn a_comment_of_250_megabytes_costs_no_memory_in_the_cronie_profile() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    a_comment_of_250_megabytes_costs_no_memory(&world);
}

#[test]
fn a_table_that_finds_no_memory_is_left_out_until_there_is_some() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    // Two million entries, which never run.
    place(&world, "/etc/cron.d/many", "yes '0 0 30 2 * root true' | head -n 2000000");
    let mut daemon = Bounded::start(&world, 100_000, "");
    wait_for_canary();
    world.log.wait_for("CAN'T READ (/etc/cron.d/many): out of memory", Deadline::seconds(60));
    daemon.assert_alive();
    // The next scan finds the memory that it needs.
    world.run(&format!("prlimit --pid {} --as=unlimited", daemon.0.id())).ok();
    world.run(&format!("kill -HUP {}", daemon.0.id())).ok();
    Deadline::seconds(120).wait_for("the table", || {
        world.run(&format!("kill -USR1 {}", daemon.0.id())).ok();
        world.log.lines().iter().any(|line| line.contains("2000001 entries")).then_some(())
    });
    wait_for_canary();
    daemon.assert_alive();
}

/// Tables at their limits and one byte beyond them, when they are installed, when they are checked, and when they are loaded.
fn limits_are_the_same_everywhere(world: &World, only_check: &str) {
    prepare(world);
    let spool = world.implementation.spool();
    let _daemon = Bounded::start(world, 400_000, "");
    wait_for_canary();
    let user = |make: String| {
        fs::write("/home/alice/make", make).unwrap();
        world.run_as("alice", "sh make >table; crontab table")
    };
    // A table of exactly so many bytes, most of them in a comment.
    let filled = |name: &str, system: bool, bytes: u64| {
        let job = job(system, name);
        format!("printf '%s' '{job}'; {}; echo", comment(bytes - job.len() as u64 - 1))
    };
    user(filled("fits", false, 16 << 20)).ok();
    wait_for_job("fits");
    let refused = user(filled("over", false, (16 << 20) + 1));
    let told = "table:1:1: error: expected a table of at most 16777216 bytes, found more: nothing of it runs\n";
    assert_eq!(refused.code(), 1);
    assert!(refused.stderr.starts_with(told) && refused.stderr.ends_with("can't install.\n"), "{refused:?}");
    let refused = world.run_as("alice", &format!("crontab - <table; echo $?; crontab {only_check} table; echo $?"));
    assert_eq!(refused.stdout, "1\n1\n");
    assert!(refused.stderr.starts_with(&told.replace("table:", "-:")) && refused.stderr.contains(told), "{refused:?}");
    let checked = world.run_as("alice", "cronctl check table");
    assert!(checked.code() == 1 && checked.stderr.starts_with(told), "{checked:?}");
    // Beyond the room for the header of crontab, too.
    place(world, &format!("{spool}/bob"), &filled("never", false, (16 << 20) + (16 << 10) + 1));
    world.log.wait_for(&format!("{spool}/bob:1:1: error: expected a table of at most 16777216"), Deadline::seconds(20));

    place(world, "/etc/cron.d/limit", &filled("system", true, 64 << 20));
    wait_for_job("system");
    place(world, "/etc/cron.d/limit", &filled("system", true, (64 << 20) + 1));
    let told =
        "/etc/cron.d/limit:1:1: error: expected a table of at most 67108864 bytes, found more: nothing of it runs";
    world.log.wait_for(told, Deadline::seconds(20));
    let checked = world.run(&format!("{} --check 2>&1", world.implementation.daemon()));
    assert!(checked.stdout.contains(told), "{checked:?}");
    world.run("rm /etc/cron.d/limit").ok();

    // One setting: NAME=VALUE of 131,071 bytes.
    let setting = |bytes: usize| format!("V={}\n{}", "v".repeat(bytes - 2), job(false, "setting"));
    world.crontab("alice", &setting(131_071)).ok();
    wait_for_job("setting");
    let refused = world.crontab("alice", &setting(131_072));
    let message = ":1:1: error: expected NAME=VALUE of at most 131071 bytes, found 131072";
    assert!(refused.code() == 1 && refused.stderr.contains(&format!("-{message}")), "{refused:?}");
    fs::write("/root/setting", setting(131_072)).unwrap();
    place(world, &format!("{spool}/bob"), "cat /root/setting");
    world.log.wait_for(&format!("{spool}/bob{message}"), Deadline::seconds(20));
    wait_for_job("setting");

    // The environment of an entry: 1 MiB.
    let environment = |rest: usize| {
        let settings: String = (0..15).map(|n| format!("V{n:02}={}\n", "v".repeat(65_536 - 5))).collect();
        let last = format!("W={}\n", "w".repeat(rest));
        format!("{}{settings}{last}{}", job(false, "before"), job(false, "behind"))
    };
    world.crontab("alice", &environment(65_536 - 3)).ok();
    wait_for_job("before");
    let refused = world.crontab("alice", &environment(65_536 - 2));
    let message = ":18:1: error: expected an environment of at most 1048576 bytes for this entry, found more";
    assert!(refused.code() == 1 && refused.stderr.contains(&format!("-{message}")), "{refused:?}");
    fs::write("/root/environment", environment(65_536 - 2)).unwrap();
    world.crontab("alice", "").ok();
    fs::remove_file("/run/lines/before").unwrap();
    place(world, &format!("{spool}/bob"), "cat /root/environment");
    world.log.wait_for(&format!("{spool}/bob{message}"), Deadline::seconds(20));
    wait_for_job("before");
    wait_for_canary();
}

#[test]
fn limits_are_the_same_everywhere_in_the_debian_profile() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    limits_are_the_same_everywhere(&world, "-n");
}

#[test]
fn limits_are_the_same_everywhere_in_the_cronie_profile() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    limits_are_the_same_everywhere(&world, "-T");
}

#[test]
fn whatever_a_user_writes_the_peak_stays_close_to_what_is_kept() {
    let Some(world) = world!(Implementation::OursCronie) else { return };
    prepare(&world);
    let daemon = Bounded::start(&world, 1 << 20, "");
    wait_for_canary();
    let never = "0 0 30 2 *";
    let tables = [
        // Entries as long as they may be, all different.
        (0..120).map(|n| format!("{never} {n:03}{}\n", "x".repeat(131_068))).collect::<String>(),
        // As many entries as there may be, each with another schedule.
        (0..9_999).map(|n| format!("{} {} {} 2 * {}\n", n % 60, n / 60 % 24, 1 + n / 1440, "y".repeat(1000))).collect(),
        // One setting, replaced over and over.
        (0..120).map(|n| format!("V={}\n{never} job {n}\n", "v".repeat(131_000))).collect(),
        // Nothing but faults.
        "bad\n".repeat(4_000_000),
        "A='\n".repeat(4_000_000),
        // Warnings by the million.
        (0..255).map(|_| format!("{} * * * * x\n", ["*/60"; 13_000].join(","))).collect(),
        // A line that does not end.
        "x".repeat(16_000_000),
        "\n".repeat(16_000_000),
    ];
    for (number, table) in tables.into_iter().enumerate() {
        assert!(table.len() <= 16 << 20, "{number}: {} bytes", table.len());
        fs::write("/root/table", table).unwrap();
        daemon.reset_peak();
        let before = daemon.memory("VmRSS");
        let spool = world.implementation.spool();
        place(&world, &format!("{spool}/alice"), "cat /root/table");
        let reloads = || world.log.lines().iter().filter(|line| line.contains("(alice) RELOAD")).count();
        if number > 0 {
            Deadline::seconds(30).wait_for("the reload", || (reloads() >= number).then_some(()));
        }
        wait_for_canary();
        wait_for_canary();
        let (peak, after) = (daemon.memory("VmHWM"), daemon.memory("VmRSS"));
        let kept = before.max(after);
        assert!(peak < kept + (64 << 10), "table {number}: {before} KiB before, {after} after, {peak} at most");
    }
    let said = world.log.lines().iter().filter(|line| line.contains("alice:")).count();
    assert!(said < 8 * 50, "{said} lines of the log are about alice's tables");
}

#[test]
fn a_system_table_of_as_many_entries_as_fit_takes_at_its_peak_little_more_than_is_kept() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    for (entries, make) in [
        (3_350_000, "yes '0 0 1 1 * root true' | head -n 3350000"),
        (2_500_000, "seq -f '0 0 1 1 * root %.0f' 1 2500000"),
    ] {
        place(&world, "/etc/cron.d/many", make);
        let daemon = Bounded::start(&world, 2 << 20, "");
        wait_for_canary();
        // With the canary's.
        let loaded = format!("{} entries", entries + 1);
        Deadline::seconds(60).wait_for("the table", || {
            world.run(&format!("kill -USR1 {}", daemon.0.id())).ok();
            world.log.lines().iter().any(|line| line.contains(&loaded)).then_some(())
        });
        let (peak, kept) = (daemon.memory("VmHWM"), daemon.memory("VmRSS"));
        assert!(peak < kept + (64 << 10), "{make}: {kept} KiB kept, {peak} at most");
    }
}

#[test]
fn a_text_of_any_length_is_taken_or_refused_with_few_words_and_ends_nothing() {
    let Some(world) = world!(Implementation::OursDebian) else { return };
    prepare(&world);
    let mut daemon = Bounded::start(&world, 1 << 20, "");
    wait_for_canary();
    let kinds = ["name", "value", "MAILTO", "SHELL", "HOME", "CRON_TZ", "field", "user", "command", "input", "comment"];
    for length in [1, 255, 256, 998, 999, 4096, 65_536, 131_071, 131_072, 1 << 20, 1 << 24] {
        let text = "7".repeat(length);
        for kind in kinds {
            let table = |user: &str| match kind {
                "name" => format!("N{text}=1\n@daily {user} true\n"),
                "field" => format!("{text} * * * * {user} true\n"),
                "user" => format!("@daily {user}{text} true\n"),
                "command" => format!("@daily {user} {text}\n"),
                "input" => format!("@daily {user} cat%{text}\n"),
                "comment" => format!("#{text}\n@daily {user} true\n"),
                setting => format!("{}={text}\n@daily {user} true\n", setting.replace("value", "V")),
            };
            let shown = world.run_with_input("alice", "crontab -", table("").as_bytes());
            let words = shown.stderr.len() + shown.stdout.len();
            assert!(shown.code() <= 1 && words < 2000, "{kind} of {length}: {} and {words} bytes", shown.status);
            assert!(shown.code() == 0 || words > 0, "{kind} of {length}: refused without a word");
            fs::write("/root/table", table("root")).unwrap();
            place(&world, &format!("/etc/cron.d/{kind}"), "cat /root/table");
        }
        daemon.assert_alive();
    }
    wait_for_canary();
    let longest = world.log.lines().iter().map(String::len).max().unwrap();
    assert!(longest < 4000, "a log line of {longest} bytes");
    assert!(!world.log.lines().iter().any(|line| line.contains("panicked")));
    // Names of users of any length, as a directory service may have them.
    let names: Vec<String> = [1, 8, 31, 32, 33, 64, 128, 254, 255, 256].map(|length| "u".repeat(length)).into();
    let accounts: String = names.iter().map(|name| format!("{name}:x:1001:1001::/tmp:/bin/sh\n")).collect();
    let passwd = fs::read_to_string("/etc/passwd").unwrap() + &accounts;
    fs::write("/etc/passwd", passwd).unwrap();
    // PAM lets nobody in who is not in this file.
    let shadow: String = names.iter().map(|name| format!("{name}:*:19000:0:99999:7:::\n")).collect();
    fs::write("/etc/shadow", fs::read_to_string("/etc/shadow").unwrap() + &shadow).unwrap();
    let lines: String =
        names.iter().map(|name| format!("@every_second {name} echo >>/tmp/ran-{}\n", name.len())).collect();
    world.drop_in("names", &lines);
    for name in &names {
        let length = name.len();
        // 255 bytes are the longest name of a file, and PAM takes no longer one either.
        if length <= 255 {
            world.wait_for_file(&format!("/tmp/ran-{length}"), Deadline::seconds(20));
        }
        let shown = world.run_with_input("root", &format!("crontab -u {name} -"), b"@daily true\n");
        assert_eq!(shown.code(), i32::from(length > 255), "{length}: {shown:?}");
    }
    wait_for_canary();
    daemon.assert_alive();
}
