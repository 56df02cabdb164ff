//! A schedule in English, and what lies ahead of it.

use super::calendar::Schedule;
use super::time::Timestamp;
use super::zone::Zone;

/// The schedule as a person would say it: `At 02:30 on every weekday`.
pub fn explain(schedule: &Schedule) -> String {
    let _ = schedule;
    todo!()
}

/// Sentences about gaps and folds within a year from `from` that concern this schedule:
/// `On 2027-03-28 this time does not exist in Europe/Berlin: runs at 03:00`.
pub fn foresee(schedule: &Schedule, zone: &Zone, from: Timestamp) -> Vec<String> {
    let _ = (schedule, zone, from);
    todo!()
}
