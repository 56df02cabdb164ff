//! The job settings in force while a table is read from top to bottom. A setting (`CRON_TIMEOUT=1h`) holds for all entries below it, so each entry gets
//! the policy as it is at its line; entries without a setting between them share one.

use super::calendar::Calendars;
use super::diagnostic::LineProblem;
use super::fleet_rule::FleetMode;
use super::form::Form;
use super::job_setting::{JobSetting, PolicyBuilder, ROWS, unknown_calendar};
use super::policy::{Group, MailRule, Overlap, Ping, Policy};
use crate::schedule::Kind;
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

/// The job settings above the line that is being read.
#[derive(Default)]
pub(super) struct JobScope {
    builder: PolicyBuilder,
    /// Whether there has been a setting that does not hold for one entry only.
    is_set: bool,
    /// The policy of `builder` as entries have it. None: a setting has come since it was made.
    made: Option<Arc<Policy>>,
    /// The same for entries that differ from it by more than a ping.
    variants: Vec<(Variant, Arc<Policy>)>,
    /// For each group that an entry is in, how many runs it allows and the line that said so first.
    groups: HashMap<Arc<str>, (u32, u32)>,
}

/// The settings that hold for the next entry only.
#[derive(Debug, Default)]
pub(super) struct NextEntry {
    /// `CRON_NAME` for the next entry.
    pub name: Option<Arc<str>>,
    /// `CRON_PING` for the next entry.
    pub ping: Option<Ping>,
}

/// How the policy of an entry differs from that of the settings above it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Variant {
    /// Whether the entry has the flag `-s`.
    pub is_single: bool,
    /// Whether the entry has the flag `-n`, which wins over `CRON_MAIL`.
    pub mails_failures_only: bool,
    /// The entry is not one of root, so that its nice value may not be negative.
    pub is_unprivileged: bool,
    /// The kind of its schedule, on which some settings have no effect. Intervals are not distinguished.
    pub kind: Option<Kind>,
}

impl Variant {
    /// The same for entries with a schedule of that kind.
    pub fn with_schedule(self, kind: Kind) -> Variant {
        let kind = match kind {
            Kind::Calendar => None,
            Kind::Interval { .. } => Some(Kind::Interval { seconds: 1 }),
            Kind::Reboot | Kind::After => Some(kind),
        };
        Variant { kind, ..self }
    }
}

impl JobScope {
    /// Applies a job setting. A faulty value changes nothing and gives a warning. `calendars` are those that exist, if it is to be checked.
    pub fn set(
        &mut self,
        setting: &JobSetting,
        value: &[u8],
        form: Form,
        calendars: Option<&Calendars>,
    ) -> Option<LineProblem> {
        if let Err(problem) = setting.set(value, &mut self.builder, form) {
            return Some(problem);
        }
        if setting.is_for_next_entry {
            return None;
        }
        self.made = None;
        self.is_set = true;
        if setting.name == "CRON_EXCEPT" {
            return calendars.and_then(|calendars| unknown_calendar(value, calendars));
        }
        (setting.name == "CRON_SUCCESS" && !self.builder.policy.success.contains(0)).then(|| {
            let message = "CRON_SUCCESS has no 0: a job that exits with 0 counts as failed";
            LineProblem::new(0..value.len(), message).help("write 0 as well: CRON_SUCCESS=0,1")
        })
    }

    /// Takes what holds for this entry only. The entry below does not get it, even if this one is faulty.
    pub fn take_next(&mut self) -> NextEntry {
        NextEntry { name: self.builder.name.take(), ping: self.builder.ping.take() }
    }

    /// The same for a line that cannot be read at all and was perhaps an entry.
    pub fn end_unusable(&mut self, line: &[u8]) {
        let is_blank = line.iter().all(|byte| byte.is_ascii_whitespace());
        if !is_blank {
            self.take_next();
        }
    }

    /// What is odd about the group of the entry in that line: another entry above it has the group with another number of runs. It is said once
    /// for each number that a table sets.
    pub fn check_group(&mut self, line: u32, place: &Range<usize>) -> Option<LineProblem> {
        let Group { name, slots } = self.builder.policy.group.as_ref()?;
        let (known, other) = *self.groups.entry(Arc::clone(name)).or_insert((*slots, line));
        if known == *slots {
            return None;
        }
        self.groups.insert(Arc::clone(name), (*slots, line));
        let runs = |slots: u32| if slots == 1 { "1 run".to_owned() } else { format!("{slots} runs") };
        let (here, there) = (runs(*slots), runs(known));
        let message = format!("the group {name} has {here} at once here, and {there} for the entry in line {other}");
        Some(LineProblem::new(place.clone(), message).help("the smallest number holds for all of the group"))
    }

    /// Whether no job setting has come so far. Then the policy of an entry is the default, apart from its ping and flags.
    pub fn is_unset(&self) -> bool {
        !self.is_set
    }

    /// Whether the next entry runs on one machine of a fleet.
    pub fn is_of_fleet(&self) -> bool {
        self.builder.policy.fleet.mode != FleetMode::Each
    }

    /// Whether the settings ask for a nice value that only entries of root may have.
    pub fn has_negative_nice(&self) -> bool {
        self.builder.policy.limits.nice.is_some_and(|nice| nice < 0)
    }

    /// The policy of an entry.
    pub fn policy(&mut self, variant: Variant, ping: Option<Ping>) -> Arc<Policy> {
        let shared = self.shared(variant);
        match ping {
            None => shared,
            Some(ping) => Arc::new(Policy { ping: Some(ping), ..Policy::clone(&shared) }),
        }
    }

    fn shared(&mut self, variant: Variant) -> Arc<Policy> {
        let builder = &self.builder.policy;
        let base = self.made.get_or_insert_with(|| {
            self.variants.clear();
            let default = Policy::shared_default();
            if *builder == *default { default } else { Arc::new(builder.clone()) }
        });
        // What the entry asks for is perhaps what the settings say in any case.
        let variant = Variant {
            is_single: variant.is_single && base.overlap != Overlap::Skip,
            // With the default the flag alone is enough.
            mails_failures_only: variant.mails_failures_only
                && !matches!(base.mail, MailRule::Output | MailRule::Failure),
            is_unprivileged: variant.is_unprivileged && base.limits.nice.is_some_and(|nice| nice < 0),
            kind: variant.kind.filter(|_| !Arc::ptr_eq(base, &Policy::shared_default())),
        };
        if variant == Variant::default() {
            return Arc::clone(base);
        }
        if let Some((_, known)) = self.variants.iter().find(|(known, _)| *known == variant) {
            return Arc::clone(known);
        }
        let mut policy = Policy::clone(base);
        for row in ROWS.iter().filter(|row| variant.kind.is_some_and(|kind| !row.applies.to(kind))) {
            policy = row.reset_in(&policy);
        }
        if variant.is_single {
            policy.overlap = Overlap::Skip;
        }
        if variant.mails_failures_only {
            policy.mail = MailRule::Failure;
        }
        if variant.is_unprivileged {
            policy.limits.nice = None;
        }
        // An entry with the default has no policy of its own.
        let policy = if policy == *Policy::shared_default() { Policy::shared_default() } else { Arc::new(policy) };
        self.variants.push((variant, Arc::clone(&policy)));
        policy
    }
}
