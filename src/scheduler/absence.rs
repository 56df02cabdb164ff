//! Counts the slots that passed while no daemon was running, for the log.

use super::action::Absence;
use super::due::Due;
use super::live_table::LiveCrontab;
use super::state::{Gap, Scheduler};
use crate::crontab::CatchUpMode;
use crate::schedule::{Kind, Timestamp};

/// Most slots that are counted for the line of the log.
const MOST_COUNTED: usize = 100_000;

impl Scheduler {
    /// The slots of entries without `CRON_CATCHUP` that passed in a gap; none if there were none. What of them starts now has been collected.
    pub(super) fn absence(&self, gap: &Gap) -> Option<Absence> {
        let (mut slots, mut left, mut is_more) = (0, MOST_COUNTED, false);
        for (timer, shared) in self.entries.timing.timers.iter().filter(|(_, shared)| shared.kind == Kind::Calendar) {
            let tables = shared.tables().iter().filter_map(|&number| self.entries.tables.get(number));
            let entries: u64 = tables
                .map(|table| table.on_timer(timer).filter(|entry| is_left_out(table, *entry)).count() as u64)
                .sum();
            if entries == 0 {
                continue;
            }
            let delay = i64::from(shared.delay());
            let mut at = Timestamp(gap.from.0 - delay);
            while let Some(due) =
                self.entries.timing.next_due_before(shared, at, gap.to).filter(|due| due.0 + delay < gap.to.0)
            {
                if left == 0 {
                    is_more = true;
                    break;
                }
                left -= 1;
                slots += entries;
                at = due;
            }
        }
        let is_of_gap = |due: &&Due| {
            let table = self.entries.tables.get(due.table);
            due.scheduled_at < gap.to && table.is_some_and(|table| is_left_out(table, due.entry))
        };
        let started = self.due.collected.iter().filter(is_of_gap).count();
        (slots > 0).then_some(Absence { seconds: gap.to.0 - gap.from.0, slots, is_more, started })
    }
}

/// Whether slots of an entry that are missed are left to the rule for restarts.
fn is_left_out(table: &LiveCrontab, entry: u32) -> bool {
    if !table.managed.contains_key(&entry) {
        return true;
    }
    let policy = table.policy(entry);
    policy.is_enabled && policy.catch_up.mode == CatchUpMode::None
}
