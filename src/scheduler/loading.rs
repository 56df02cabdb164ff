//! Handles the start-up of a daemon, and tables that are loaded, replaced and unloaded.

use super::action::Action;
use super::anacron::JobActivity;
use super::clock::SHORT_BACK;
use super::due::Due;
use super::live_table::{EntryState, LiveCrontab, Waiting};
use super::naming::NameChanges;
use super::now::Now;
use super::run_record::{MissReason, SkipReason};
use super::source::Source;
use super::start_queue::Dropped;
use super::state::{DaemonStart, Gap, Phase, Scheduler};
use super::wheel::Timer;
use crate::crontab::Crontab;
use crate::schedule::{Kind, Timestamp, Zone};
use std::collections::BTreeMap;
use std::sync::Arc;

/// After a restart, what was due within this many seconds is caught up.
const RESTART_REACH: i64 = 180;

impl Scheduler {
    /// The second half of beginning: collects what is due. Returns the time without a daemon, if an earlier one has run.
    pub(super) fn begin(&mut self, begin: &DaemonStart, now: Now, actions: &mut Vec<Action>) -> Option<Gap> {
        if begin.boot {
            self.start_at_reboot(now, actions);
        }
        let mut gap = None;
        match begin.completed {
            Some(completed) if completed > now.utc => self.begin_before(completed, now.utc),
            Some(completed) => {
                let from = begin.handled.map_or(completed, |handled| handled.max(completed));
                gap = Some(Gap { from, to: now.utc, why: MissReason::Down });
                self.begin_after(Timestamp(completed.0.max(now.utc.0 - RESTART_REACH)), now.utc);
            }
            None => {
                self.entries.timing.arm_all(now.utc);
                // Entries that catch up do so over a boot, too. What is due in this second would count as done for all others.
                let to = Timestamp(now.utc.0 + 1);
                gap = begin.handled.map(|from| Gap { from, to, why: MissReason::Down });
            }
        }
        // Going through a million entries is worth it only if there are interval entries.
        if self.entries.timing.timers.iter().any(|(_, shared)| matches!(shared.kind, Kind::Interval { .. })) {
            let numbers: Vec<u32> = self.entries.tables.iter().map(|(number, _)| number).collect();
            for number in numbers {
                self.start_intervals(number, now.utc);
            }
            self.collect_waiting(now.utc);
        }
        self.with_jobs(now, actions, |jobs, context| jobs.start_noted(context));
        self.expect_late_tables(gap.as_ref(), actions);
        gap
    }

    pub(super) fn start_at_reboot(&mut self, now: Now, actions: &mut Vec<Action>) {
        let mut found: Vec<(u32, i64, u32, u32)> = Vec::new();
        for (timer, shared) in self.entries.timing.timers.iter().filter(|(_, shared)| shared.kind == Kind::Reboot) {
            for &number in shared.tables() {
                let Some(table) = self.entries.tables.get(number) else { continue };
                let entries = table.on_timer(timer);
                found.extend(entries.map(|entry| (table.order, table.start_order(entry), number, entry)));
            }
        }
        found.sort_unstable();
        for (order, line, table, entry) in found {
            let due = Due { at: now.utc, rank: 0, order, line, table, entry, scheduled_at: now.utc };
            self.start(&due, true, now, actions);
        }
    }

    /// Begins after an earlier daemon that handed over everything up to `completed`, and catches up what was due since.
    pub(super) fn begin_after(&mut self, completed: Timestamp, now: Timestamp) {
        self.entries.timing.wheel.clear(now);
        let timers: Vec<Timer> = self.entries.timing.timers.iter().map(|(timer, _)| timer).collect();
        for timer in timers {
            let Some(shared) = self.entries.timing.timers.get(timer) else { continue };
            // Starts of the entry are due later than its slots, by the delay.
            let earliest = Timestamp(completed.0 - i64::from(shared.delay()));
            match self.entries.timing.next_due(shared, earliest) {
                Some(due) if due <= now => self.replay(timer, due, now, 1),
                Some(due) => self.entries.timing.wheel.arm(timer, due),
                None => {}
            }
        }
    }

    /// Begins after an earlier daemon whose clock was ahead of ours: nothing is repeated. Starts that waited for their delay keep waiting,
    /// no longer than they would have.
    pub(super) fn begin_before(&mut self, completed: Timestamp, now: Timestamp) {
        self.begin_after(completed, completed);
        if completed.0 - now.0 < SHORT_BACK {
            self.progress.upto = completed;
            return;
        }
        self.advance_waiting(now.0 - completed.0);
        self.entries.timing.zones.step(completed, now);
        self.entries.timing.arm_all(now);
    }

    /// Makes a table live. Timers that are armed already stay as they are: a new entry is due at the same moments as one that was there
    /// before, since everything up to now has been handled.
    pub(super) fn load(&mut self, source: Source, table: Crontab, now: Now, actions: &mut Vec<Action>) {
        let old_number = self.entries.tables.find(&source.path);
        self.note_leaving(old_number);
        let (mut fresh, new_timers) =
            LiveCrontab::new(source, table, &mut self.entries.timing.timers, &mut self.entries.timing.zones);
        let mut unused = Vec::new();
        let old = old_number.and_then(|number| self.take_table(number, &mut unused).map(|table| (number, table)));
        fresh.order = match &old {
            Some((_, old)) => old.order,
            None => self.entries.tables.next_order(),
        };
        let number = self.entries.tables.add(fresh, &mut self.entries.timing.timers);
        let was_live = old.is_some();
        let released = old.as_ref().map(|(old_number, _)| self.release_names(*old_number)).unwrap_or_default();
        self.change_entries(now, actions, |scheduler, actions| match old {
            Some((old_number, old)) => {
                scheduler.move_entry_state(old_number, &old, number, now, actions);
                scheduler.manage(number, old.managed, released, now, actions);
            }
            None => scheduler.manage(number, BTreeMap::new(), released, now, actions),
        });
        self.entries.leaving.clear();
        self.entries.timing.free_unused(unused);
        if self.phase != Phase::Running {
            return;
        }
        self.entries.timing.arm(new_timers, self.progress.upto);
        self.start_intervals(number, now.utc);
        self.catch_up_late_table(number, was_live, now, actions);
        // An interval that has passed is due at once.
        self.collect_waiting(now.utc);
        self.start_collected(None, now, actions);
    }

    pub(super) fn unload(&mut self, path: &str, now: Now, actions: &mut Vec<Action>) {
        let Some(number) = self.entries.tables.find(path) else { return };
        self.note_leaving(Some(number));
        let mut unused = Vec::new();
        if let Some(table) = self.take_table(number, &mut unused) {
            let name_changes =
                NameChanges { names: self.release_names(number), copies: self.copies_of(table.source()) };
            self.change_entries(now, actions, |scheduler, actions| {
                let dropped = scheduler.starts.queue.drop_entries(Some(number));
                scheduler.report_removed(&table, &dropped, now, actions);
                scheduler.unmanage(&table, now, actions);
                scheduler.pass_names_on(number, &name_changes, now, actions);
            });
        }
        self.entries.leaving.clear();
        self.entries.timing.free_unused(unused);
    }

    pub(super) fn take_table(&mut self, number: u32, unused: &mut Vec<Timer>) -> Option<LiveCrontab> {
        let table = self.entries.tables.take(number, &mut self.entries.timing.timers, unused)?;
        for waiting in table.entry_state.iter().flat_map(|entry_state| &entry_state.waiting) {
            self.due.alarms.remove(&(waiting.at, number));
        }
        Some(table)
    }

    /// Hands the running state of entries that are unchanged over to the table that replaced theirs.
    pub(super) fn move_entry_state(
        &mut self,
        old_number: u32,
        old: &LiveCrontab,
        number: u32,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let none = EntryState::default();
        let entry_state = old.entry_state.as_deref().unwrap_or(&none);
        let mut in_question = entry_state.entries();
        in_question.extend(self.starts.queue.entries_of(old_number));
        if in_question.is_empty() {
            return;
        }
        let Some(table) = self.entries.tables.get_mut(number) else { return };
        let successors = table.successors_of(old, &in_question);
        for waiting in &entry_state.waiting {
            if let Some(&entry) = successors.get(&waiting.entry) {
                table.entry_state.get_or_insert_default().waiting.insert(Waiting { entry, ..*waiting });
                self.due.alarms.insert((waiting.at, number));
            }
        }
        let keys = successors.into_iter().map(|(entry, successor)| (entry, (number, successor))).collect();
        let dropped = self.starts.queue.move_entries(old_number, &keys);
        self.report_removed(old, &dropped, now, actions);
    }

    /// Records the outcomes of starts that waited for entries of a table that is not live any more.
    fn report_removed(&mut self, table: &LiveCrontab, dropped: &[Dropped], now: Now, actions: &mut Vec<Action>) {
        for dropped in dropped {
            self.report_dropped(Some(table), dropped, SkipReason::EntryRemoved, now, actions);
        }
    }

    /// Makes those `@N` entries of a table wait that neither wait nor run.
    pub(super) fn start_intervals(&mut self, number: u32, now: Timestamp) {
        let Some(table) = self.entries.tables.get(number) else { return };
        let busy = table.entry_state.as_ref().map(|entry_state| entry_state.entries()).unwrap_or_default();
        let intervals: Vec<Waiting> = (0..table.entries().len() as u32)
            .filter_map(|entry| Some((entry, self.entries.interval((number, entry))?)))
            .filter(|(entry, _)| !busy.contains(entry))
            .filter_map(|(entry, seconds)| {
                let id = table.managed.get(&entry)?;
                if self.jobs.is_occupied(id) {
                    return None;
                }
                // A moment that passed while the daemon was down is now.
                let after = self.jobs.last_end(id).filter(|end| *end <= now).unwrap_or(now);
                Some(Waiting { at: Timestamp(after.0 + seconds).max(now), entry })
            })
            .collect();
        for waiting in intervals {
            if let Some(id) = self.entries.managed((number, waiting.entry)).cloned()
                && self.jobs.count_from_load(&id, now)
            {
                self.changed.insert(id);
            }
            self.wait(number, waiting);
        }
    }

    /// Changes the zone of entries without a zone of their own. Unlike after a step, the minute in progress has been handled already, as
    /// the local minute of the old zone.
    pub(super) fn change_system_zone(&mut self, zone: Arc<Zone>, now: Now, actions: &mut Vec<Action>) {
        if self.phase == Phase::Loading {
            self.entries.timing.zones.set_system(zone);
            return self.note_system_zone(now, actions);
        }
        let changes = self.entries.timing.zones.change_system(zone, self.progress.upto);
        self.note_system_zone(now, actions);
        if self.phase == Phase::Running {
            self.apply_clock_changes(&changes, self.progress.upto);
            self.entries.timing.arm_all(self.progress.upto);
            self.start_collected(None, now, actions);
        }
    }
}
