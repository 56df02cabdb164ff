//! Coming runs as a calendar: iCalendar text (RFC 5545) of the starts that a daemon reports.
//!
//! A job that runs more than [`MOST_OF_DAY`] times on a day has one event of the whole day. The number of events has a limit, up to which whole days
//! are written.

use crate::crontab::printable;
use crate::schedule::{Day, Timestamp, Zone};
use crate::varlink::Time;
use crate::varlink::cron::{Filter, Job, NextArguments, NextStart};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

/// Most runs of a job on a day that have an event each.
pub const MOST_OF_DAY: usize = 24;
/// How many starts of each job are asked for, for one day. One more shows that there are more.
pub const ASKED_OF_DAY: usize = MOST_OF_DAY + 1;
/// Starts that the daemon answers with at most.
const MOST_ANSWERED: usize = 10_000;
/// Jobs that are asked for together where there are many: they have fewer starts than one answer can have.
const ASKED_TOGETHER: usize = MOST_ANSWERED / ASKED_OF_DAY - 1;
/// Most jobs that are asked for in this way.
pub const MOST_JOBS: usize = 20_000;
/// Most events of a calendar.
pub const MOST_EVENTS: usize = 10_000;
/// Most days of a calendar.
pub const MOST_DAYS: u32 = 366;
/// Most bytes of a line, without its end.
const LONGEST_LINE: usize = 75;
/// Most characters of a command in a description.
const LONGEST_COMMAND: usize = 500;

/// What a calendar has that has no events: the zone of the times that it would have.
const NO_EVENTS: [&str; 8] = [
    "BEGIN:VTIMEZONE",
    "TZID:Etc/UTC",
    "BEGIN:STANDARD",
    "DTSTART:19700101T000000",
    "TZOFFSETFROM:+0000",
    "TZOFFSETTO:+0000",
    "END:STANDARD",
    "END:VTIMEZONE",
];

/// A day, or what is left of the first one: the starts after `from` and up to `until` are of that day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DayRange {
    /// The day in the zone of the calendar.
    pub day: Day,
    /// The second before its first one.
    pub from: Timestamp,
    /// Its last second.
    pub until: Timestamp,
}

/// The days of a calendar, from now on.
pub fn days(now: Timestamp, count: u32, zone: &Zone) -> impl Iterator<Item = DayRange> {
    let range = |from: Timestamp| {
        let day = Day::at(Timestamp(from.0 + 1), zone);
        DayRange { day, from, until: Timestamp(day.end(zone).0 - 1) }
    };
    // A day that has no moments, which a zone that changes sides of the date line leaves out, must not stop the count.
    let next = move |last: &DayRange| Some(range(Timestamp(last.until.0.max(last.from.0 + 1))));
    std::iter::successors(Some(range(now)), next).take(count.min(MOST_DAYS) as usize)
}

/// A daemon that reports the starts of a calendar.
pub trait Daemon {
    /// The error of a failed call.
    type Error;
    /// Its starts that these arguments ask for.
    ///
    /// # Errors
    ///
    /// It refuses, or does not answer.
    fn starts(&mut self, arguments: &NextArguments) -> Result<Vec<NextStart>, Self::Error>;
    /// The jobs of a filter, at most [`MOST_JOBS`].
    ///
    /// # Errors
    ///
    /// It refuses, or does not answer.
    fn jobs(&mut self, filter: &Filter) -> Result<Vec<NamedJob>, Self::Error>;
}

/// A job that may be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedJob {
    /// The id of the job: USER:NAME.
    pub id: String,
    /// Its next start. None: it is not known, or there is none.
    pub next: Option<Timestamp>,
}

impl From<Job> for NamedJob {
    fn from(job: Job) -> NamedJob {
        NamedJob { id: job.job, next: job.next.map(|next| next.timestamp()) }
    }
}

/// A calendar that is being made.
#[derive(Debug)]
pub struct Calendar {
    host: String,
    written_at: Timestamp,
    events: Vec<Event>,
    /// The day with which the calendar ends because it has too many events.
    cut_at: Option<Day>,
    /// The jobs that are asked for in groups, once one answer does not have the starts of all.
    jobs: Vec<NamedJob>,
}

/// One run, or the runs of a job on a day.
#[derive(Debug)]
struct Event {
    start: NextStart,
    /// The day, for a job that runs often on it.
    whole_day: Option<DayRange>,
}

impl Calendar {
    /// A calendar without events. `host` is a part of the identifiers of its events.
    pub fn new(host: &str, written_at: Timestamp) -> Calendar {
        Calendar { host: host.to_owned(), written_at, events: Vec::new(), cut_at: None, jobs: Vec::new() }
    }

    /// Asks a daemon for the starts of a day, as often as it takes, and adds them. Returns those that were added if they are `wanted`, and whether the
    /// calendar takes a further day.
    ///
    /// A further question for the starts behind the last one would mostly be answered with those of jobs that run often, of which 25 are enough.
    /// So each question is for other jobs.
    ///
    /// # Errors
    ///
    /// Those of the daemon.
    pub fn ask_day<D: Daemon>(
        &mut self,
        range: DayRange,
        filter: &Filter,
        wanted: bool,
        daemon: &mut D,
    ) -> Result<(Vec<NextStart>, bool), D::Error> {
        let arguments = |jobs: Option<Vec<String>>| NextArguments {
            filter: Some(Filter { jobs: jobs.or_else(|| filter.jobs.clone()), ..filter.clone() }),
            from: Some(Time::from(range.from).to_string()),
            until: Some(Time::from(range.until).to_string()),
            count: Some(MOST_ANSWERED as u64),
            per_job: Some(ASKED_OF_DAY as u64),
        };
        if self.jobs.is_empty() {
            let starts = daemon.starts(&arguments(None))?;
            if starts.len() < MOST_ANSWERED {
                let told = if wanted { starts.clone() } else { Vec::new() };
                return Ok(self.add_told(range, told, events_of(range, starts), true));
            }
            self.jobs = daemon.jobs(filter)?;
        }
        let (mut told, mut events) = (Vec::new(), Vec::new());
        // More jobs than that are not asked for.
        let mut is_all = self.jobs.len() < MOST_JOBS;
        let may_start = |job: &&NamedJob| job.next.is_none_or(|next| next <= range.until);
        let names: Vec<String> = self.jobs.iter().filter(may_start).map(|job| job.id.clone()).collect();
        for group in names.chunks(ASKED_TOGETHER) {
            let starts = daemon.starts(&arguments(Some(group.to_vec())))?;
            is_all &= starts.len() < MOST_ANSWERED;
            if wanted {
                told.extend_from_slice(&starts);
            }
            events.extend(events_of(range, starts));
            // The day does not fit, whatever the others have.
            if self.events.len() + events.len() > MOST_EVENTS {
                is_all = false;
                break;
            }
        }
        told.sort_by_key(|start| start.at);
        events.sort_by_key(|event: &Event| event.start.at);
        Ok(self.add_told(range, told, events, is_all))
    }

    /// Adds the events of a day. Returns its starts, none if the day does not fit, and whether the calendar takes a further day.
    fn add_told(
        &mut self,
        range: DayRange,
        told: Vec<NextStart>,
        events: Vec<Event>,
        is_all: bool,
    ) -> (Vec<NextStart>, bool) {
        let is_first = self.events.is_empty();
        let takes_more = self.add_events(range, events, is_all);
        (if takes_more || is_first { told } else { Vec::new() }, takes_more)
    }

    /// Adds the starts of a day, of each job at most [`ASKED_OF_DAY`]. Returns whether the calendar takes a further day.
    pub fn add_day(&mut self, range: DayRange, starts: Vec<NextStart>) -> bool {
        self.add_events(range, events_of(range, starts), true)
    }

    /// Adds the events of a day. `is_all`: there are no more.
    fn add_events(&mut self, range: DayRange, mut events: Vec<Event>, is_all: bool) -> bool {
        if !is_all || self.events.len() + events.len() > MOST_EVENTS {
            // Whole days only: a part of one would look as if nothing else ran on it. The first day is better than nothing.
            if self.events.is_empty() {
                events.truncate(MOST_EVENTS);
                self.events = events;
            }
            self.cut_at = Some(range.day);
            return false;
        }
        self.events.extend(events);
        true
    }

    /// The jobs with runs, in the order of their first ones, at most so many. Their mean durations can be given to [`Calendar::text`].
    pub fn jobs(&self, most: usize) -> Vec<String> {
        let mut jobs: Vec<String> = Vec::new();
        let mut seen = HashMap::new();
        for event in self.events.iter().filter(|event| event.whole_day.is_none()) {
            if jobs.len() < most && seen.insert(&event.start.job, ()).is_none() {
                jobs.push(event.start.job.clone());
            }
        }
        jobs
    }

    /// The day with which the calendar ends, if there were too many events for all days that were asked for.
    pub fn cut_at(&self) -> Option<Day> {
        self.cut_at
    }

    /// The text. `durations`: mean durations of jobs in seconds.
    pub fn text(&self, durations: &HashMap<String, f64>) -> String {
        self.head() + &self.rest(durations)
    }

    /// The beginning of the text, which does not depend on what runs.
    pub fn head(&self) -> String {
        let mut text = Text::default();
        text.line("BEGIN:VCALENDAR");
        text.line("VERSION:2.0");
        text.line(&format!("PRODID:-//cronwheel//cronctl {}//EN", env!("CARGO_PKG_VERSION")));
        text.line("CALSCALE:GREGORIAN");
        let name = escaped(&format!("cron jobs of {}", self.host));
        text.line(&format!("NAME:{name}"));
        text.line(&format!("X-WR-CALNAME:{name}"));
        text.line("REFRESH-INTERVAL;VALUE=DURATION:PT1H");
        text.line("X-PUBLISHED-TTL:PT1H");
        text.text
    }

    /// The text behind [`Calendar::head`], to its end.
    pub fn rest(&self, durations: &HashMap<String, f64>) -> String {
        let mut text = Text::default();
        if let Some(day) = self.cut_at {
            let why = format!("More than {MOST_EVENTS} runs: the calendar ends before or on {}.", iso(day));
            text.line(&format!("DESCRIPTION:{}", escaped(&why)));
            text.line(&format!("X-WR-CALDESC:{}", escaped(&why)));
        }
        if self.events.is_empty() {
            // A calendar has at least one component (RFC 5545, 3.4).
            for line in NO_EVENTS {
                text.line(line);
            }
        }
        for event in &self.events {
            self.write_event(event, durations, &mut text);
        }
        text.line("END:VCALENDAR");
        text.text
    }

    fn write_event(&self, event: &Event, durations: &HashMap<String, f64>, text: &mut Text) {
        let NextStart { at, job, user, command, schedule, zone, source, line } = &event.start;
        let moment = utc(at.timestamp());
        text.line("BEGIN:VEVENT");
        let when = event.whole_day.map_or(moment.clone(), |range| range.day.to_string());
        text.line(&format!("UID:{}", escaped(&format!("{when}-{job}@{}", self.host))));
        text.line(&format!("DTSTAMP:{}", utc(self.written_at)));
        let often = match event.whole_day {
            Some(range) => {
                text.line(&format!("DTSTART;VALUE=DATE:{}", range.day));
                format!("Runs more than {MOST_OF_DAY} times on this day, from {} on.\n", at.timestamp())
            }
            None => {
                text.line(&format!("DTSTART:{moment}"));
                if let Some(duration) = durations.get(job) {
                    text.line(&format!("DURATION:{}", length(*duration)));
                }
                String::new()
            }
        };
        text.line(&format!("SUMMARY:{}", escaped(&printable(job.as_bytes()))));
        let shown = |text: &str| printable(text.as_bytes());
        let command: String = shown(command).chars().take(LONGEST_COMMAND).collect();
        let zone = if zone.is_empty() { String::new() } else { format!(" ({})", shown(zone)) };
        let schedule = shown(schedule);
        let details = format!("{often}{command}\n{schedule}{zone}\n{}, line {line}", shown(source));
        text.line(&format!("DESCRIPTION:{}", escaped(&details)));
        text.line(&format!("CATEGORIES:cron,{}", escaped(&shown(user))));
        // Nobody is busy because a job runs.
        text.line("TRANSP:TRANSPARENT");
        text.line("END:VEVENT");
    }
}

/// The events of the starts of a day.
fn events_of(range: DayRange, starts: Vec<NextStart>) -> Vec<Event> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    for start in &starts {
        *counts.entry(start.job.clone()).or_default() += 1;
    }
    let is_often = |job: &str| counts.get(job).is_some_and(|count| *count > MOST_OF_DAY);
    let mut events: Vec<Event> = Vec::new();
    let mut seen = BTreeMap::new();
    for start in starts {
        if is_often(&start.job) {
            if seen.insert(start.job.clone(), ()).is_none() {
                events.push(Event { start, whole_day: Some(range) });
            }
        } else {
            events.push(Event { start, whole_day: None });
        }
    }
    events
}

/// Lines that end with CR and LF, and are folded where they are long.
#[derive(Debug, Default)]
struct Text {
    text: String,
}

impl Text {
    fn line(&mut self, line: &str) {
        let mut length = 0;
        for char in line.chars() {
            if length + char.len_utf8() > LONGEST_LINE {
                self.text.push_str("\r\n ");
                length = 1;
            }
            self.text.push(char);
            length += char.len_utf8();
        }
        self.text.push_str("\r\n");
    }
}

/// A value of the type TEXT. Control characters, which it cannot have, become U+FFFD.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '\\' | ';' | ',' => escaped.extend(['\\', char]),
            '\n' => escaped.push_str("\\n"),
            char if char.is_control() => escaped.push('\u{fffd}'),
            char => escaped.push(char),
        }
    }
    escaped
}

/// `20261127T101500Z`.
fn utc(moment: Timestamp) -> String {
    moment.to_string().chars().filter(|char| !matches!(char, '-' | ':')).collect()
}

/// `2026-11-27`.
fn iso(day: Day) -> String {
    let text = day.to_string();
    match (text.get(..4), text.get(4..6), text.get(6..)) {
        (Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        _ => text,
    }
}

/// `PT1H2M3S`, at least a second.
fn length(seconds: f64) -> String {
    /// No event is longer: a year.
    const LONGEST: f64 = 366.0 * 86_400.0;
    let seconds = seconds.round().clamp(1.0, LONGEST) as u64;
    let mut text = "PT".to_owned();
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    // Hours are not followed by seconds alone.
    let has_minutes = minutes > 0 || (hours > 0 && seconds > 0);
    for (number, unit, is_written) in
        [(hours, 'H', hours > 0), (minutes, 'M', has_minutes), (seconds, 'S', seconds > 0)]
    {
        if is_written {
            // Writing to a string cannot fail.
            let _ = write!(text, "{number}{unit}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: Timestamp = Timestamp(1_795_780_800);

    fn start(job: &str, at: i64) -> NextStart {
        NextStart {
            at: Time::from(Timestamp(at)),
            job: job.to_owned(),
            user: "alice".to_owned(),
            command: "echo a, b; echo \\ 'é'\u{1b}[1m".to_owned(),
            schedule: "0 * * * *".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            source: "/var/spool/cron/crontabs/alice".to_owned(),
            line: 3,
        }
    }

    fn range(zone: &Zone) -> DayRange {
        days(NOON, 1, zone).next().unwrap()
    }

    #[test]
    fn days_begin_now_and_follow_each_other() {
        let utc = Zone::utc();
        let found: Vec<DayRange> = days(NOON, 3, &utc).collect();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].from, found[0].day.to_string().as_str()), (NOON, "20261127"));
        assert_eq!((found[0].until, found[1].from), (Timestamp(1_795_823_999), Timestamp(1_795_823_999)));
        assert_eq!(found[2].day.since(found[0].day), 2);
        assert_eq!(days(NOON, 100_000, &utc).count(), MOST_DAYS as usize);
    }

    #[test]
    fn a_run_is_an_event_with_its_mean_duration() {
        let mut calendar = Calendar::new("host", NOON);
        assert!(calendar.add_day(range(&Zone::utc()), vec![start("alice:a", NOON.0 + 60)]));
        assert_eq!(calendar.jobs(10), ["alice:a"]);
        let text = calendar.text(&HashMap::from([("alice:a".to_owned(), 3_725.4)]));
        assert!(
            text.lines().all(|line| line.len() <= LONGEST_LINE) && text.matches("\r\n").count() == text.lines().count()
        );
        let unfolded = text.replace("\r\n ", "");
        for line in [
            "UID:20261127T120100Z-alice:a@host",
            "DTSTAMP:20261127T120000Z",
            "DTSTART:20261127T120100Z",
            "DURATION:PT1H2M5S",
            "SUMMARY:alice:a",
            "DESCRIPTION:echo a\\, b\\; echo \\\\ 'é'\\\\x1b[1m\\n0 * * * * (Europe/Berlin)\\n/var/spool/cron/crontabs/alice\\, line 3",
            "CATEGORIES:cron,alice",
        ] {
            assert!(unfolded.contains(&format!("\r\n{line}\r\n")), "{line}\n{unfolded}");
        }
    }

    #[test]
    fn a_job_that_runs_often_on_a_day_is_one_event() {
        let mut calendar = Calendar::new("host", NOON);
        let often = (1..=25).map(|number| start("alice:often", NOON.0 + 60 * number));
        let seldom = (1..=24).map(|number| start("alice:seldom", NOON.0 + 60 * number));
        assert!(calendar.add_day(range(&Zone::utc()), often.chain(seldom).collect()));
        let text = calendar.text(&HashMap::new());
        assert_eq!(text.matches("BEGIN:VEVENT").count(), 25);
        assert_eq!(text.matches("DTSTART;VALUE=DATE:20261127").count(), 1);
        assert!(text.contains("UID:20261127-alice:often@host") && text.contains("more than 24 times"));
    }

    #[test]
    fn the_calendar_ends_with_the_last_day_that_fits() {
        let mut calendar = Calendar::new("host", NOON);
        let mut ranges = days(NOON, 30, &Zone::utc()).collect::<Vec<_>>().into_iter();
        let day = |count: usize| (0..count).map(|number| start(&format!("alice:{number}"), NOON.0 + 60)).collect();
        assert!(calendar.add_day(ranges.next().unwrap(), day(6_000)));
        let second = ranges.next().unwrap();
        assert!(!calendar.add_day(second, day(6_000)));
        assert_eq!(calendar.cut_at(), Some(second.day));
        let text = calendar.text(&HashMap::new());
        assert!(text.matches("BEGIN:VEVENT").count() == 6_000 && text.contains("ends before or on 2026-11-28"));
        let mut calendar = Calendar::new("host", NOON);
        assert!(!calendar.add_day(range(&Zone::utc()), day(10_001)));
        assert_eq!(calendar.text(&HashMap::new()).matches("BEGIN:VEVENT").count(), MOST_EVENTS);
    }

    #[test]
    fn a_calendar_without_events_has_a_component() {
        let text = Calendar::new("host", NOON).text(&HashMap::new());
        assert!(text.contains("\r\nBEGIN:VTIMEZONE\r\n") && !text.contains("VEVENT"), "{text}");
    }

    /// Jobs that start each minute, and one that starts in the evening.
    struct Many {
        jobs: Vec<String>,
        questions: usize,
    }

    impl Daemon for Many {
        type Error = ();

        fn starts(&mut self, arguments: &NextArguments) -> Result<Vec<NextStart>, ()> {
            self.questions += 1;
            let of_day = |name: &String| if name == "z:evening" { 1 } else { arguments.per_job.unwrap() as i64 };
            let wanted = arguments.filter.clone().unwrap().jobs.unwrap_or_else(|| self.jobs.clone());
            let from = Timestamp::parse_rfc3339(arguments.from.as_deref().unwrap()).unwrap();
            let at = |name: &String, number: i64| from.0 + if name == "z:evening" { 3_600 * 8 } else { 60 * number };
            let starts =
                wanted.iter().flat_map(|name| (1..=of_day(name)).map(move |number| start(name, at(name, number))));
            let mut starts: Vec<NextStart> = starts.collect();
            starts.sort_by_key(|start| start.at);
            starts.truncate(arguments.count.unwrap() as usize);
            Ok(starts)
        }

        fn jobs(&mut self, _: &Filter) -> Result<Vec<NamedJob>, ()> {
            let next = |name: &String| (name == "z:evening").then_some(Timestamp(NOON.0 + 3_600 * 8));
            Ok(self.jobs.iter().map(|name| NamedJob { id: name.clone(), next: next(name) }).collect())
        }
    }

    #[test]
    fn a_day_with_more_starts_than_one_answer_has_is_asked_for_in_parts() {
        let jobs = (0..450).map(|number| format!("a:{number}")).chain(["z:evening".to_owned()]).collect();
        let mut daemon = Many { jobs, questions: 0 };
        let mut calendar = Calendar::new("host", NOON);
        for range in days(NOON, 5, &Zone::utc()) {
            let (told, takes_more) = calendar.ask_day(range, &Filter::default(), true, &mut daemon).unwrap();
            assert!(takes_more && told.len() == 450 * ASKED_OF_DAY + 1 && told.is_sorted_by_key(|start| start.at));
        }
        assert_eq!((calendar.cut_at(), daemon.questions), (None, 1 + 5 * 2));
        let text = calendar.text(&HashMap::new());
        assert_eq!((text.matches("VALUE=DATE:").count(), text.matches("BEGIN:VEVENT").count()), (450 * 5, 451 * 5));
    }

    #[test]
    fn jobs_are_not_asked_for_before_they_start() {
        let names = (0..450).map(|number| format!("a:{number}"));
        let mut daemon = Many { jobs: names.clone().collect(), questions: 0 };
        let mut calendar = Calendar::new("host", NOON);
        let utc = Zone::utc();
        let mut ranges = days(NOON, 3, &utc);
        calendar.ask_day(ranges.next().unwrap(), &Filter::default(), false, &mut daemon).unwrap();
        assert_eq!(daemon.questions, 1 + 2);
        let range = ranges.next().unwrap();
        for (place, job) in calendar.jobs.iter_mut().enumerate() {
            job.next = Some(Timestamp(range.until.0 + i64::from(place >= ASKED_TOGETHER)));
        }
        let (told, _) = calendar.ask_day(range, &Filter::default(), true, &mut daemon).unwrap();
        assert_eq!((daemon.questions, told.len()), (1 + 2 + 1, ASKED_TOGETHER * ASKED_OF_DAY));
        let (told, _) = calendar.ask_day(ranges.next().unwrap(), &Filter::default(), true, &mut daemon).unwrap();
        assert_eq!((daemon.questions, told.len()), (1 + 2 + 1 + 2, 450 * ASKED_OF_DAY));
    }

    #[test]
    fn a_day_that_does_not_fit_is_not_asked_for_to_its_end() {
        // Of 9,000 jobs that run often, each day has an event of each.
        let jobs = (0..9_000).map(|number| format!("a:{number}")).collect();
        let mut daemon = Many { jobs, questions: 0 };
        let mut calendar = Calendar::new("host", NOON);
        let utc = Zone::utc();
        let mut ranges = days(NOON, 5, &utc);
        let mut ask =
            |daemon: &mut Many| calendar.ask_day(ranges.next().unwrap(), &Filter::default(), true, daemon).unwrap();
        let (told, takes_more) = ask(&mut daemon);
        assert!((told.len(), takes_more) == (9_000 * ASKED_OF_DAY, true) && daemon.questions == 1 + 23);
        let (told, takes_more) = ask(&mut daemon);
        assert!((told.len(), takes_more) == (0, false) && daemon.questions == 1 + 23 + 3);
        assert!(calendar.cut_at().is_some());
    }

    #[test]
    fn durations_have_units() {
        for (seconds, text) in
            [(0.0, "PT1S"), (59.6, "PT1M"), (3600.0, "PT1H"), (90_061.0, "PT25H1M1S"), (3605.0, "PT1H0M5S")]
        {
            assert_eq!(length(seconds), text);
        }
    }
}
