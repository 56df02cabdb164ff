//! Follows the clock: finds the entries that have become due since the last event, on time, late, or by a step.

use super::action::Action;
use super::due::Due;
use super::live_table::{LiveCrontab, Waiting};
use super::now::Now;
use super::rule;
use super::run_record::MissReason;
use super::state::{Gap, Scheduler};
use super::wheel::Timer;
use super::zones::{ClockChange, ZoneId};
use crate::schedule::{DstPolicy, Kind, Timestamp, Zone};
use std::collections::HashMap;

/// The differences of wall clock and elapsed time below this are rounding and jitter, not a step. Milliseconds.
const STEP_MS: i64 = 2_000;
/// Less than a full minute back repeats nothing. Seconds.
pub(super) const SHORT_BACK: i64 = 60;
/// Jumps of at least this many seconds are logged.
const LOGGED_JUMP: i64 = 60;

impl Scheduler {
    /// Handles everything that has become due since the last event.
    pub(super) fn follow_clock(&mut self, now: Now, actions: &mut Vec<Action>) -> Option<Gap> {
        let elapsed_ms = now.elapsed_ms - self.progress.last.elapsed_ms;
        let step_ms = (now.utc.0 - self.progress.last.utc.0) * 1_000 - elapsed_ms;
        let slept_ms = std::mem::take(&mut self.progress.slept_ms);
        if step_ms.abs() < STEP_MS && self.progress.upto.0 - now.utc.0 < SHORT_BACK {
            self.advance(now.utc);
            self.start_collected(Some(now.utc), now, actions);
            return None;
        }
        // What the clock showed before it was set is handled as it would have been without the step.
        let expected = Timestamp((self.progress.last.utc.0 * 1_000 + elapsed_ms).div_euclid(1_000));
        let shown = Timestamp(expected.0 - 1);
        self.advance(shown);
        self.start_collected(None, Now { utc: shown, ..now }, actions);
        let from = self.progress.upto;
        self.advance_waiting(step_ms.min(0).div_euclid(1_000));
        self.collect_waiting(now.utc);
        // Set back by less than a minute, it waits for the clock to come back to where it was: nothing is doubled.
        let behind = self.progress.upto.max(expected).0 - now.utc.0;
        let caught_up = if (1..SHORT_BACK).contains(&behind) { 0 } else { self.step(now.utc) };
        let seconds = step_ms / 1_000;
        if seconds.abs() >= LOGGED_JUMP {
            actions.push(Action::Jumped { seconds, caught_up });
            self.entries.anacron.note_jump();
        }
        // A clock that is corrected after a sleep goes forward by a little more.
        let why = if slept_ms.saturating_mul(2) >= step_ms { MissReason::Asleep } else { MissReason::Clock };
        (step_ms > 0 && from < now.utc).then_some(Gap { from, to: now.utc, why })
    }

    /// Collects what was due up to `to` while the clock went on undisturbed, even if the loop is late.
    pub(super) fn advance(&mut self, to: Timestamp) {
        if to > self.progress.upto {
            let mut expired = Vec::new();
            self.entries.timing.wheel.expire(to, &mut expired);
            if let Some((first, _)) = expired.first() {
                let minutes = to.0.div_euclid(60) - first.0.div_euclid(60) + 1;
                for &(due, timer) in &expired {
                    self.replay(timer, due, to, minutes);
                }
            }
            self.progress.upto = to;
        }
        self.collect_waiting(to);
    }

    /// Collects the due moments of a timer from `first` up to `to`, as far as the rule catches them up when the loop is `minutes` late (1:
    /// on time), and arms it for the one after.
    pub(super) fn replay(&mut self, timer: Timer, first: Timestamp, to: Timestamp, minutes: i64) {
        let Some(shared) = self.entries.timing.timers.get(timer) else { return };
        let Some(local) = self.entries.timing.zones.get(shared.zone) else { return };
        let next = |after| rule::next_due(shared.schedule(), shared.style, &local.zone, local.set, after);
        let replay_all =
            minutes <= rule::FEW_MINUTES || (minutes <= rule::MOST_MINUTES && shared.style == DstPolicy::Fixed);
        let only_after = match shared.by_seconds {
            true => Timestamp(to.0 - 1),
            false => Timestamp(minute_start(&local.zone, to).0 - 1),
        };
        let mut due = if replay_all || first > only_after { Some(first) } else { next(only_after) };
        let mut moments = Vec::new();
        while let Some(at) = due.filter(|at| *at <= to) {
            match shared.by_seconds {
                true => moments.push((at, 0)),
                false => {
                    let ranks = rule::ranks_at(shared.schedule(), shared.style, &local.zone, local.set, at);
                    moments.extend(ranks.into_iter().map(|rank| (at, rank)));
                }
            }
            due = next(at);
        }
        for (at, rank) in moments {
            self.collect(timer, at, rank, at, to);
        }
        if let Some(due) = due {
            self.entries.timing.wheel.arm(timer, due);
        }
    }

    /// Follows a step of the clock from `progress.upto` to `to`. Returns how many missed starts are caught up.
    pub(super) fn step(&mut self, to: Timestamp) -> usize {
        let from = self.progress.upto;
        let changes = self.entries.timing.zones.step(from, to);
        let caught_up = self.apply_clock_changes(&changes, to);
        self.progress.upto = to;
        self.entries.timing.arm_all(to);
        caught_up
    }

    /// Collects what the rule gives for every timer of the zones in `changes`.
    pub(super) fn apply_clock_changes(&mut self, changes: &HashMap<ZoneId, ClockChange>, to: Timestamp) -> usize {
        let mut found = Vec::new();
        for (timer, shared) in self.entries.timing.timers.iter().filter(|(_, shared)| shared.kind == Kind::Calendar) {
            let (Some(change), Some(local)) = (changes.get(&shared.zone), self.entries.timing.zones.get(shared.zone))
            else {
                continue;
            };
            if shared.by_seconds {
                // Only the second in progress can be due.
                if shared.schedule().next_after(Timestamp(to.0 - 1), &local.zone, None) == Some(to) {
                    found.push((timer, 0, to));
                }
                continue;
            }
            let Some(delta) = change.delta else { continue };
            let current = minute_start(&local.zone, to);
            let ran =
                shared.style == DstPolicy::Wildcard && change.handled.is_some_and(|at| shared.schedule().matches(at));
            if ran {
                continue;
            }
            for (minute, rank) in delta.minutes_due(shared.schedule(), shared.style, change.before, change.now) {
                found.push((timer, rank, Timestamp(current.0 + (minute.0 - change.now.0) * 60)));
            }
        }
        let already = self.due.collected.len();
        for (timer, rank, scheduled_at) in found {
            self.collect(timer, to, rank, scheduled_at, to);
        }
        let caught_up = |due: &&Due| due.rank < 0 && due.rank != rule::FIRST;
        self.due.collected.iter().skip(already).filter(caught_up).count()
    }

    /// Collects the entries of a timer that was due at `base`. Those with a delay wait until it has passed.
    pub(super) fn collect(
        &mut self,
        timer: Timer,
        base: Timestamp,
        rank: i64,
        scheduled_at: Timestamp,
        now: Timestamp,
    ) {
        let Some(shared) = self.entries.timing.timers.get(timer) else { return };
        let delay = i64::from(shared.delay());
        let at = Timestamp(base.0 + delay);
        for &number in shared.tables() {
            let Some(table) = self.entries.tables.get_mut(number) else { continue };
            if at > now {
                self.due.alarms.insert((at, number));
                let waiting: Vec<Waiting> = table.on_timer(timer).map(|entry| Waiting { at, entry }).collect();
                table.entry_state.get_or_insert_default().waiting.extend(waiting);
                continue;
            }
            let table: &LiveCrontab = table;
            self.due.collected.extend(table.on_timer(timer).map(|entry| {
                let (order, line) = (table.order, table.start_order(entry));
                let scheduled_at = Timestamp(scheduled_at.0 + delay);
                Due { at, rank, order, line, table: number, entry, scheduled_at }
            }));
        }
    }
}

impl Scheduler {
    /// Collects one entry for a start in the slots of this second.
    pub(super) fn collect_entry(
        &mut self,
        (number, entry): (u32, u32),
        at: Timestamp,
        rank: i64,
        scheduled_at: Timestamp,
    ) {
        let Some(table) = self.entries.tables.get(number) else { return };
        let (order, line) = (table.order, table.start_order(entry));
        self.due.collected.push(Due { at, rank, order, line, table: number, entry, scheduled_at });
    }
}

/// The second at which the zone's minute in progress began.
fn minute_start(zone: &Zone, at: Timestamp) -> Timestamp {
    Timestamp(at.0 - (at.0 + i64::from(zone.offset_at(at))).rem_euclid(60))
}
