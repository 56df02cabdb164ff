//! The schedules that all benchmarks of the calendar use.

/// Mixed ones, as they are found in crontabs.
pub const MIXED: [&str; 30] = [
    "* * * * *",
    "*/5 * * * *",
    "*/15 * * * *",
    "17 * * * *",
    "0 * * * *",
    "25 6 * * *",
    "47 6 * * 6",
    "52 6 1 * *",
    "0 0 * * *",
    "0 3 * * *",
    "30 2 * * *",
    "0 */2 * * *",
    "0 */6 * * *",
    "0 9-17 * * 1-5",
    "*/10 8-18 * * 1-5",
    "0,30 * * * *",
    "0,15,30,45 9-17 * * 1-5",
    "5 4 * * 0",
    "0 22 * * 1-5",
    "23 0-20/2 * * *",
    "0 0 1,15 * *",
    "0 4 8-14 * *",
    "0 0 1 1 *",
    "0 0 1 */3 *",
    "15 14 1 * *",
    "5 0 * 8 *",
    "0 0 13 * 5",
    "30 4 1,15 * 5",
    "59 23 31 12 *",
    "0 0 29 2 *",
];

/// Hardly ever due.
pub const SPARSE: [&str; 2] = ["0 0 29 2 1", "0 0 29 2 */7"];

/// As the crate `cron` wants it: with seconds, and with Sunday as 1.
pub fn with_seconds(schedule: &str) -> String {
    let (fields, weekday) = schedule.rsplit_once(' ').expect("five fields");
    let next = |part: &str| part.parse::<u32>().map_or_else(|_| part.to_owned(), |day| (day + 1).to_string());
    let (values, step) = weekday.split_once('/').map_or((weekday, None), |(values, step)| (values, Some(step)));
    let days = values.split(',').map(|range| range.split('-').map(next).collect::<Vec<_>>().join("-"));
    let days = days.collect::<Vec<_>>().join(",");
    format!("0 {fields} {days}{}", step.map(|step| format!("/{step}")).unwrap_or_default())
}
