//! Which faults are injected: those of a list of calls, all of them or a sample.

use crate::common::Deadline;
use crate::common::clock::now;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

/// Errors of system calls.
pub const ERRORS: [&str; 6] = ["EINTR", "EIO", "ENOSPC", "EMFILE", "ENOMEM", "EACCES"];

/// Injects every fault if it is `all`; else each test takes a sample for as many seconds as it has by itself.
const WHICH: &str = "CRONWHEEL_FAULTS";
/// The seed of the sample: the same seed gives the same order.
const SEED: &str = "CRONWHEEL_FAULTS_SEED";

/// What is done to a system call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Injection {
    /// The process is killed before the call is made.
    Kill,
    /// The call is not made and fails.
    Error(&'static str),
}

/// A fault at one call of a program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The name of the system call.
    pub call: String,
    /// Which of its calls, counted from 1.
    pub when: usize,
    pub injection: Injection,
}

impl Fault {
    /// The options of strace that inject it.
    pub fn options(&self) -> [String; 2] {
        let Fault { call, when, injection } = self;
        let how = match injection {
            Injection::Kill => "signal=KILL".to_owned(),
            Injection::Error(error) => format!("error={error}"),
        };
        [format!("-etrace={call}"), format!("-einject={call}:{how}:when={when}")]
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.injection {
            Injection::Kill => write!(f, "KILL at call {} of {}", self.when, self.call),
            Injection::Error(error) => write!(f, "{error} at call {} of {}", self.when, self.call),
        }
    }
}

/// The calls of a trace, in their order: what strace has written with `-o` and without `-f`.
pub fn calls(trace: &str) -> Vec<&str> {
    trace.lines().filter_map(|line| line.split_once('(')).map(|(call, _)| call).filter(|call| is_name(call)).collect()
}

fn is_name(call: &str) -> bool {
    !call.is_empty() && call.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Each of the injections at each of these calls.
pub fn at_each_call(calls: &[&str], injections: impl Fn(&str) -> Vec<Injection>) -> Vec<Fault> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut faults = Vec::new();
    for call in calls {
        let when = counts.entry(call).or_default();
        *when += 1;
        let new = |injection| Fault { call: (*call).to_owned(), when: *when, injection };
        faults.extend(injections(call).into_iter().map(new));
    }
    faults
}

/// Takes the faults in turn that are to be injected: all, or in a random order as many as there is time for.
pub struct Plan {
    what: String,
    faults: Vec<Fault>,
    next: usize,
    until: Option<Deadline>,
    begun: Duration,
}

impl Plan {
    /// A plan for these faults; the sample takes so many seconds.
    pub fn new(what: &str, mut faults: Vec<Fault>, seconds: u64) -> Plan {
        let takes_all = std::env::var(WHICH).is_ok_and(|which| which == "all");
        let begun = now();
        let seed = seed();
        if takes_all {
            println!("{what}: all of {} faults, {SEED}={seed}", faults.len());
        } else {
            fastrand::Rng::with_seed(seed).shuffle(&mut faults);
            println!("{what}: sample of {} faults, {SEED}={seed}; {WHICH}=all injects all of them", faults.len());
        }
        let until = (!takes_all).then(|| Deadline::seconds(seconds));
        Plan { what: what.to_owned(), faults, next: 0, until, begun }
    }
}

/// The seed of all that is random in this process: what is given, or the time.
pub fn seed() -> u64 {
    static CHOSEN: OnceLock<u64> = OnceLock::new();
    *CHOSEN.get_or_init(|| {
        let given = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
        given.unwrap_or_else(|| now().as_secs())
    })
}

impl Iterator for Plan {
    type Item = Fault;

    fn next(&mut self) -> Option<Fault> {
        let is_time_left = self.until.is_none_or(|until| !until.passed());
        let fault = self.faults.get(self.next).filter(|_| is_time_left).cloned();
        match fault {
            Some(_) => self.next += 1,
            None => {
                let seconds = now().saturating_sub(self.begun).as_secs();
                println!("{}: {} of {} faults in {seconds} s", self.what, self.next, self.faults.len());
            }
        }
        fault
    }
}
