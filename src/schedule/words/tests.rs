//! Schedules and the English for them.

use crate::schedule::{
    HostKey, JitterKey, Prefix, Schedule, Timestamp, Zone, dst_warnings, explain, explain_as_written,
};

fn prefix(text: &str) -> Prefix {
    Schedule::parse(text, &JitterKey { host: HostKey(7), table: "alice", entry: text.as_bytes() }).unwrap()
}

fn schedule(text: &str) -> Schedule {
    prefix(text).schedule
}

#[test]
fn schedules_are_said_as_a_person_would() {
    for (text, words) in [
        ("30 2 * * 1-5", "At 02:30 every weekday"),
        ("30 2 * * mon-fri", "At 02:30 every weekday"),
        ("0 9 * * mon", "At 09:00 every Monday"),
        ("*/5 * * * *", "Every 5 minutes"),
        ("0 0 13 * 5", "At 00:00 on day 13 of every month and every Friday"),
        ("0 * * * *", "Every hour, on the hour"),
        ("17 * * * *", "Every hour, at minute 17"),
        ("* * * * *", "Every minute"),
        ("*/1 * * * *", "Every minute"),
        ("0-59 * * * *", "Every minute"),
        ("* 2 * * *", "Every minute from 02:00 to 02:59"),
        ("* 9-17 * * *", "Every minute from 09:00 to 17:59"),
        ("0 9-17 * * *", "Every hour from 09:00 to 17:00"),
        ("0 18-23,0-8 * * *", "Every hour from 18:00 to 08:00"),
        ("0 18-23,0-8 * * mon", "Every hour from 00:00 to 08:00 and from 18:00 to 23:00, every Monday"),
        ("0 9-12,20 * * *", "Every hour from 09:00 to 12:00 and at 20:00"),
        ("*/15 22-23,0-5 * * *", "Every 15 minutes from 22:00 to 05:45"),
        ("*/15 9-17 * * 1-5", "Every 15 minutes from 09:00 to 17:45, every weekday"),
        ("*/15 8,20 * * *", "Every 15 minutes from 08:00 to 08:45 and from 20:00 to 20:45"),
        ("0-18/3 9 * * *", "Every 3 minutes from 09:00 to 09:18"),
        ("3-59/30 * * * *", "Every 30 minutes, at minute 3"),
        ("2-59/5 * * * *", "Every 5 minutes, at minute 2"),
        ("*/15 1,4,7,13 * * *", "Every 15 minutes in hours 1, 4, 7 and 13"),
        ("0 */2 * * *", "Every 2 hours from 00:00 to 22:00"),
        ("5 1-23/2 * * *", "Every 2 hours from 01:05 to 23:05"),
        ("30 9-17 * * *", "Every hour from 09:30 to 17:30"),
        ("*/7 * * * *", "Every 7 minutes from minute 0 to minute 56 of every hour"),
        ("0-15 * * * *", "Every minute from minute 0 to minute 15 of every hour"),
        ("0,20,41 * * * *", "At minutes 0, 20 and 41 of every hour"),
        ("0-5,20,41 1-3 * * *", "At minutes 0 to 5, 20 and 41 in hours 1 to 3"),
        ("0 6,14,22 * * *", "At 06:00, 14:00 and 22:00 every day"),
        ("0,30 12 * * sat,sun", "At 12:00 and 12:30 every Saturday and Sunday"),
        ("0 0 * * mon-thu", "At 00:00 every day from Monday to Thursday"),
        ("0 0 * * sat-sun,mon", "At 00:00 every day from Saturday to Monday"),
        ("0 0 * * fri-sun", "At 00:00 every day from Friday to Sunday"),
        ("0 0 1,15 * *", "At 00:00 on days 1 and 15 of every month"),
        ("0 0 1-7 * *", "At 00:00 on days 1 to 7 of every month"),
        ("0 0 */2 * *", "At 00:00 on every 2nd day from day 1 to day 31 of every month"),
        ("0 0 */2 * 1", "At 00:00 on every 2nd day from day 1 to day 31 of every month, only if it is a Monday"),
        ("0 0 1-31 * 1", "At 00:00 every day"),
        ("0 0 1 6 *", "At 00:00 on 1 June"),
        ("0 0 1 1,7 *", "At 00:00 on day 1 of January and July"),
        ("0 0 * 1-3 *", "At 00:00 every day from January to March"),
        ("0 0 * 11-12,1-2 *", "At 00:00 every day from November to February"),
        ("*/5 * * 12 *", "Every 5 minutes, every day in December"),
        ("0 9 * 6 mon", "At 09:00 every Monday in June"),
        ("@yearly", "At 00:00 on 1 January"),
        ("@monthly", "At 00:00 on day 1 of every month"),
        ("@weekly", "At 00:00 every Sunday"),
        ("@daily", "At 00:00 every day"),
        ("@hourly", "Every hour, on the hour"),
        ("@every_minute", "Every minute"),
        ("@every_second", "Every second"),
        ("@after backup", "When backup has ended successfully"),
        ("@after backup,upload", "When backup and upload have ended successfully"),
        ("@after a,b,alice:c,a", "When a, b and alice:c have ended successfully"),
        ("@reboot", "Once after each boot"),
        ("@90", "90 seconds after the end of the previous run"),
        ("@5m", "5 minutes after the end of the previous run"),
        ("@1h", "1 hour after the end of the previous run"),
        ("0 0 L * *", "At 00:00 on the last day of every month"),
        ("0 0 L-1 * *", "At 00:00 on the day before the last day of every month"),
        ("0 0 L-3 2 *", "At 00:00 on the 3rd day before the last day of February"),
        ("0 0 1,15W,LW * *", "At 00:00 on day 1, the weekday nearest to day 15 and the last weekday of every month"),
        ("0 0 * * friL", "At 00:00 on the last Friday of every month"),
        ("0 0 * * tue#2", "At 00:00 on the second Tuesday of every month"),
        ("0 0 L * fri#1", "At 00:00 on the last day of every month and on the first Friday of every month"),
        ("0 0 30 2 *", "Never, because there is no such date: at 00:00 on 30 February"),
        ("0 5-1 * * *", "Never, because the range of hours runs backwards"),
        ("0 0 20-10 * fri", "At 00:00 every Friday"),
        ("@quartz 0 30 2 ? * 2-6 *", "At 02:30 every weekday"),
        ("@quartz 30 2 14 * * ?", "At 14:02:30 every day"),
        ("@quartz */10 * * * * * *", "Every 10 seconds"),
        ("@quartz 5/10 * * * * * *", "Every 10 seconds, at second 5"),
        ("@quartz 30 * * * * * *", "At second 30 of every minute"),
        ("@quartz 30 */5 * * * * *", "At second 30 of these minutes: every 5 minutes"),
        ("@quartz * 0 12 * * ? 2027", "Every second of these minutes: at 12:00 every day, in 2027"),
        ("@quartz 15 0 12 1 1 ? 2027-2029", "At 12:00:15 on 1 January, from 2027 to 2029"),
        ("@quartz 0 0 12 1 1 ? 2027,2030-2032", "At 12:00 on 1 January, in 2027 and from 2030 to 2032"),
    ] {
        assert_eq!(explain(&schedule(text)), words, "{text}");
    }
}

#[test]
fn what_is_drawn_is_said_as_that() {
    for (text, words) in [
        ("~ * * * *", "Once an hour, at a minute fixed for each entry"),
        ("0~29 * * * *", "Once an hour, at a minute from 0 to 29 fixed for each entry"),
        ("~ * * * 1-5", "Once an hour, at a minute fixed for each entry, every weekday"),
        ("~ 2 * * *", "Once from 02:00 to 02:59 every day, at a minute fixed for each entry"),
        ("0~9 2 1 * *", "Once from 02:00 to 02:09 on day 1 of every month, at a minute fixed for each entry"),
        ("~ 9-17 * * *", "Once an hour in hours 9 to 17, at a minute fixed for each entry"),
        ("~ ~ * * *", "Once a day, at a time fixed for each entry"),
        ("~ 1~5 * * mon", "Once every Monday, at a time from 01:00 to 05:59 fixed for each entry"),
        ("~/15 * * * *", "Every 15 minutes, at an offset fixed for each entry"),
        ("30 2 * * *", "At 02:30 every day"),
        ("0 5-1 * * *", "Never, because the range 5-1 runs backwards"),
        ("0 0 30 2 *", "Never, because there is no such date: at 00:00 on 30 February"),
    ] {
        assert_eq!(explain_as_written(&prefix(text)), words, "{text}");
    }
    let example = explain_as_written(&prefix("30 2 * * mon~fri"));
    let said = "With a day of the week from mon to fri, fixed for each entry; for example at 02:30 every ";
    assert!(example.starts_with(said), "{example}");
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
        (
            "@quartz 0 */15 2 * * * *",
            "Europe/Berlin",
            vec![
                "On 2027-03-28 these times do not exist in Europe/Berlin: runs at 03:00",
                "On 2027-10-31 these times come twice in Europe/Berlin: runs both times",
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
