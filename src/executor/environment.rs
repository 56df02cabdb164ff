//! Builds the environment of a job from an empty one, in the order of the reference implementations (Debian: entry.c; cronie: entry.c and
//! env.c).

use crate::crontab::is_hidden_from_jobs;
use crate::profile::Profile;
use crate::schedule::Timestamp;
use crate::scheduler::{Environment, RunRequest};
use crate::users::User;
use indexmap::IndexMap;
use std::ffi::CString;

/// Environment variables in order, each name once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Variables(IndexMap<Vec<u8>, Vec<u8>>);

/// Variables that cronie's daemon passes on to its jobs if they are set (env.c, env_set_from_environ).
const HANDED_ON: [&str; 17] = [
    "LANG",
    "LC_CTYPE",
    "LC_NUMERIC",
    "LC_TIME",
    "LC_COLLATE",
    "LC_MONETARY",
    "LC_MESSAGES",
    "LC_PAPER",
    "LC_NAME",
    "LC_ADDRESS",
    "LC_TELEPHONE",
    "LC_MEASUREMENT",
    "LC_IDENTIFICATION",
    "LC_ALL",
    "LANGUAGE",
    "RANDOM_DELAY",
    "MAILFROM",
];

/// The shell of a job whose crontab sets none.
pub(super) const SHELL: &[u8] = b"/bin/sh";

impl Variables {
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name.as_bytes()).map(Vec::as_slice)
    }

    /// Sets a variable. An existing one keeps its position; a new one is appended.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8]) {
        self.0.insert(name.to_vec(), value.to_vec());
    }

    pub(super) fn set_unless_there(&mut self, name: &str, value: &[u8]) {
        if self.get(name).is_none() {
            self.set(name.as_bytes(), value);
        }
    }

    /// Returns these variables with those of `upper` set over them.
    pub(super) fn overlaid(mut self, upper: &Variables) -> Variables {
        for (name, value) in &upper.0 {
            self.set(name, value);
        }
        self
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// Encodes the variables for a message.
    pub(super) fn packed(&self) -> Environment {
        Environment::of(self.iter())
    }

    /// Decodes the variables of a message.
    pub(super) fn unpacked(packed: &Environment) -> Variables {
        Variables(packed.iter().map(|(name, value)| (name.to_vec(), value.to_vec())).collect())
    }

    /// The `NAME=value` strings for exec. A NUL byte would end the value there; no line of a crontab can contain one.
    pub(super) fn strings(&self) -> Vec<CString> {
        self.0.iter().map(|(name, value)| c_string(&[name, b"=", value])).collect()
    }

    /// Parses `NAME=value` strings. Strings without `=` are left out.
    pub(super) fn from_strings<'a>(strings: impl Iterator<Item = &'a [u8]>) -> Variables {
        let mut variables = Variables::default();
        for string in strings {
            if let Some(at) = string.iter().position(|&byte| byte == b'=') {
                let (name, value) = string.split_at(at);
                variables.set(name, value.get(1..).unwrap_or(&[]));
            }
        }
        variables
    }
}

/// Concatenates the parts and cuts the result at the first NUL byte.
pub(super) fn c_string(parts: &[&[u8]]) -> CString {
    let mut bytes = parts.concat();
    if let Some(end) = memchr::memchr(0, &bytes) {
        bytes.truncate(end);
    }
    CString::new(bytes).unwrap_or_default()
}

/// The daemon's own environment, read once when the executor starts.
#[derive(Clone, Debug, Default)]
pub(super) struct Inherited {
    all: Variables,
}

impl Inherited {
    /// Reads the environment of this process.
    pub(super) fn own() -> Inherited {
        use std::os::unix::ffi::OsStrExt;
        let mut all = Variables::default();
        for (name, value) in std::env::vars_os() {
            all.set(name.as_bytes(), value.as_bytes());
        }
        Inherited { all }
    }

    /// The daemon's value of a variable, for `$NAME` in cronie's MAILTO.
    pub(super) fn get(&self, name: &str) -> Option<&[u8]> {
        self.all.get(name)
    }

    #[cfg(test)]
    pub(super) fn of(pairs: &[(&str, &str)]) -> Inherited {
        let mut all = Variables::default();
        pairs.iter().for_each(|(name, value)| all.set(name.as_bytes(), value.as_bytes()));
        Inherited { all }
    }
}

/// The environment that cron gives a job: the variables of the crontab, then defaults for those that are missing. X-Cron-Env shows it under
/// Debian, and it is set over the variables of PAM.
pub(super) fn of_cron(
    profile: &Profile,
    user: &User,
    table: &Environment,
    inherited: &Inherited,
    inherit_path: bool,
) -> Variables {
    let mut variables = Variables::default();
    if profile.sets_user {
        for (name, value) in inherited.all.iter().filter(|(name, _)| HANDED_ON.iter().any(|n| n.as_bytes() == *name)) {
            variables.set(name, value);
        }
    }
    for (name, value) in of_table(table) {
        variables.set(name, value);
    }
    let path = inherited.get("PATH").filter(|_| inherit_path).unwrap_or(profile.default_path.as_bytes());
    variables.set_unless_there("SHELL", SHELL);
    variables.set_unless_there("HOME", &user.home);
    variables.set_unless_there("PATH", path);
    variables.set(b"LOGNAME", user.name.as_bytes());
    if profile.sets_user {
        variables.set(b"USER", user.name.as_bytes());
    }
    variables
}

/// The variables of a table that its jobs get.
fn of_table(table: &Environment) -> impl Iterator<Item = (&[u8], &[u8])> {
    table.iter().filter(|(name, _)| !is_hidden_from_jobs(name))
}

/// Adds the variables about the run (`CRON_JOB` and others). Those that its table sets stay as they are.
pub(super) fn add_run_variables(variables: &mut Variables, start: &RunRequest) {
    let (run, attempt) = (start.run.0.to_string(), start.attempt.to_string());
    let scheduled_at = Timestamp(start.scheduled_at).to_string();
    for (name, value) in [
        ("CRON_JOB", start.job.as_str()),
        ("CRON_RUN_ID", &run),
        ("CRON_SCHEDULED_AT", &scheduled_at),
        ("CRON_TRIGGER", start.trigger.as_str()),
        ("CRON_ATTEMPT", &attempt),
    ] {
        set_unless_in_table(variables, &start.variables, name, value.as_bytes());
    }
    if let Some(fence) = start.fleet.and_then(|fleet| fleet.fence) {
        set_unless_in_table(variables, &start.variables, "CRON_FENCE", fence.to_string().as_bytes());
    }
}

/// Sets a variable that says something about a run, unless the table sets it. A value that the daemon itself has inherited, as a job of another
/// daemon, is not about this run and is replaced.
pub(super) fn set_unless_in_table(variables: &mut Variables, table: &Environment, name: &str, value: &[u8]) {
    if table.iter().all(|(set, _)| set != name.as_bytes()) {
        variables.set(name.as_bytes(), value);
    }
}

/// Variables that only hooks get.
const HOOK_VARIABLES: [&str; 9] = [
    "CRON_EVENT",
    "CRON_OUTCOME",
    "CRON_EXIT_CODE",
    "CRON_SIGNAL",
    "CRON_STARTED_AT",
    "CRON_ENDED_AT",
    "CRON_DURATION_S",
    "CRON_FAILURES",
    "CRON_COMMAND",
];

/// Removes variables of hooks that the daemon has inherited: a value that does not apply to this event would stay otherwise.
pub(super) fn remove_hook_variables(variables: &mut Variables, table: &Environment) {
    for name in HOOK_VARIABLES {
        if table.iter().all(|(set, _)| set != name.as_bytes()) {
            variables.0.shift_remove(name.as_bytes());
        }
    }
}

/// The environment of a job of `crond FILE`: the caller's, with the variables of the crontab set over it. SHELL is /bin/sh unless the
/// crontab sets it.
pub(super) fn of_caller(user: &User, table: &Environment, inherited: &Inherited) -> Variables {
    let mut variables = inherited.all.clone();
    variables.set(b"SHELL", SHELL);
    for (name, value) in of_table(table) {
        variables.set(name, value);
    }
    variables.set_unless_there("HOME", &user.home);
    variables.set(b"LOGNAME", user.name.as_bytes());
    variables
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::executor::test_request::request;
    use crate::profile::{CRONIE, DEBIAN};

    fn alice() -> User {
        User { name: "alice".into(), uid: 1000, gid: 1000, home: b"/home/alice".to_vec() }
    }

    fn table(lines: &[&str]) -> Environment {
        Environment::of(Variables::from_strings(lines.iter().map(|line| line.as_bytes())).iter())
    }

    fn shown(variables: &Variables) -> Vec<String> {
        variables.strings().into_iter().map(|s| s.into_string().unwrap()).collect()
    }

    #[test]
    fn a_debian_job_has_four_variables_and_nothing_of_the_daemon() {
        let daemon = Inherited::of(&[("LANG", "C.UTF-8"), ("NOTIFY_SOCKET", "/run/n"), ("PATH", "/daemon")]);
        assert_eq!(
            shown(&of_cron(&DEBIAN, &alice(), &table(&[]), &daemon, false)),
            ["SHELL=/bin/sh", "HOME=/home/alice", "PATH=/usr/bin:/bin", "LOGNAME=alice"]
        );
    }

    #[test]
    fn a_cronie_job_has_user_and_the_daemons_locale_too() {
        let daemon = Inherited::of(&[("TERM", "x"), ("LANG", "C.UTF-8"), ("LC_LOVE", "x"), ("PATH", "/daemon")]);
        let expected = ["LANG=C.UTF-8", "SHELL=/bin/sh", "HOME=/home/alice"];
        let end = ["LOGNAME=alice", "USER=alice"];
        let own_path = of_cron(&CRONIE, &alice(), &table(&[]), &daemon, false);
        assert_eq!(shown(&own_path), [&expected[..], &["PATH=/usr/bin:/bin:/usr/sbin:/sbin"], &end].concat());
        let daemons_path = of_cron(&CRONIE, &alice(), &table(&[]), &daemon, true);
        assert_eq!(shown(&daemons_path), [&expected[..], &["PATH=/daemon"], &end].concat());
    }

    #[test]
    fn the_tables_variables_keep_their_place_and_cannot_change_who_one_is() {
        let lines = ["LOGNAME=root", "PATH=/x", "FOO=a b", "HOME=/tmp", "USER=root"];
        assert_eq!(
            shown(&of_cron(&CRONIE, &alice(), &table(&lines), &Inherited::default(), false)),
            ["LOGNAME=alice", "PATH=/x", "FOO=a b", "HOME=/tmp", "USER=alice", "SHELL=/bin/sh"]
        );
        // Debian sets no USER, so the table's stays.
        let debian = of_cron(&DEBIAN, &alice(), &table(&lines), &Inherited::default(), false);
        assert_eq!(debian.get("USER"), Some(&b"root"[..]));
    }

    #[test]
    fn a_job_gets_the_job_settings_but_not_its_ping_and_its_hooks() {
        let lines =
            ["CRON_NAME=a", "CRON_PING=https://h/secret", "CRON_RETRY=3", "CRON_ON_FAILURE=x", "CRON_ON_LATE=y"];
        let inherited = Inherited::of(&[]);
        for variables in [
            of_cron(&DEBIAN, &alice(), &table(&lines), &inherited, false),
            of_caller(&alice(), &table(&lines), &inherited),
        ] {
            let shown: Vec<String> = shown(&variables).into_iter().filter(|line| line.starts_with("CRON_")).collect();
            assert_eq!(shown, ["CRON_NAME=a", "CRON_RETRY=3"]);
        }
    }

    #[test]
    fn a_run_leaves_the_variables_alone_that_its_table_sets() {
        let table = Environment::of([(b"CRON_JOB".as_slice(), b"mine".as_slice())]);
        let start = RunRequest { variables: table.clone(), ..request(7) };
        let mut variables = of_cron(&DEBIAN, &alice(), &table, &Inherited::default(), false);
        add_run_variables(&mut variables, &start);
        let found = ["CRON_JOB", "CRON_RUN_ID"].map(|name| variables.get(name));
        assert_eq!(found, [Some(b"mine".as_slice()), Some(b"7")]);
    }

    #[test]
    fn a_string_ends_before_its_first_nul() {
        assert_eq!(c_string(&[b"A", b"=", b"b\0c"]).as_c_str(), c"A=b");
    }

    #[test]
    fn cron_has_the_last_word_over_pam() {
        let pam = Variables::from_strings([&b"LANG=C"[..], b"PATH=/pam", b"garbage"].into_iter());
        let cron = of_cron(&DEBIAN, &alice(), &table(&[]), &Inherited::default(), false);
        assert_eq!(
            shown(&pam.overlaid(&cron)),
            ["LANG=C", "PATH=/usr/bin:/bin", "SHELL=/bin/sh", "HOME=/home/alice", "LOGNAME=alice"]
        );
    }

    #[test]
    fn a_job_of_a_standalone_daemon_has_the_callers_environment() {
        let caller = Inherited::of(&[("SHELL", "/bin/zsh"), ("HOME", "/work"), ("X", "1"), ("LOGNAME", "who")]);
        assert_eq!(
            shown(&of_caller(&alice(), &table(&["X=2"]), &caller)),
            ["SHELL=/bin/sh", "HOME=/work", "X=2", "LOGNAME=alice"]
        );
    }
}
