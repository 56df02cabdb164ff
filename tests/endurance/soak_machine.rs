//! The tables of the soak, and the files that its jobs and its mailer write.

use crate::common::World;
use std::fmt::Write as _;
use std::fs;
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};

/// How many tables there are, half of them in /etc/cron.d and half of them users' crontabs.
pub const TABLES: usize = 1000;
/// How many jobs of each table are due in every fifth minute.
const PEAK_JOBS: usize = 10;
/// Each job appends a line to it: run, job, slot, trigger, attempt.
pub const LEDGER: &str = "/soak/ledger";
/// The runs whose mails the mailer took, and those whose mails it refused.
pub const MAILS: [&str; 2] = ["/soak/mails", "/soak/refused-mails"];
/// A FIFO: jobs wait until somebody opens it for writing.
const GATE: &str = "/soak/gate";
const MAILER_MODE: &str = "/soak/mailer-mode";
/// The daemon's record of what was started.
const RECORD: &str = "/run/cronwheel.completed";
/// The mailer of the daemon.
pub const MAILER: &str = "/soak/mailer";

const MAILER_SCRIPT: &str = "#!/bin/sh
read -r mode </soak/mailer-mode
run=none
while read -r line; do
    case $line in 'mail of '*) run=${line#mail of } ;; esac
done
case $mode in
refuse) echo \"$run\" >>/soak/refused-mails; exit 75 ;;
slow) sleep 1 ;;
esac
echo \"$run\" >>/soak/mails
";

/// The head of each table. All settings stand here, so that an entry sees the same ones in the same order wherever it stands: else a start that
/// waits for its turn while the order changes is skipped, as its entry was changed.
const HEAD: &str = "SHELL=/bin/sh\nCRON_RETRY=default\nCRON_TIMEOUT=default\nCRON_OVERLAP=default\nCRON_MAIL=default\n";

const NOTE: &str = "echo $CRON_RUN_ID $CRON_JOB $CRON_SCHEDULED_AT $CRON_TRIGGER $CRON_ATTEMPT >>/soak/ledger";

/// What is expected of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Runs and ends with status 0.
    Plain,
    /// The same, and a mail is sent for each run.
    Mailing,
    /// The first attempt fails and the second one does not.
    Retried,
    /// Runs into its time limit.
    TimedOut,
    /// Runs until the gate is opened, for longer than its interval: each second slot or so is skipped.
    Overlapping,
    /// An entry with fixed minutes and hours, for which the clock going back holds.
    Fixed,
    /// An entry that comes and goes with edits of its table.
    Toggled,
}

/// An entry of a table.
#[derive(Clone, Debug)]
pub struct Job {
    /// `USER:NAME`.
    pub id: String,
    /// The table's number.
    pub table: usize,
    /// What is expected of it.
    pub kind: Kind,
    /// It is due in the minutes from this one on ...
    first: i64,
    /// ... in steps of so many.
    step: i64,
}

impl Job {
    /// Whether it is due in that minute since 1970 (UTC).
    pub fn is_due(&self, minute: i64) -> bool {
        let of_hour = minute.rem_euclid(60);
        of_hour >= self.first && (of_hour - self.first) % self.step == 0
    }

    fn entry(&self, table: usize) -> String {
        let (first, step) = (self.first, self.step);
        let minutes = match (first, step) {
            (0, 1) => "*".to_owned(),
            (0, step) if self.kind != Kind::Fixed => format!("*/{step}"),
            _ => format!("{first}-59/{step}"),
        };
        let hours = if self.kind == Kind::Fixed { "0-23" } else { "*" };
        let (setting, before, after) = match self.kind {
            Kind::Plain | Kind::Fixed | Kind::Toggled => ("", "", ""),
            Kind::Mailing => ("", "echo mail of $CRON_RUN_ID; ", ""),
            Kind::Retried => ("CRON_RETRY=1,2s", "", "; test $CRON_ATTEMPT = 2"),
            Kind::TimedOut => ("CRON_TIMEOUT=2s", "", "; sleep 30"),
            Kind::Overlapping => ("CRON_OVERLAP=skip", "", "; read -r nothing </soak/gate; true"),
        };
        let user = if is_system(table) { format!("{} ", user(table)) } else { String::new() };
        let (_, name) = self.id.split_once(':').unwrap();
        let entry = format!("CRON_NAME={name}\n{minutes} {hours} * * * {user}{before}{NOTE}{after}\n");
        match setting.split_once('=') {
            Some((variable, _)) => {
                format!("{setting}\nCRON_MAIL=never\n{entry}{variable}=default\nCRON_MAIL=default\n")
            }
            None => entry,
        }
    }
}

fn is_system(table: usize) -> bool {
    table < TABLES / 2
}

/// The user whose jobs a table has.
pub fn user(table: usize) -> String {
    format!("soak{:03}", table % (TABLES / 2))
}

/// Whether the table has an entry that comes and goes.
pub fn has_toggled(table: usize) -> bool {
    matches!(table % (TABLES / 2), 100..200)
}

/// Whether the whole table is removed and made again.
pub fn is_removable(table: usize) -> bool {
    matches!(table % (TABLES / 2), 400..410)
}

/// The jobs of a table.
pub fn jobs(table: usize) -> Vec<Job> {
    let letter = if is_system(table) { 'c' } else { 'u' };
    let mut jobs = Vec::new();
    let mut add = |name: &str, kind: Kind, first: usize, step: i64| {
        let id = format!("{}:{letter}-{name}", user(table));
        jobs.push(Job { id, table, kind, first: i64::try_from(first).unwrap(), step });
    };
    for nth in 0..PEAK_JOBS {
        let kind = if nth == 0 && table < 100 { Kind::Mailing } else { Kind::Plain };
        add(&format!("p{nth}"), kind, 0, 5);
    }
    add("a", if table < 200 { Kind::Mailing } else { Kind::Plain }, table % 10, 10);
    if table.is_multiple_of(10) {
        add("f", Kind::Fixed, table / 10 % 20, 20);
    }
    match table {
        0..20 => add("r", Kind::Retried, 0, 1),
        20..25 => add("t", Kind::TimedOut, 0, 2),
        25..30 => add("s", Kind::Overlapping, 0, 1),
        _ => {}
    }
    if has_toggled(table) {
        add("v", Kind::Toggled, 0, 1);
    }
    jobs
}

/// Writes a table. Its `edition` chooses the order of the entries and the length of a comment, which mean nothing.
pub fn write_table(world: &World, table: usize, edition: usize, with_toggled: bool) {
    let mut jobs = jobs(table);
    jobs.retain(|job| job.kind != Kind::Toggled || with_toggled);
    let length = jobs.len();
    jobs.rotate_left(edition % length);
    let mut text = HEAD.to_owned() + &"# Nothing.\n".repeat(edition % 7);
    text.extend(jobs.iter().map(|job| job.entry(table)));
    if is_system(table) {
        // Under a name that the daemon ignores until the table is complete.
        let new = "/etc/cron.d/new.table";
        fs::write(new, text).unwrap();
        fs::rename(new, place(table)).unwrap();
    } else {
        world.run_with_input("root", &format!("crontab -u {} -", user(table)), text.as_bytes()).ok();
    }
}

/// Removes a table.
pub fn remove_table(world: &World, table: usize) {
    if is_system(table) {
        fs::remove_file(place(table)).unwrap();
    } else {
        world.run(&format!("crontab -u {} -r", user(table))).ok();
    }
}

fn place(table: usize) -> String {
    format!("/etc/cron.d/soak{table:03}")
}

/// How the mailer behaves from now on: `take`, `refuse` or `slow`.
pub fn set_mailer_mode(mode: &str) {
    let new = format!("{MAILER_MODE}.new");
    fs::write(&new, format!("{mode}\n")).unwrap();
    fs::rename(new, MAILER_MODE).unwrap();
}

/// The second up to which the daemon has recorded that everything due is begun or saved.
pub fn recorded() -> Option<i64> {
    let mut second = [0; 8];
    fs::File::open(RECORD).ok()?.read_exact(&mut second).ok()?;
    Some(i64::from_le_bytes(second))
}

/// Lets the jobs go on that wait at the gate, if any do.
pub fn open_gate() {
    let opened = fs::OpenOptions::new().write(true).custom_flags(libc::O_NONBLOCK).open(GATE);
    // Without a reader it cannot be opened (fifo(7)).
    if let Err(why) = opened {
        assert_eq!(why.raw_os_error(), Some(libc::ENXIO), "{GATE}");
    }
}

/// Users, bounded file systems, the mailer, and all tables.
pub fn set_up(world: &World) {
    for (place, size) in [("/soak", "512m"), ("/var/lib/cronwheel/history", "1536m")] {
        world.run(&format!("mkdir -p {place} && mount -t tmpfs -o size={size},mode=755 tmpfs {place}")).ok();
    }
    world.run("mount -o remount,size=1g /run").ok();
    world.run("useradd --system --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin _cronwheel").ok();
    world.run("chown _cronwheel /var/lib/cronwheel/history && chmod 700 /var/lib/cronwheel/history").ok();
    let (mut passwd, mut shadow, mut group) = (String::new(), String::new(), String::new());
    for table in 0..TABLES / 2 {
        let (name, id) = (user(table), 20_000 + table);
        writeln!(passwd, "{name}:x:{id}:{id}::/tmp:/bin/sh").unwrap();
        writeln!(shadow, "{name}:*:19000:0:99999:7:::").unwrap();
        writeln!(group, "{name}:x:{id}:").unwrap();
    }
    for (file, lines) in [("/etc/passwd", passwd), ("/etc/shadow", shadow), ("/etc/group", group)] {
        fs::OpenOptions::new().append(true).open(file).unwrap().write_all(lines.as_bytes()).unwrap();
    }
    for file in [LEDGER, MAILS[0], MAILS[1]] {
        fs::write(file, "").unwrap();
        fs::set_permissions(file, fs::Permissions::from_mode(0o666)).unwrap();
    }
    nix::unistd::mkfifo(GATE, nix::sys::stat::Mode::from_bits_truncate(0o644)).unwrap();
    fs::write(MAILER, MAILER_SCRIPT).unwrap();
    fs::set_permissions(MAILER, fs::Permissions::from_mode(0o755)).unwrap();
    set_mailer_mode("take");
    for table in 0..TABLES {
        write_table(world, table, table, true);
    }
}
