//! What the view shows, and what keys do with it.

use super::keys::Key;
use crate::cli::cronctl::screen::Ink;
use crate::timeline::Timeline;
use crate::varlink::cron::{Job, Status};

/// Lines of output that are kept.
const MOST_LINES: usize = 5_000;
/// Letters of a filter.
const LONGEST_FILTER: usize = 60;

/// What is on the screen.
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
    /// Whether the run goes on.
    pub(super) is_live: bool,
    /// Whether the last line has not ended yet.
    pub(super) is_line_open: bool,
    /// Harmless lines.
    pub(super) lines: Vec<String>,
    /// How many lines are below the screen.
    pub(super) above_end: usize,
}

/// What waits for an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Whether the oldest run of this job shall be ended; what is asked.
    Kill { job: String, text: String },
}

/// What a key asks for that the view cannot do itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Action {
    Run(String),
    Pause(String),
    Resume(String),
    Kill(String),
    OpenLog(String),
    CloseLog,
    Suspend,
    Redraw,
    Quit,
}

/// What the view knows.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) status: Option<Status>,
    /// In the order in which they are shown, without regard to the filter.
    jobs: Vec<Job>,
    pub(super) timeline: Option<Timeline>,
    /// Whether there are more jobs than are looked at.
    pub(super) has_more: bool,
    /// Why there is nothing new: the daemon does not answer.
    pub(super) problem: Option<String>,
    pub(super) page: Page,
    pub(super) filter: String,
    pub(super) is_filter_typed: bool,
    pub(super) question: Option<Question>,
    pub(super) message: Option<(Ink, String)>,
    /// The job that is selected.
    selected: Option<String>,
    /// The first job on the screen, and how many fit.
    pub(super) first: usize,
    pub(super) fitting: usize,
}

impl State {
    /// Replaces all jobs.
    pub(super) fn set_jobs(&mut self, jobs: Vec<Job>) {
        self.jobs = jobs;
        self.sort();
    }

    /// Replaces some jobs.
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

    /// How many jobs there are.
    pub(super) fn job_count(&self) -> usize {
        self.jobs.len()
    }

    /// The jobs that pass the filter.
    pub(super) fn shown(&self) -> impl Iterator<Item = &Job> {
        let wanted = self.filter.to_lowercase();
        self.jobs.iter().filter(move |job| {
            let has = |text: &str| text.to_lowercase().contains(&wanted);
            wanted.is_empty() || has(&job.job) || has(&job.command) || has(&job.state)
        })
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

    /// What a key does.
    pub(super) fn press(&mut self, key: Key) -> Option<Action> {
        match key {
            Key::Interrupt => return Some(Action::Quit),
            Key::Suspend => return Some(Action::Suspend),
            Key::Redraw => return Some(Action::Redraw),
            _ => {}
        }
        if let Some(Question::Kill { job, .. }) = self.question.take() {
            self.message = None;
            return matches!(key, Key::Letter('y' | 'Y')).then_some(Action::Kill(job));
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
            Key::Home | Key::Letter('g') => self.select(0),
            Key::End | Key::Letter('G') => self.select(usize::MAX - 1),
            Key::Letter('/') => self.is_filter_typed = true,
            Key::Letter('?' | 'h') => self.page = Page::Help,
            Key::Escape => self.filter.clear(),
            Key::Letter('q' | 'Q') => return Some(Action::Quit),
            Key::Letter('k') => self.question = self.selected_job().map(question),
            Key::Letter('r') => return self.selected_name().map(Action::Run),
            Key::Letter('p') => return self.selected_name().map(Action::Pause),
            Key::Letter('u') => return self.selected_name().map(Action::Resume),
            Key::Letter('l') | Key::Enter => return self.selected_name().map(Action::OpenLog),
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
            Key::Letter(letter) if self.filter.chars().count() < LONGEST_FILTER => self.filter.push(letter),
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
            Key::Home | Key::Letter('g') => most,
            Key::End | Key::Letter('G') => 0,
            Key::Escape | Key::Letter('q' | 'l') => {
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
    /// Adds harmless text. Its first line continues the last one if that has not ended.
    pub(super) fn add(&mut self, text: &str, is_continued: bool) {
        for (number, line) in text.split_terminator('\n').enumerate() {
            match self.lines.last_mut().filter(|_| number == 0 && is_continued) {
                Some(last) => *last += line,
                None => self.lines.push(line.to_owned()),
            }
            self.above_end += usize::from(self.above_end > 0);
        }
        let too_many = self.lines.len().saturating_sub(MOST_LINES);
        self.lines.drain(..too_many);
    }
}

/// What is asked before something is ended.
fn question(job: &Job) -> Question {
    let text = match job.running.iter().map(|run| run.run).min() {
        Some(run) => format!("End run {run} of {}?", job.job),
        None if job.waiting > 0 || job.retry_at.is_some() => format!("Cancel what waits of {}?", job.job),
        None => format!("{} does not run. End it all the same?", job.job),
    };
    Question::Kill { job: job.job.clone(), text }
}

/// Whether the last runs of a job failed, or a success is overdue.
pub(super) fn is_failing(job: &Job) -> bool {
    job.failures > 0 || job.late
}

/// Failing jobs first, then those that run, then those that wait, then the others by their next start, then those that have none.
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
            (Key::Letter('y'), Some(Action::Kill("runs".into()))),
            (Key::Letter('n'), None),
            (Key::Enter, None),
            (Key::Letter('k'), None),
            (Key::Escape, None),
        ] {
            let mut state = state();
            state.press(Key::Down);
            assert_eq!(state.press(Key::Letter('k')), None);
            assert!(matches!(&state.question, Some(Question::Kill { text, .. }) if text == "End run 7 of runs?"));
            assert_eq!(state.press(answer), action);
            assert_eq!(state.question, None);
        }
    }

    #[test]
    fn letters_of_a_filter_are_no_commands() {
        let mut state = state();
        state.press(Key::Letter('/'));
        for letter in "qrun".chars() {
            assert_eq!(state.press(Key::Letter(letter)), None);
        }
        state.press(Key::Home);
        for key in [Key::Backspace; 4] {
            state.press(key);
        }
        "RUN".chars().for_each(|letter| drop(state.press(Key::Letter(letter))));
        state.press(Key::Enter);
        assert_eq!(names(&state), ["runs"]);
        assert_eq!(state.press(Key::Letter('r')), Some(Action::Run("runs".into())));
        state.press(Key::Escape);
        assert_eq!(names(&state).len(), 5);
    }

    #[test]
    fn a_log_keeps_its_place_while_lines_come() {
        let mut log = Log::default();
        log.add("one\ntwo", false);
        log.add(" and a half\nthree\n", true);
        assert_eq!(log.lines, ["one", "two and a half", "three"]);
        log.add(&"line\n".repeat(2 * MOST_LINES), false);
        assert_eq!((log.lines.len(), log.above_end), (MOST_LINES, 0));
    }
}
