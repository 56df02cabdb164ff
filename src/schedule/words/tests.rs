//! Schedules and the English for them.

use crate::schedule::{HostKey, Schedule, Seed, Timestamp, Zone, dst_warnings, explain};

fn schedule(text: &str) -> Schedule {
    Schedule::parse(text, &Seed { host: HostKey(7), table: "alice", entry: text.as_bytes() }).unwrap().schedule
}

#[test]
fn schedules_are_said_as_a_person_would() {
    for (text, words) in [
        ("30 2 * * 1-5", "At 02:30 on every weekday"),
        ("30 2 * * mon-fri", "At 02:30 on every weekday"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("0 0 13 * 5", "At 00:00 on day 13 of the month or on Friday"),
        ("17 * * * *", "At minute 17 past every hour"),
        ("* * * * *", "Every minute"),
        ("*/1 * * * *", "Every minute"),
        ("0-59 * * * *", "Every minute"),
        ("* 2 * * *", "Every minute from 02:00 to 02:59"),
        ("* 9-17 * * *", "Every minute from 09:00 to 17:59"),
        ("*/15 9-17 * * 1-5", "Every 15 minutes from 09:00 to 17:45 on every weekday"),
        ("*/15 1,5,9 * * *", "Every 15 minutes past hours 1, 5 and 9"),
        ("2-59/5 * * * *", "Every 5 minutes from minute 2 past every hour"),
        ("0 */2 * * *", "At minute 0 past every 2nd hour"),
        ("5 1-23/2 * * *", "At minute 5 past every 2nd hour from hour 1"),
        ("30 9-17 * * *", "At minute 30 past every hour from 9 to 17"),
        ("*/7 * * * *", "At every 7th minute from 0 to 56 past every hour"),
        ("0-15 * * * *", "At every minute from 0 to 15 past every hour"),
        ("0,20,41 * * * *", "At minutes 0, 20 and 41 past every hour"),
        ("0 6,14,22 * * *", "At 06:00, 14:00 and 22:00 every day"),
        ("0,30 12 * * sat,sun", "At 12:00 and 12:30 on Saturday and Sunday"),
        ("0 0 * * mon-thu", "At 00:00 on every day from Monday to Thursday"),
        ("0 0 * * fri-sun", "At 00:00 on every day from Friday to Sunday"),
        ("0 0 1,15 * *", "At 00:00 on days 1 and 15 of the month"),
        ("0 0 1-7 * *", "At 00:00 on days 1 to 7 of the month"),
        ("0 0 */2 * *", "At 00:00 on every 2nd day from 1 to 31 of the month"),
        ("0 0 */2 * 1", "At 00:00 on every 2nd day from 1 to 31 of the month, only if it is a Monday"),
        ("0 0 1-31 * 1", "At 00:00 every day"),
        ("0 0 1 6 *", "At 00:00 on 1 June"),
        ("0 0 1 1,7 *", "At 00:00 on day 1 of January and July"),
        ("0 0 * 6-8 *", "At 00:00 every day in every month from June to August"),
        ("*/5 * * 12 *", "Every 5 minutes in December"),
        ("0 9 * 6 mon", "At 09:00 on Monday in June"),
        ("@yearly", "At 00:00 on 1 January"),
        ("@monthly", "At 00:00 on day 1 of the month"),
        ("@weekly", "At 00:00 on Sunday"),
        ("@daily", "At 00:00 every day"),
        ("@hourly", "At minute 0 past every hour"),
        ("@every_minute", "Every minute"),
        ("@every_second", "Every second"),
        ("@after backup", "When backup has ended successfully"),
        ("@after backup,upload", "When backup and upload have ended successfully"),
        ("@after a,b,alice:c,a", "When a, b and alice:c have ended successfully"),
        ("@reboot", "Once after each boot"),
        ("@90", "90 seconds after the end of the previous run"),
        ("@5m", "5 minutes after the end of the previous run"),
        ("@1h", "1 hour after the end of the previous run"),
        ("0 0 L * *", "At 00:00 on the last day of the month"),
        ("0 0 L-1 * *", "At 00:00 on the day before the last day of the month"),
        ("0 0 L-3 2 *", "At 00:00 on the 3rd day before the last day of February"),
        ("0 0 1,15W,LW * *", "At 00:00 on day 1, the weekday nearest to day 15 and the last weekday of the month"),
        ("0 0 * * friL", "At 00:00 on the last Friday of the month"),
        ("0 0 * * tue#2", "At 00:00 on the second Tuesday of the month"),
        ("0 0 L * fri#1", "At 00:00 on the last day of the month or on the first Friday of the month"),
        ("0 0 30 2 *", "Never, because there is no such date: at 00:00 on 30 February"),
        ("@quartz 0 30 2 ? * 2-6 *", "At 02:30 on every weekday"),
        ("@quartz */10 * * * * * *", "Every 10 seconds"),
        ("@quartz 30 * * * * * *", "At second 30, every minute"),
        ("@quartz 15 0 12 1 1 ? 2027-2029", "At second 15, at 12:00 on 1 January from 2027 to 2029"),
    ] {
        assert_eq!(explain(&schedule(text)), words, "{text}");
    }
}

#[test]
fn a_drawn_value_is_said_as_it_was_drawn() {
    let words = explain(&schedule("~ * * * *"));
    let minute = words.strip_prefix("At minute ").and_then(|rest| rest.strip_suffix(" past every hour"));
    assert!(minute.is_some_and(|minute| minute.parse::<u32>().is_ok_and(|minute| minute < 60)), "{words}");
}

#[test]
fn gaps_and_folds_of_the_coming_year_are_foretold() {
    let from = Timestamp::parse_rfc3339("2026-11-22T10:15:00Z").unwrap();
    for (text, zone, sentences) in [
        (
            "30 2 * * *",
            "Europe/Berlin",
            vec![
                "On 2027-03-28 this time does not exist in Europe/Berlin: runs at 03:00",
                "On 2027-10-31 this time comes twice in Europe/Berlin: runs the first time only",
            ],
        ),
        (
            "*/30 2 * * *",
            "Europe/Berlin",
            vec![
                "On 2027-03-28 these times do not exist in Europe/Berlin: does not run then",
                "On 2027-10-31 these times come twice in Europe/Berlin: runs both times",
            ],
        ),
        (
            "@quartz 0 30 2 * * * *",
            "Europe/Berlin",
            vec![
                "On 2027-03-28 this time does not exist in Europe/Berlin: runs at 03:00",
                "On 2027-10-31 this time comes twice in Europe/Berlin: runs the first time only",
            ],
        ),
        ("30 4 * * *", "Europe/Berlin", vec![]),
        ("30 2 * * mon", "Europe/Berlin", vec![]),
        ("*/5 * * * *", "Europe/Berlin", vec![]),
        ("@hourly", "Europe/Berlin", vec![]),
        ("@daily", "Europe/Berlin", vec![]),
        ("@every_second", "Europe/Berlin", vec![]),
        ("@reboot", "Europe/Berlin", vec![]),
        ("@5m", "Europe/Berlin", vec![]),
        ("30 2 * * *", "Asia/Kathmandu", vec![]),
        (
            "0 * * * *",
            "Australia/Lord_Howe",
            vec!["On 2027-10-03 this time does not exist in Australia/Lord_Howe: does not run then"],
        ),
    ] {
        let zone = Zone::embedded(zone).unwrap();
        assert_eq!(dst_warnings(&schedule(text), &zone, from), sentences, "{text} in {}", zone.name());
    }
    let apia = Zone::embedded("Pacific/Apia").unwrap();
    let from = Timestamp::parse_rfc3339("2011-12-01T00:00:00Z").unwrap();
    let sentences = dst_warnings(&schedule("30 12 * * *"), &apia, from);
    assert_eq!(sentences, ["On 2011-12-30 this time does not exist in Pacific/Apia: does not run then"]);
}
