//! The live entries of all crontabs and of the anacrontab: what each asks for, and when it is due. The methods only look up;
//! `loading` and `naming` make changes.

use super::action::{Action, EntryWarning};
use super::anacron::Anacron;
use super::job_id::JobId;
use super::jobs::{GroupKey, JobSpec, Pause};
use super::live_table::LiveCrontab;
use super::run_id::RunId;
use super::run_record::Trigger;
use super::run_request::{RunRequest, RunRules};
use super::source::{Owner, Source};
use super::start_queue::{ANACRON, EntryKey, QueueOwner};
use super::tables::LiveTables;
use super::timers::Shared;
use super::timing::TimingState;
use crate::crontab::{Calendars, Policy};
use crate::schedule::{Day, Kind, Timestamp, Zone};
use std::collections::BTreeMap;
use std::sync::Arc;

/// The live entries of all crontabs and of the anacrontab.
#[derive(Debug)]
pub(super) struct Entries {
    pub(super) tables: LiveTables,
    pub(super) timing: TimingState,
    pub(super) anacron: Anacron,
    /// The user that a standalone daemon runs its jobs as; empty in another daemon.
    pub(super) caller: String,
    /// The calendars that `CRON_EXCEPT` may name.
    pub(super) calendars: Calendars,
    /// What the jobs ask for that have an attempt pending or in the start queue and whose entry is being exchanged.
    pub(super) leaving: BTreeMap<JobId, RunRequest>,
}

impl Entries {
    /// No entries; `zone` is the system's.
    pub(super) fn new(zone: Arc<Zone>, now: Timestamp) -> Entries {
        Entries {
            tables: LiveTables::default(),
            timing: TimingState::new(zone, now),
            anacron: Anacron::default(),
            caller: String::new(),
            calendars: Calendars::default(),
            leaving: BTreeMap::new(),
        }
    }

    /// Whether the table of an entry is live.
    pub(super) fn has_table(&self, (number, _): EntryKey) -> bool {
        number == ANACRON || self.tables.get(number).is_some()
    }

    /// The timer of an entry of a crontab.
    pub(super) fn timer(&self, (number, entry): EntryKey) -> Option<&Shared> {
        self.timing.timers.get(self.tables.get(number)?.timer(entry)?)
    }

    /// The job that an entry is, if it is managed.
    pub(super) fn managed(&self, (number, entry): EntryKey) -> Option<&JobId> {
        match number {
            ANACRON => self.anacron.id_of(entry),
            _ => self.tables.get(number)?.managed.get(&entry),
        }
    }

    /// The job that an entry of a table is.
    pub(super) fn id_of(&self, table: &LiveCrontab, entry: u32) -> Option<JobId> {
        table.managed.get(&entry).cloned().or_else(|| table.job_id(entry, &self.caller))
    }

    /// The user that an entry runs as, also in a standalone daemon.
    pub(super) fn user_of<'a>(&'a self, table: &'a LiveCrontab, entry: u32) -> &'a str {
        let user = table.user(entry);
        if user.is_empty() { &self.caller } else { user }
    }

    /// What a table says of an entry.
    pub(super) fn spec(&self, table: &LiveCrontab, (number, entry): EntryKey, is_interval: bool) -> JobSpec {
        let policy = table.policy(entry);
        let is_of_the_system = table.source().owner == Owner::System;
        let user = self.user_of(table, entry);
        let group = policy
            .group
            .as_ref()
            .map(|group| GroupKey { user: (!is_of_the_system).then(|| user.into()), name: group.name.clone() });
        let needed = |name: &Arc<str>| match name.contains(':') {
            true => JobId::of_text(name.to_string()),
            false => JobId::named(user, name),
        };
        let after = table.after(entry).iter().map(needed).collect();
        let (line, table_owner) = (table.line(entry), table_owner(table));
        JobSpec { policy, entry: Some((number, entry)), line, table_owner, group, is_interval, after }
    }

    /// What its table says of an entry, also of one of the anacrontab.
    pub(super) fn spec_at(&self, key: EntryKey) -> Option<JobSpec> {
        if key.0 == ANACRON {
            return self.anacron.spec(key.1);
        }
        let is_interval = matches!(self.timer(key)?.kind, Kind::Interval { .. });
        Some(self.spec(self.tables.get(key.0)?, key, is_interval))
    }

    /// The seconds of an `@N` entry.
    pub(super) fn interval(&self, key: EntryKey) -> Option<i64> {
        match self.timer(key)?.kind {
            Kind::Interval { seconds } => Some(i64::from(seconds)),
            Kind::Calendar | Kind::Reboot | Kind::After => None,
        }
    }

    /// In whose turn an entry is started where owners take turns.
    pub(super) fn queue_owner(&self, (number, entry): EntryKey) -> QueueOwner {
        if number == ANACRON {
            return QueueOwner::System("root".into());
        }
        self.tables.get(number).map_or(QueueOwner::Caller, |table| table.queue_owner(entry))
    }

    /// The rules for a run of an entry.
    pub(super) fn rules(&self, (number, entry): EntryKey) -> RunRules {
        if number == ANACRON {
            return self.anacron.spec(entry).map_or_else(RunRules::default, |spec| RunRules::of(&spec.policy));
        }
        self.tables.get(number).map_or_else(RunRules::default, |table| RunRules::of(&table.policy(entry)))
    }

    /// What the executor must know to start an entry, for the first time for a slot.
    pub(super) fn request(
        &self,
        key: EntryKey,
        run: RunId,
        scheduled_at: Timestamp,
        at_reboot: bool,
    ) -> Option<RunRequest> {
        let (number, entry) = key;
        let mut request = match number {
            ANACRON => self.anacron.request(entry, run, scheduled_at)?,
            _ => self.tables.get(number)?.start(entry, run, &self.caller, scheduled_at, at_reboot)?,
        };
        if let Some(id) = self.managed(key) {
            request.job = id.clone();
            request.rules = self.rules(key);
        }
        if at_reboot {
            request.trigger = Trigger::Reboot;
        }
        Some(request)
    }

    /// The request for a run of a job, also while its entry is being removed.
    pub(super) fn request_of(
        &self,
        job: &JobId,
        key: Option<EntryKey>,
        run: RunId,
        scheduled_at: Timestamp,
    ) -> Option<RunRequest> {
        // Another entry may have the place of one that is removed.
        let request =
            key.and_then(|key| self.request(key, run, scheduled_at, false)).filter(|request| request.job == *job);
        request.or_else(|| {
            let request = self.leaving.get(job)?.clone();
            Some(RunRequest { run, scheduled_at: scheduled_at.0, ..request })
        })
    }

    /// Whether a pause was given to an entry of another table than the one that has the job's name now. `key` is the entry that has it.
    pub(super) fn is_of_other_table(&self, pause: &Pause, key: Option<EntryKey>) -> bool {
        let table = key.and_then(|key| self.source_at(key)).map(|source| source.path.as_str());
        pause.source.is_some() && pause.source.as_deref() != table
    }

    /// Whether the day of a slot, before its random delay, is an exception of a policy.
    pub(super) fn is_excepted(&self, policy: &Policy, key: EntryKey, slot: Timestamp) -> bool {
        if policy.except.is_empty() {
            return false;
        }
        let Some(shared) = self.timer(key) else { return false };
        let Some(local) = self.timing.zones.get(shared.zone) else { return false };
        let day = Day::at(Timestamp(slot.0 - i64::from(shared.delay())), &local.zone);
        policy.except.has_day(day, &self.calendars)
    }

    /// Whether a moment is one at which an entry is due by its schedule. Entries that have no calendar are due at any.
    pub(super) fn is_slot(&self, key: EntryKey, slot: Timestamp) -> bool {
        let Some(shared) = self.timer(key) else { return true };
        shared.kind != Kind::Calendar || self.timing.is_due_at(shared, Timestamp(slot.0 - i64::from(shared.delay())))
    }

    /// The slots of an entry after `from` and before `to`, oldest first.
    pub(super) fn slots_between(
        &self,
        key: EntryKey,
        from: Timestamp,
        to: Timestamp,
    ) -> impl Iterator<Item = Timestamp> {
        let shared = self.timer(key);
        let delay = shared.map_or(0, |shared| i64::from(shared.delay()));
        let next = move |after: Timestamp| {
            let due = self.timing.next_due_before(shared?, after, to);
            due.filter(|due| due.0 + delay < to.0)
        };
        std::iter::successors(next(Timestamp(from.0 - delay)), move |due| next(*due))
            .map(move |due| Timestamp(due.0 + delay))
    }

    /// The path of the table that an entry is in.
    pub(super) fn path_at(&self, key: EntryKey) -> String {
        self.source_at(key).map(|source| source.path.clone()).unwrap_or_default()
    }

    /// The table that an entry is in.
    pub(super) fn source_at(&self, (number, _): EntryKey) -> Option<&Source> {
        match number {
            ANACRON => self.anacron.source(),
            _ => self.tables.get(number).map(LiveCrontab::source),
        }
    }

    /// The action that says that something is wrong with an entry.
    pub(super) fn entry_warning(&self, key: EntryKey, message: String) -> Option<Action> {
        let line = match key.0 {
            ANACRON => self.anacron.line_of(key.1)?,
            number => self.tables.get(number)?.line(key.1),
        };
        let source = self.source_at(key)?.clone();
        Some(Action::WarnOfEntry(Box::new(EntryWarning { source, line, message })))
    }
}

/// The user id of the owner of a user's crontab.
pub(super) fn table_owner(table: &LiveCrontab) -> Option<u32> {
    match table.source().owner {
        Owner::User { uid, .. } => Some(uid),
        Owner::System | Owner::Caller => None,
    }
}
