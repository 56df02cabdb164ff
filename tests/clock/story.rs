//! A story: a table, a zone and what happens to the machine, lived through by the built daemon under the fake clock and told
//! by `cronctl simulate`.

use crate::common::{Daemon, Deadline, Implementation, World};
use crate::fake::{Clock, VARIABLES};
use cronwheel::schedule::Timestamp;
use nix::sys::signal::Signal;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

/// The crontab that each story writes.
const TABLE: &str = "/etc/cron.d/story";
/// Every start: the job's name and the second that `date` showed it.
const LEDGER: &str = "/run/ledger";
const TOLD: &str = "/run/told";

/// A daemon that has not reacted after so many seconds has not.
const TIMEOUT: u64 = 30;

/// What happens at a moment of true time.
#[derive(Clone, Copy, Debug)]
pub enum Change {
    /// The clock is set by so many seconds.
    Set(i64),
    /// The machine sleeps for so many seconds: its monotonic clock, by which true time is told here, stands still.
    Sleep(i64),
    /// The daemon is sent that signal and started again so many seconds later; meanwhile the clock is set by so many.
    Restart(Signal, i64, i64),
}

/// A story to be lived through. Times are RFC 3339 and true.
#[derive(Debug)]
pub struct Story<'a> {
    pub zone: &'a str,
    /// Lines of a system table; the command `/run/told NAME` is to be written `NAME`.
    pub lines: &'a [&'a str],
    pub from: &'a str,
    pub until: &'a str,
    pub changes: &'a [(&'a str, Change)],
}

/// A start: `HH:MM name`, the minute being the one of UTC that the machine's clock showed.
pub type Starts = Vec<String>;

/// The private machine under a fake clock.
#[derive(Debug)]
pub struct Machine {
    pub world: World,
    pub clock: Clock,
    pub daemon: Daemon,
}

pub fn time(text: &str) -> i64 {
    Timestamp::parse_rfc3339(text).expect("an RFC 3339 time").0
}

/// Starts a daemon under the fake clock.
pub fn start(world: &World) -> Daemon {
    world.start_daemon_with(&[], &VARIABLES)
}

/// A table of `lines`, its jobs under the fake clock and telling of themselves.
pub fn table(lines: &[&str]) -> String {
    let settings = VARIABLES.map(|(name, value)| format!("{name}={value}\n")).concat();
    let line = |line: &&str| match line.rsplit_once(' ') {
        Some((schedule, name)) => format!("{schedule} root {TOLD} {name}\n"),
        None => format!("{line}\n"),
    };
    settings + &lines.iter().map(line).collect::<String>()
}

/// Chooses the system's zone, as timedatectl does: by a new link that takes the old one's place.
pub fn choose_zone(name: &str) {
    symlink(format!("/usr/share/zoneinfo/{name}"), "/etc/localtime.new").expect("a link");
    fs::rename("/etc/localtime.new", "/etc/localtime").expect("/etc/localtime");
}

impl Machine {
    /// A machine with one system table and a daemon that was started at `from`.
    pub fn boot(world: World, zone: &str, lines: &[&str], from: &str) -> Machine {
        assert_eq!(world.implementation, Implementation::OursDebian);
        choose_zone(zone);
        // Random delays are drawn for a machine: for the same one everywhere.
        fs::write("/etc/machine-id", "0123456789abcdef0123456789abcdef\n").expect("/etc/machine-id");
        fs::write(TOLD, format!("#!/bin/sh\necho \"$(date -u +%H:%M) $1\" >> {LEDGER}\n")).expect(TOLD);
        fs::set_permissions(TOLD, fs::Permissions::from_mode(0o755)).expect(TOLD);
        fs::write(LEDGER, "").expect(LEDGER);
        world.drop_in("story", &table(lines));
        let clock = Clock::new(time(from));
        let daemon = start(&world);
        let machine = Machine { world, clock, daemon };
        machine.wait_until_idle();
        machine
    }

    /// Waits until everything that the daemon has started has ended and it has nothing to do.
    pub fn wait_until_idle(&self) {
        let states = || -> Vec<String> {
            self.world
                .log
                .lines()
                .into_iter()
                .filter(|line| line.contains(") STATE (") && line.contains(" table"))
                .collect()
        };
        let mut known = states().len();
        Deadline::seconds(TIMEOUT).wait_for("all jobs to end", || {
            self.daemon.signal(Signal::SIGUSR1);
            let told = Deadline::seconds(TIMEOUT)
                .wait_for("the daemon's state", || Some(states()).filter(|states| states.len() > known));
            known = told.len();
            told.last().filter(|state| state.contains(", 0 started and not ended")).map(|_| ())
        });
    }

    /// Waits until the daemon has armed its timer anew after `done`, and for what it starts by then.
    pub fn reacts(&self, done: impl FnOnce()) {
        let before = self.clock.times_armed();
        done();
        Deadline::seconds(TIMEOUT)
            .wait_for("the daemon to arm its timer", || (self.clock.times_armed() > before).then_some(()));
        self.wait_until_idle();
    }

    /// Lets time pass until the clock shows `shown`, the daemon being woken whenever it wants to.
    pub fn run_to(&self, shown: i64) {
        while let Some(due) = self.clock.armed().filter(|due| *due <= shown) {
            self.clock.pass_to(due);
            self.reacts(|| self.clock.expire_timer());
        }
        self.clock.pass_to(shown);
    }

    /// What was started, in order of time.
    pub fn ledger(&self) -> Starts {
        fs::read_to_string(LEDGER).expect(LEDGER).lines().map(str::to_owned).collect()
    }

    fn suffer(&mut self, change: Change) {
        match change {
            Change::Set(by) | Change::Sleep(by) => self.reacts(|| self.clock.set(by)),
            Change::Restart(signal, seconds, set) => {
                let back_at = self.clock_after(seconds);
                self.daemon.signal(signal);
                self.daemon.end(Deadline::seconds(TIMEOUT));
                self.clock.pass_to(back_at);
                self.clock.set_silently(set);
                self.daemon = start(&self.world);
                self.wait_until_idle();
            }
        }
    }

    /// What the clock will show after so many seconds that begin with the one it shows.
    fn clock_after(&self, seconds: i64) -> i64 {
        self.clock.shows() + seconds
    }
}

impl Story<'_> {
    /// Has the daemon live through it. What it starts must be what `cronctl simulate` says; that is returned.
    pub fn live(&self, world: World) -> Starts {
        let mut machine = Machine::boot(world, self.zone, self.lines, self.from);
        for (at, change) in self.changes {
            machine.run_to(time(at) + machine.clock.set_by());
            machine.suffer(*change);
        }
        machine.run_to(time(self.until) + machine.clock.set_by());
        let (mut found, mut simulated) = (machine.ledger(), self.simulate(&machine.world));
        // Jobs of one moment write their names as they come to it.
        in_order(&mut found);
        in_order(&mut simulated);
        assert_eq!(found, simulated, "what the daemon did, and what cronctl simulate says");
        // The machine has no user for the history.
        let is_warning = |line: &String| line.contains("WARNING") && !line.contains("no history is kept");
        assert_eq!(machine.world.log.lines().into_iter().filter(is_warning).collect::<Vec<_>>(), [""; 0]);
        found
    }

    fn simulate(&self, world: &World) -> Starts {
        let mut line = format!(
            "cronctl simulate --json --system --file {TABLE} --tz {} --from {} --until {}",
            self.zone, self.from, self.until
        );
        for (at, change) in self.changes {
            match change {
                Change::Set(by) | Change::Sleep(by) => line += &format!(" --step {at}={by:+}s"),
                Change::Restart(_, seconds, set) => {
                    let back = Timestamp(time(at) + seconds);
                    line += &format!(" --down {at}..{back}");
                    if *set != 0 {
                        line += &format!(" --step {back}={set:+}s");
                    }
                }
            }
        }
        let told = world.run(&line).ok();
        told.lines()
            .map(|line| {
                let start: serde_json::Value = serde_json::from_str(line).expect("JSON");
                let word = |name: &str| start[name].as_str().expect("a text").to_owned();
                let shown = Timestamp(time(&word("shown"))).to_string();
                let name = word("command").rsplit(' ').next().expect("a name").to_owned();
                format!("{} {name}", &shown[11..16])
            })
            .collect()
    }
}

/// Sorts names within runs of the same minute.
fn in_order(starts: &mut Starts) {
    let minute = |start: &String| start[..5].to_owned();
    for moment in starts.chunk_by_mut(|one, next| minute(one) == minute(next)) {
        moment.sort();
    }
}

/// When the jobs of that name were started.
pub fn of(starts: &Starts, name: &str) -> Vec<String> {
    starts.iter().filter(|start| &start[6..] == name).map(|start| start[..5].to_owned()).collect()
}

/// The minutes from one `HH:MM` to another, both included.
pub fn minutes(from: &str, to: &str) -> Vec<String> {
    let number = |text: &str| -> u32 {
        let (hour, minute) = text.split_once(':').expect("HH:MM");
        hour.parse::<u32>().expect("an hour") * 60 + minute.parse::<u32>().expect("a minute")
    };
    let (from, to) = (number(from), number(to));
    let to = if to < from { to + 24 * 60 } else { to };
    (from..=to).map(|minute| format!("{:02}:{:02}", minute / 60 % 24, minute % 60)).collect()
}
