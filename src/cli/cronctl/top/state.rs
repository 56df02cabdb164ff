//! What the view shows, and what keys do with it.

use super::keys::Key;
use crate::cli::cronctl::screen::TextStyle;
use crate::report::text;
use crate::schedule::Timestamp;
use crate::timeline::Timeline;
use crate::varlink::cron::{Job, Status};

/// Lines of output that are kept, and bytes of them together.
const MOST_LINES: usize = 5_000;
const MOST_BYTES: usize = 4 << 20;
/// Bytes of a line that are kept, and what is shown for the rest.
const LONGEST_LINE: usize = 4 << 10;
const REST: &str = " [...]";
/// Most characters of a filter.
const LONGEST_FILTER: usize = 60;

/// The page that the screen shows.
#[derive(Debug, Default)]
pub(super) enum Page {
    #[default]
    Jobs,
    Help,
    Log(Log),
}

/// The output of a run.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The job, for the title.
    pub(super) job: String,
    pub(super) run: u64,
    /// Whether the run is in progress.
    pub(super) is_live: bool,
    /// Whether the connection ended before the run.
    pub(super) is_lost: bool,
    /// The newest lines of the output, with control characters as escapes.
    pub(super) lines: Vec<String>,
    /// How many bytes these lines have.
    pub(super) size: usize,
    /// The last line as the job has written it, while it has not ended.
    pub(super) open: Option<OpenLine>,
    /// How many lines are below the screen.
    pub(super) above_end: usize,
}

/// The beginning of a line of output whose end has not arrived yet.
#[derive(Debug, Default)]
pub(super) struct OpenLine {
    bytes: Vec<u8>,
    /// Whether bytes are left out because the line is long.
    is_cut: bool,
    /// Whether a carriage return was last: what follows takes the place of the line.
    is_returned: bool,
}

/// A question on the screen that the user has not answered yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether this run of a job shall be ended, or what waits of it; what is asked.
    Kill { job: String, run: Option<u64>, text: String },
}

/// What a key asks for that the view cannot do itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Run(String),
    Pause(String),
    Resume(String),
    /// A run of a job. None: what waits of it.
    Kill(String, Option<u64>),
    OpenLog(String),
    CloseLog,
    Suspend,
    Redraw,
    Quit,
}

/// The state of the screen: what the daemon has reported, and what the user has selected.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) status: Option<Status>,
    /// In the order in which they are shown, without regard to the filter.
    jobs: Vec<Job>,
    pub(super) timeline: Option<Timeline>,
    /// Until when its coming starts are known, if there are too many for all.
    pub(super) known_until: Option<Timestamp>,
    /// Whether there are more jobs than are examined.
    pub(super) has_more: bool,
    /// Whether only those are listed that match the filter, or without one those that fail, run, wait or come next.
    pub(super) is_filtered: bool,
    /// Why there is nothing new: the daemon does not answer.
    pub(super) problem: Option<String>,
    pub(super) page: Page,
    pub(super) filter: String,
    pub(super) is_filter_typed: bool,
    pub(super) question: Option<Question>,
    pub(super) message: Option<(TextStyle, String)>,
    /// The job that is selected.
    selected: Option<String>,
    /// The first job on the screen, and how many fit.
    pub(super) first: usize,
    pub(super) fitting: usize,
}

impl State {
    /// Replaces the list of jobs, and sorts it.
    pub(super) fn set_jobs(&mut self, jobs: Vec<Job>) {
        self.jobs = jobs;
        self.sort();
    }

    /// Replaces the jobs that have the same ids, adds the others, and sorts the list.
    pub(super) fn update_jobs(&mut self, jobs: Vec<Job>) {
        for job in jobs {
            match self.jobs.iter_mut().find(|known| known.job == job.job) {
                Some(known) => *known = job,
                None => self.jobs.push(job),
            }
        }
        self.sort();
    }

    fn sort(&mut self) {
        self.jobs.sort_by(|one, other| {
            let key = |job: &Job| (rank(job), job.next.is_none(), job.next);
            key(one).cmp(&key(other)).then_with(|| one.job.cmp(&other.job))
        });
    }

    /// How many jobs fail that are not among those that are examined.
    pub(super) fn unseen_failing(&self) -> usize {
        let seen = self.jobs.iter().filter(|job| job.failures > 0).count();
        let all = self.status.as_ref().filter(|_| self.has_more).map_or(0, |status| status.failing);
        all.saturating_sub(seen)
    }

    /// The number of jobs that are known.
    pub(super) fn job_count(&self) -> usize {
        self.jobs.len()
    }

    /// The jobs that pass the filter.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Job> {
        let wanted = self.filter.to_lowercase();
        self.jobs.iter().filter(move |job| has_text(job, &wanted))
    }

    /// The place of the selected job among those that are shown.
    pub(super) fn selected_place(&self) -> usize {
        let is_selected = |job: &Job| Some(&job.job) == self.selected.as_ref();
        self.shown().position(is_selected).unwrap_or(0)
    }

    pub(super) fn selected_job(&self) -> Option<&Job> {
        self.shown().nth(self.selected_place())
    }

    /// Moves the part of the list that is on the screen so that the selected job is in it.
    pub(super) fn scroll(&mut self, fitting: usize) {
        let (place, count) = (self.selected_place(), self.shown().count());
        self.fitting = fitting.max(1);
        self.first = self.first.clamp((place + 1).saturating_sub(self.fitting), place);
        self.first = self.first.min(count.saturating_sub(self.fitting));
    }

    fn select(&mut self, place: usize) {
        let last = self.shown().count().saturating_sub(1);
        let selected = self.shown().nth(place.min(last)).map(|job| job.job.clone());
        self.selected = selected;
    }

    /// Applies a key to the state. Returns what the caller must do for it.
    pub(super) fn press(&mut self, key: Key) -> Option<Action> {
        match key {
            Key::Interrupt => return Some(Action::Quit),
            Key::Suspend => return Some(Action::Suspend),
            Key::Redraw => return Some(Action::Redraw),
            _ => {}
        }
        if let Some(Question::Kill { job, run, .. }) = self.question.take() {
            self.message = None;
            return matches!(key, Key::Character('y' | 'Y')).then_some(Action::Kill(job, run));
        }
        self.message = None;
        match &self.page {
            Page::Help => {
                self.page = Page::Jobs;
                None
            }
            Page::Log(_) => self.press_in_log(key),
            Page::Jobs if self.is_filter_typed => {
                self.press_in_filter(key);
                None
            }
            Page::Jobs => self.press_in_jobs(key),
        }
    }

    fn press_in_jobs(&mut self, key: Key) -> Option<Action> {
        let place = self.selected_place();
        let page = self.fitting.max(1);
        match key {
            Key::Up => self.select(place.saturating_sub(1)),
            Key::Down => self.select(place + 1),
            Key::PageUp => self.select(place.saturating_sub(page)),
            Key::PageDown => self.select(place + page),
            Key::Home | Key::Character('g') => self.select(0),
            Key::End | Key::Character('G') => self.select(usize::MAX - 1),
            Key::Character('/') => self.is_filter_typed = true,
            Key::Character('?' | 'h') => self.page = Page::Help,
            Key::Escape => self.filter.clear(),
            Key::Character('q' | 'Q') => return Some(Action::Quit),
            Key::Character('k') => self.question = self.selected_job().map(question),
            Key::Character('r') => return self.selected_name().map(Action::Run),
            Key::Character('p') => return self.selected_name().map(Action::Pause),
            Key::Character('u') => return self.selected_name().map(Action::Resume),
            Key::Character('l') | Key::Enter => return self.selected_name().map(Action::OpenLog),
            _ => {}
        }
        None
    }

    fn press_in_filter(&mut self, key: Key) {
        match key {
            Key::Enter => self.is_filter_typed = false,
            Key::Escape => {
                self.filter.clear();
                self.is_filter_typed = false;
            }
            Key::Backspace => {
                self.filter.pop();
            }
            Key::Character(character) if self.filter.chars().count() < LONGEST_FILTER => self.filter.push(character),
            _ => {}
        }
    }

    fn press_in_log(&mut self, key: Key) -> Option<Action> {
        let page = self.fitting.max(1);
        let Page::Log(log) = &mut self.page else { return None };
        let most = log.lines.len().saturating_sub(page);
        log.above_end = match key {
            Key::Up => log.above_end + 1,
            Key::Down => log.above_end.saturating_sub(1),
            Key::PageUp => log.above_end + page,
            Key::PageDown => log.above_end.saturating_sub(page),
            Key::Home | Key::Character('g') => most,
            Key::End | Key::Character('G') => 0,
            Key::Escape | Key::Character('q' | 'l') => {
                self.page = Page::Jobs;
                return Some(Action::CloseLog);
            }
            _ => log.above_end,
        }
        .min(most);
        None
    }

    fn selected_name(&self) -> Option<String> {
        self.selected_job().map(|job| job.job.clone())
    }
}

impl Log {
    /// Adds what the job has written. It continues the last line if that has not ended.
    pub(super) fn add(&mut self, bytes: &[u8]) {
        for piece in bytes.split_inclusive(|byte| *byte == b'\n') {
            let (part, is_end) = piece.strip_suffix(b"\n").map_or((piece, false), |part| (part, true));
            let mut open = self.open.take().unwrap_or_else(|| {
                self.lines.push(String::new());
                self.above_end += usize::from(self.above_end > 0);
                OpenLine::default()
            });
            open.add(part);
            self.set_last(open.text(is_end));
            self.open = (!is_end).then_some(open);
        }
        let mut too_many = self.lines.len().saturating_sub(MOST_LINES);
        let mut left: usize = self.lines.iter().skip(too_many).map(String::len).sum();
        while left > MOST_BYTES {
            left -= self.lines.get(too_many).map_or(left, String::len);
            too_many += 1;
        }
        self.lines.drain(..too_many);
        self.size = left;
    }

    /// Nothing follows: shows the beginning of a character whose other bytes have not come.
    pub(super) fn end(&mut self) {
        if let Some(open) = self.open.take() {
            self.set_last(open.text(true));
        }
        self.is_live = false;
    }

    fn set_last(&mut self, line: String) {
        if let Some(last) = self.lines.last_mut() {
            self.size = self.size - last.len() + line.len();
            *last = line;
        }
    }
}

impl OpenLine {
    /// Adds a part without line ends.
    fn add(&mut self, part: &[u8]) {
        // A carriage return at the end may be one of a line end.
        let end = part.iter().rposition(|byte| *byte != b'\r').map_or(0, |at| at + 1);
        let (text, returns) = part.split_at(end);
        if !text.is_empty() {
            let begin = text.iter().rposition(|byte| *byte == b'\r').map(|at| at + 1);
            if self.is_returned || begin.is_some() {
                *self = OpenLine::default();
            }
            let text = text.get(begin.unwrap_or(0)..).unwrap_or_default();
            let room = LONGEST_LINE - self.bytes.len();
            self.bytes.extend(text.iter().take(room));
            self.is_cut |= text.len() > room;
        }
        self.is_returned |= !returns.is_empty();
    }

    /// The line as it is shown. `is_end`: nothing follows.
    fn text(&self, is_end: bool) -> String {
        let unfinished = if is_end { 0 } else { text::unfinished(&self.bytes) };
        let whole = self.bytes.get(..self.bytes.len() - unfinished).unwrap_or_default();
        text::output(whole) + if self.is_cut { REST } else { "" }
    }
}

/// What is asked before something is ended.
fn question(job: &Job) -> Question {
    let run = job.running.iter().map(|run| run.run).min();
    let text = match run {
        Some(run) => format!("End run {run} of {}?", job.job),
        None if job.waiting > 0 || job.retry_at.is_some() => format!("Cancel what waits of {}?", job.job),
        None => format!("{} does not run. End it all the same?", job.job),
    };
    Question::Kill { job: job.job.clone(), run, text }
}

/// Whether a job has a text in lower case in its name, command or state.
pub(super) fn has_text(job: &Job, text: &str) -> bool {
    text.is_empty() || [&job.job, &job.command, &job.state].into_iter().any(|of| of.to_lowercase().contains(text))
}

/// Whether the last runs of a job failed, or a success is overdue.
pub(super) fn is_failing(job: &Job) -> bool {
    job.failures > 0 || job.late
}

/// The order of jobs: failing, running, waiting, then by next start, and last those without a next start.
fn rank(job: &Job) -> u8 {
    match job.state.as_str() {
        _ if is_failing(job) => 0,
        "running" => 1,
        "waiting" | "retrying" => 2,
        "paused" => 4,
        "disabled" | "removed" => 5,
        _ => 3,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::varlink::Time;
    use crate::varlink::cron::{Run, Slot};

    pub(in super::super) fn job(name: &str, state: &str, next: i64) -> Job {
        let slot = Slot { scheduled_at: Time(0), trigger: "schedule".into(), attempt: 1 };
        let run = Run { run: 7, job: name.into(), slot, started_at: Some(Time(0)), pid: Some(1) };
        Job {
            job: name.into(),
            user: "alice".into(),
            name: name.into(),
            named: true,
            source: "/t".into(),
            line: 1,
            kind: "user".into(),
            schedule: "* * * * *".into(),
            zone: "UTC".into(),
            command: format!("echo {name}"),
            state: state.into(),
            enabled: true,
            paused_until: None,
            paused_by: None,
            note: None,
            next: Some(Time(next * 1_000_000)),
            last: None,
            failures: 0,
            late: false,
            running: if state == "running" { vec![run] } else { vec![] },
            waiting: 0,
            retry_at: None,
        }
    }

    fn state() -> State {
        let mut state = State::default();
        let failing = Job { failures: 2, ..job("failing", "idle", 900) };
        state.set_jobs(vec![
            job("later", "idle", 500),
            job("soon", "idle", 100),
            job("paused", "paused", 50),
            failing,
            job("runs", "running", 300),
        ]);
        state.scroll(3);
        state
    }

    fn names(state: &State) -> Vec<&str> {
        state.shown().map(|job| job.job.as_str()).collect()
    }

    #[test]
    fn what_fails_is_first_then_what_runs_then_what_is_next() {
        let mut state = state();
        assert_eq!(names(&state), ["failing", "runs", "soon", "later", "paused"]);
        state.update_jobs(vec![job("failing", "idle", 900), job("new", "idle", 1)]);
        assert_eq!(names(&state), ["runs", "new", "soon", "later", "failing", "paused"]);
    }

    #[test]
    fn the_selection_stays_on_its_job_and_on_the_screen() {
        let mut state = state();
        for key in [Key::Down, Key::Down, Key::Down] {
            state.press(key);
        }
        state.scroll(3);
        assert_eq!((state.selected_name().as_deref(), state.first), (Some("later"), 1));
        state.update_jobs(vec![job("later", "running", 500)]);
        state.scroll(3);
        assert_eq!((state.selected_name().as_deref(), state.selected_place()), (Some("later"), 2));
        state.press(Key::End);
        state.scroll(3);
        assert_eq!((state.selected_place(), state.first), (4, 2));
        state.press(Key::PageUp);
        assert_eq!(state.selected_place(), 1);
    }

    #[test]
    fn only_y_ends_a_run() {
        for (answer, action) in [
            (Key::Character('y'), Some(Action::Kill("runs".into(), Some(7)))),
            (Key::Character('n'), None),
            (Key::Enter, None),
            (Key::Character('k'), None),
            (Key::Escape, None),
        ] {
            let mut state = state();
            state.press(Key::Down);
            assert_eq!(state.press(Key::Character('k')), None);
            assert!(matches!(&state.question, Some(Question::Kill { text, .. }) if text == "End run 7 of runs?"));
            assert_eq!(state.press(answer), action);
            assert_eq!(state.question, None);
        }
    }

    #[test]
    fn characters_of_a_filter_are_no_commands() {
        let mut state = state();
        state.press(Key::Character('/'));
        for character in "qrun".chars() {
            assert_eq!(state.press(Key::Character(character)), None);
        }
        state.press(Key::Home);
        for key in [Key::Backspace; 4] {
            state.press(key);
        }
        "RUN".chars().for_each(|character| drop(state.press(Key::Character(character))));
        state.press(Key::Enter);
        assert_eq!(names(&state), ["runs"]);
        assert_eq!(state.press(Key::Character('r')), Some(Action::Run("runs".into())));
        state.press(Key::Escape);
        assert_eq!(names(&state).len(), 5);
    }

    #[test]
    fn a_log_keeps_its_place_while_lines_come() {
        let mut log = Log::default();
        log.add(b"one\ntwo");
        log.add(b" and a half\nthree\n");
        assert_eq!(log.lines, ["one", "two and a half", "three"]);
        log.add("line\n".repeat(2 * MOST_LINES).as_bytes());
        assert_eq!((log.lines.len(), log.above_end), (MOST_LINES, 0));
    }

    #[test]
    fn a_log_is_bounded_also_without_line_ends() {
        let mut log = Log::default();
        for _ in 0..1_000 {
            log.add(&[b'a'; 1_000]);
        }
        assert_eq!(log.lines, [format!("{}{REST}", "a".repeat(LONGEST_LINE))]);
        log.add(b"\nnext\n");
        assert_eq!(log.lines[1..], ["next"]);
        // Control characters take four columns each.
        let long = [&[1; LONGEST_LINE], b"\n".as_slice()].concat();
        (0..MOST_LINES).for_each(|_| log.add(&long));
        assert_eq!(log.size, log.lines.iter().map(String::len).sum::<usize>());
        assert!(log.size <= MOST_BYTES && log.size > MOST_BYTES / 2, "{}", log.size);
    }

    #[test]
    fn a_line_that_is_written_anew_is_replaced() {
        let mut log = Log::default();
        for part in ["begin\r\n", " 1 %\r", " 2 %", "\r100 %\r", "\n", "end"] {
            log.add(part.as_bytes());
        }
        assert_eq!(log.lines, ["begin", "100 %", "end"]);
        log.add(&[b"\r".as_slice(), &[b'b'; LONGEST_LINE + 1], b"\rshort\n"].concat());
        assert_eq!(log.lines, ["begin", "100 %", "short"]);
    }

    #[test]
    fn a_character_that_comes_in_two_parts_is_shown_when_it_is_whole() {
        let mut log = Log::default();
        log.add(b"caf\xc3");
        assert_eq!(log.lines, ["caf"]);
        log.add(b"\xa9 \xe2\x80");
        assert_eq!(log.lines, ["café "]);
        log.end();
        assert_eq!(log.lines, ["café \\xe2\\x80"]);
    }
}
