//! The lines of the screen.

use super::data::MOST_LISTED;
use super::state::{Log, Page, Question, State, is_failing};
use super::tty::{Piece, ScreenLine};
use crate::cli::cronctl::job_text;
use crate::cli::cronctl::screen::{self, Cell, Column, Screen, TextStyle, cells, fit};
use crate::crontab::printable;
use crate::schedule::{Zone, rounded_duration};
use crate::timeline::{Charset, TextOptions, text};
use crate::varlink::cron::Job;

/// Rows of the screen below which the timeline is left out.
const LEAST_FOR_TIMELINE: usize = 18;
/// Lines of a timeline besides its rows.
const AXIS: usize = 5;
/// Lines above and below the list of jobs: title, summary, headings, and the last line.
const AROUND: usize = 4;
/// A command is not shown in less than this.
const LEAST_COMMAND: usize = 8;
/// Width of the gap between two columns, in characters.
const GAP: usize = 2;

/// The heading of the column of last runs.
const LAST: &str = "LAST";

const COLUMNS: [Column; 5] = [
    Column { heading: "JOB", most: 30 },
    Column { heading: "STATE", most: 24 },
    Column { heading: LAST, most: 32 },
    Column { heading: "NEXT", most: 9 },
    Column { heading: "COMMAND", most: 200 },
];

const KEYS: [(&str, &str); 12] = [
    ("Up, Down, PgUp, PgDn", "select a job"),
    ("Enter, l", "show its output, as it is written"),
    ("r", "run it now"),
    ("p", "pause it for an hour"),
    ("u", "resume it (unpause)"),
    ("k", "end its oldest run, else cancel what waits; asks first"),
    ("/", "show only jobs with this text in name, command or state"),
    ("Esc", "show all jobs again"),
    ("?", "this help"),
    ("Ctrl-L", "draw the screen anew"),
    ("Ctrl-Z", "stop; fg continues"),
    ("q, Ctrl-C", "quit"),
];

/// How many rows the timeline has on a screen with so many rows.
pub(super) fn timeline_rows(height: usize) -> usize {
    if height < LEAST_FOR_TIMELINE { 0 } else { (height / 4).clamp(3, 14) - 1 }
}

/// The lines of the whole screen, at most `height`.
pub(super) fn lines(state: &mut State, screen: &Screen, height: usize) -> Vec<ScreenLine> {
    let width = screen.width.unwrap_or(80);
    let mut lines = vec![title(state, screen, width), summary(state, screen)];
    let room = height.saturating_sub(AROUND - 1);
    match &state.page {
        Page::Jobs => {
            let below = timeline(state, &screen.zone, width, height);
            let fitting = height.saturating_sub(AROUND + below.len());
            state.scroll(fitting);
            lines.extend(jobs(state, screen, fitting));
            lines.extend(below);
        }
        Page::Help => lines.extend(help()),
        Page::Log(log) => {
            lines.extend(log_lines(log, room, width));
            state.fitting = room.saturating_sub(1);
        }
    }
    lines.truncate(height.saturating_sub(1));
    lines.resize(height.saturating_sub(1), ScreenLine::default());
    lines.push(last_line(state, width));
    lines
}

fn line(pieces: Vec<Piece>) -> ScreenLine {
    ScreenLine { pieces, is_selected: false }
}

fn title(state: &State, screen: &Screen, width: usize) -> ScreenLine {
    let name = match &state.status {
        Some(status) => {
            let since = rounded_duration(screen.seconds_since(status.started_at).max(0.0));
            let version = printable(status.version.as_bytes());
            format!("cronwheel {version}  pid {}  up {since}", status.pid)
        }
        None => "cronwheel".to_owned(),
    };
    let clock = screen.zone.to_rfc3339(screen.now).get(11..19).unwrap_or_default().to_owned();
    let blanks = width.saturating_sub(cells(&name) + clock.len());
    line(vec![(TextStyle::Heading, name), (TextStyle::Plain, " ".repeat(blanks)), (TextStyle::Heading, clock)])
}

fn summary(state: &State, screen: &Screen) -> ScreenLine {
    if let Some(problem) = &state.problem {
        return line(vec![(TextStyle::Bad, problem.clone())]);
    }
    let Some(status) = &state.status else { return line(vec![(TextStyle::Dim, "asking the daemon".to_owned())]) };
    let part = |number: usize, word: &str, style| {
        (if number > 0 { style } else { TextStyle::Dim }, format!("{number} {word}   "))
    };
    let mut pieces = vec![
        part(status.failing, "failing", TextStyle::Bad),
        part(status.late, "late", TextStyle::Bad),
        part(status.running, "running", TextStyle::Live),
        part(status.waiting, "waiting", TextStyle::Held),
        part(status.paused, "paused", TextStyle::Held),
        (TextStyle::Plain, format!("{} jobs   ", status.entries)),
    ];
    let next = state.shown().filter_map(|job| job.next).min().or(status.next);
    if let Some(next) = next {
        pieces.push((TextStyle::Plain, format!("next {}", screen.relative(next))));
    }
    line(pieces)
}

/// The widths of columns. The command takes what the others leave, if that is enough.
fn widths(rows: &[Vec<Cell>], available: Option<usize>) -> Vec<usize> {
    let Some((command, others)) = COLUMNS.split_last() else { return Vec::new() };
    let mut widths = screen::widths(others, rows, available, None);
    let used: usize = widths.iter().map(|width| width + GAP).sum();
    let left = available.map_or(command.most, |available| available.saturating_sub(used)).min(command.most);
    widths.push(if left >= LEAST_COMMAND { left } else { 0 });
    widths
}

/// The headings and the jobs that fit.
fn jobs(state: &State, screen: &Screen, fitting: usize) -> Vec<ScreenLine> {
    let shown: Vec<&Job> = state.shown().skip(state.first).take(fitting).collect();
    let rows: Vec<Vec<Cell>> = shown.iter().map(|job| row(job, screen)).collect();
    let widths = widths(&rows, screen.width);
    let headings = COLUMNS.iter().map(|column| Cell::painted(TextStyle::Heading, column.heading)).collect();
    let mut lines = vec![line(pieces(headings, &widths))];
    let selected = state.selected_place().saturating_sub(state.first);
    for (number, row) in rows.into_iter().enumerate() {
        lines.push(ScreenLine { pieces: pieces(row, &widths), is_selected: number == selected });
    }
    if shown.is_empty() {
        let what = match &state.status {
            None => "",
            Some(_) if state.filter.is_empty() => "there are no jobs that you may see",
            Some(_) => "no job has this text",
        };
        lines.push(line(vec![(TextStyle::Dim, what.to_owned())]));
    }
    lines.resize(fitting + 1, ScreenLine::default());
    lines
}

fn row(job: &Job, screen: &Screen) -> Vec<Cell> {
    let name = if is_failing(job) { Cell::painted(TextStyle::Bad, &job.job) } else { Cell::of(&job.job) };
    vec![
        name,
        job_text::state(job, screen),
        job_text::last(job, screen),
        Cell::of(&job.next.map_or_else(|| "-".to_owned(), |next| screen.far_off(next.timestamp()))),
        Cell::of(&job.command),
    ]
}

fn pieces(row: Vec<Cell>, widths: &[usize]) -> Vec<Piece> {
    let columns = row.into_iter().zip(widths).zip(&COLUMNS).filter(|((_, width), _)| **width > 0);
    columns
        .flat_map(|((cell, width), column)| {
            let (text, style) = cell.into_parts();
            let text = if column.heading == LAST { fit_last(&text, *width) } else { fit(&text, *width) };
            let blanks = width.saturating_sub(cells(&text)) + GAP;
            [(style, text), (TextStyle::Plain, " ".repeat(blanks))]
        })
        .collect()
}

/// A last run in so many cells: where it is too long, without how long it took.
fn fit_last(text: &str, width: usize) -> String {
    match text.rsplit_once(" (") {
        Some((outcome, _)) if cells(text) > width && cells(outcome) <= width => outcome.to_owned(),
        _ => fit(text, width),
    }
}

/// The timeline of the hour.
fn timeline(state: &State, zone: &Zone, width: usize, height: usize) -> Vec<ScreenLine> {
    let (Some(timeline), rows @ 1..) = (&state.timeline, timeline_rows(height)) else { return Vec::new() };
    let charset = screen::charset();
    let options = TextOptions { width, charset, is_complete: false };
    let drawn = text(timeline, &options).into_iter().take(rows + AXIS);
    let drawn = drawn.map(|spans| line(spans.into_iter().map(|span| (screen::ink_of(span.role), span.text)).collect()));
    let rule = if charset == Charset::Unicode { "─" } else { "-" };
    let rule = match state.known_until {
        Some(until) => {
            let known = zone.to_rfc3339(until);
            let text = format!("{0}{0} starts are shown until {1} only ", rule, known.get(11..19).unwrap_or_default());
            let rest = rule.repeat(width.saturating_sub(cells(&text)));
            line(vec![(TextStyle::Held, fit(&text, width)), (TextStyle::Dim, rest)])
        }
        None => line(vec![(TextStyle::Dim, rule.repeat(width))]),
    };
    let mut lines = vec![rule];
    lines.extend(drawn);
    lines
}

fn help() -> Vec<ScreenLine> {
    let keys = KEYS.iter().map(|(keys, what)| {
        line(vec![(TextStyle::Heading, format!("  {keys:<22}")), (TextStyle::Plain, (*what).to_owned())])
    });
    [line(vec![]), line(vec![(TextStyle::Heading, "Keys".to_owned())])].into_iter().chain(keys).collect()
}

/// The part of the output that fits above the end.
fn log_lines(log: &Log, room: usize, width: usize) -> Vec<ScreenLine> {
    let what = match (log.is_lost, log.is_live) {
        (true, _) => "connection lost",
        (_, true) => "running",
        (_, false) => "ended",
    };
    let mut lines = vec![line(vec![(TextStyle::Heading, format!("Output of run {} of {}, {what}", log.run, log.job))])];
    let fitting = room.saturating_sub(1);
    let end = log.lines.len().saturating_sub(log.above_end);
    let begin = end.saturating_sub(fitting);
    let shown = log.lines.get(begin..end).unwrap_or_default();
    lines.extend(shown.iter().map(|text| line(vec![(TextStyle::Plain, fit(text, width))])));
    if log.lines.is_empty() {
        lines.push(line(vec![(TextStyle::Dim, "no output".to_owned())]));
    }
    lines
}

/// A question, a message, the filter, or the most important keys.
fn last_line(state: &State, width: usize) -> ScreenLine {
    let pieces = match (&state.question, &state.message, &state.page) {
        (Some(Question::Kill { text, .. }), ..) => {
            vec![(TextStyle::Notable, format!("{} (y/n)", printable(text.as_bytes())))]
        }
        (None, Some((style, text)), _) => vec![(*style, text.clone())],
        (None, None, Page::Jobs) if state.is_filter_typed => {
            vec![(TextStyle::Heading, "Filter: ".to_owned()), (TextStyle::Plain, format!("{}_", state.filter))]
        }
        (None, None, Page::Jobs) if !state.filter.is_empty() => {
            let first = if state.has_more { format!("   first {MOST_LISTED} matches") } else { String::new() };
            let all = if state.is_filtered { "ends the search" } else { "shows all" };
            vec![(TextStyle::Held, format!("Filter: {}{first}   Esc {all}", state.filter))]
        }
        (None, None, Page::Jobs) if state.unseen_failing() > 0 => {
            let (count, failing) = (state.job_count(), state.unseen_failing());
            let text = format!("showing {count} jobs; {failing} more are failing: cronctl status");
            vec![(TextStyle::Bad, text)]
        }
        (None, None, Page::Jobs) if state.is_filtered => {
            let text =
                format!("{} jobs that fail, run, wait or are next   / searches all  ? help  q quit", state.job_count());
            vec![(TextStyle::Dim, text)]
        }
        (None, None, Page::Jobs) => {
            vec![(
                TextStyle::Dim,
                "Enter output  r run  p pause  u resume  k kill  / filter  ? help  q quit".to_owned(),
            )]
        }
        (None, None, Page::Help) => vec![(TextStyle::Dim, "any key goes back".to_owned())],
        (None, None, Page::Log(_)) => vec![(TextStyle::Dim, "Up, Down, PgUp, PgDn scroll   q goes back".to_owned())],
    };
    line(pieces.into_iter().map(|(style, text)| (style, fit(&text, width))).collect())
}

#[cfg(test)]
mod tests {
    use super::super::keys::Key;
    use super::super::state::tests::job;
    use super::*;
    use crate::schedule::Timestamp;
    use crate::timeline::{Builder, Grouping, Range};
    use crate::varlink::Time;
    use crate::varlink::cron::Status;

    fn drawn(state: &mut State, width: usize, height: usize) -> Vec<String> {
        let screen = Screen { width: Some(width), has_colours: true, now: Timestamp(60), zone: Zone::utc() };
        let lines = lines(state, &screen, height);
        lines.iter().map(|line| line.pieces.iter().map(|(_, text)| text.as_str()).collect::<String>()).collect()
    }

    #[test]
    fn the_screen_is_full_and_lines_fit_at_any_size() {
        for (width, height) in [(80, 24), (40, 10), (200, 60), (80, 5)] {
            let mut state = State::default();
            let hostile = job("alice:\u{1b}[2J日本語日本語日本語日本語", "running", 100);
            state.set_jobs(vec![hostile, job("bob:next", "idle", 90)]);
            for key in [None, Some(Key::Character('?')), Some(Key::Escape), Some(Key::Character('/'))] {
                key.map(|key| state.press(key));
                let lines = drawn(&mut state, width, height);
                assert_eq!(lines.len(), height);
                let long = lines.iter().skip(2).find(|line| cells(line.trim_end()) > width);
                assert!(long.is_none() || width == 40, "{width}x{height}: {long:?}");
                assert!(lines.iter().all(|line| !line.contains('\u{1b}')), "{lines:?}");
            }
        }
    }

    #[test]
    fn a_command_is_cut_before_states_and_outcomes_are() {
        let name = Cell::of(&"j".repeat(25));
        let row = |last: usize| vec![vec![name.clone(), Cell::of("running 1m05s"), Cell::of(&"x".repeat(last))]];
        assert_eq!(widths(&row(15), Some(80)), [25, 13, 15, 4, 15]);
        assert_eq!(widths(&row(27), Some(80)), [25, 13, 27, 4, 0]);
    }

    #[test]
    fn questions_and_problems_are_told() {
        let mut state = State::default();
        state.set_jobs(vec![job("alice:endless", "running", 100)]);
        state.press(Key::Character('k'));
        assert!(drawn(&mut state, 80, 24)[23].starts_with("End run 7 of alice:endless? (y/n)"));
        state.press(Key::Character('n'));
        state.problem = Some("no daemon answers".to_owned());
        assert_eq!(drawn(&mut state, 80, 24)[1], "no daemon answers");
        let first = drawn(&mut State::default(), 80, 24);
        assert_eq!(first[1], "asking the daemon");
        assert!(!first.iter().any(|line| line.contains("no job")), "{first:#?}");
    }

    #[test]
    fn a_filter_says_what_it_leaves_out_and_what_comes_after_it() {
        let mut state = State::default();
        state.filter.push_str("alice");
        let mut last = |has_more, is_filtered| {
            (state.has_more, state.is_filtered) = (has_more, is_filtered);
            drawn(&mut state, 80, 24).remove(23).trim_end().to_owned()
        };
        assert_eq!(last(false, false), "Filter: alice   Esc shows all");
        assert_eq!(last(false, true), "Filter: alice   Esc ends the search");
        assert_eq!(last(true, true), "Filter: alice   first 1000 matches   Esc ends the search");
    }

    #[test]
    fn what_is_not_looked_at_is_told() {
        let status = Status {
            version: "1".to_owned(),
            pid: 1,
            profile: "debian".to_owned(),
            standalone: false,
            started_at: Time(0),
            tables: 1,
            entries: 9,
            refused: Vec::new(),
            running: 0,
            waiting: 0,
            paused: 0,
            failing: 3,
            late: 0,
            next: None,
            history: "on".to_owned(),
            log_dropped: 0,
            old_executors: 0,
            paused_all_until: None,
            fleet: None,
        };
        let mut state = State::default();
        (state.status, state.has_more) = (Some(status), true);
        state.set_jobs(vec![Job { failures: 1, ..job("alice:fails", "idle", 100) }]);
        let last = drawn(&mut state, 80, 24).remove(23);
        assert!(last.starts_with("showing 1 jobs; 2 more are failing"), "{last}");
        let range = Range::of(Timestamp(0), Timestamp(3_600));
        let builder = Builder::new(range, Timestamp(60), Zone::utc(), Grouping::Job, 5);
        state.timeline = Some(builder.finish());
        state.known_until = Some(Timestamp(600));
        let lines = drawn(&mut state, 80, 24);
        assert!(lines.iter().any(|line| line.contains("starts are shown until 00:10:00 only")), "{lines:#?}");
    }
}
