//! Metrics as text, from the replies to `Metrics`: OpenMetrics, and what Prometheus had before it.
//!
//! The two formats differ in one place, the lines about a counter. OpenMetrics names it there without `_total`, and the older format with it, so
//! that a parser of one reads a counter of the other as something else. [`Format::Common`] leaves the type of counters out: that text is valid in
//! both, and all tools read it. Everything else is the same.

use crate::varlink::Time;
use crate::varlink::cron::{DaemonMetrics, FleetMetrics, Histogram, JobCounts, JobMetrics, Metrics, OtherMetrics};
use std::fmt::{self, Display, Write};

/// The outcomes, all of which are written, also those that have not occurred.
const OUTCOMES: [&str; 10] =
    ["ok", "failed", "signal", "timeout", "killed", "replaced", "not started", "lost", "skipped", "missed"];
/// The name of what is summed over the jobs that are not listed.
const OTHER: &str = "other";

/// Which of the formats a text is in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// What is the same in both: counters have no type.
    #[default]
    Common,
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The text format of Prometheus, version 0.0.4.
    Prometheus,
}

impl Format {
    /// The `Content-Type` of a text in that format.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Common | Format::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// The format for a client that sends this `Accept`.
    pub fn accepted(accept: Option<&str>) -> Format {
        match accept {
            Some(accept) if accept.contains("application/openmetrics-text") => Format::OpenMetrics,
            _ => Format::Prometheus,
        }
    }
}

/// Metrics that have been collected.
#[derive(Clone, Debug, Default)]
pub struct Collected {
    jobs: Vec<JobMetrics>,
    duration_bounds: Vec<f64>,
    start_delay_bounds: Vec<f64>,
    other: Option<OtherMetrics>,
    daemon: Option<DaemonMetrics>,
}

impl Collected {
    /// Adds one reply of `Metrics`.
    pub fn add(&mut self, page: Metrics) {
        self.jobs.extend(page.jobs);
        self.duration_bounds = page.duration_bounds;
        self.start_delay_bounds = page.start_delay_bounds;
        self.other = page.other.or(self.other.take());
        self.daemon = page.daemon.or(self.daemon.take());
    }

    /// The text. Without a reply it says that no daemon answers.
    pub fn text(&self, format: Format) -> String {
        Collected::head(format, self.daemon.is_some()) + &self.rest(format)
    }

    /// The beginning of the text: whether the daemon answers, which is known before all jobs have been collected.
    pub fn head(format: Format, is_up: bool) -> String {
        let mut text = Text { format, text: String::new() };
        text.family(Kind::Gauge, "up", None, "Whether the daemon answers.");
        text.sample("up", "", u8::from(is_up));
        text.text
    }

    /// The text behind [`Collected::head`], to its end.
    pub fn rest(&self, format: Format) -> String {
        let mut text = Text { format, text: String::new() };
        if let Some(daemon) = &self.daemon {
            write_daemon(daemon, &mut text);
            self.write_jobs(&mut text);
        }
        text.text.push_str("# EOF\n");
        text.text
    }

    fn write_jobs(&self, text: &mut Text) {
        let none = JobCounts::default();
        let jobs: Vec<Series<'_>> = self.jobs.iter().map(|job| Series::of_job(job, &none)).collect();
        let other = self.other.as_ref().map(Series::of_others);
        let all: Vec<&Series<'_>> = jobs.iter().chain(&other).collect();
        text.family(Kind::Counter, "job_runs", None, "Runs by outcome; skipped and missed count slots without a run.");
        for series in &all {
            for outcome in OUTCOMES {
                let found = series.counts.runs.iter().find(|counted| counted.outcome == outcome);
                let labels = format!("{},outcome=\"{outcome}\"", series.labels);
                text.sample("job_runs_total", &labels, found.map_or(0, |counted| counted.count));
            }
        }
        text.family(Kind::Counter, "job_retries", None, "Attempts after a failure.");
        all.iter().for_each(|series| text.sample("job_retries_total", &series.labels, series.counts.retries));
        text.family(Kind::Histogram, "job_duration_seconds", Some("seconds"), "How long runs took.");
        for series in &all {
            text.histogram("job_duration_seconds", &series.labels, &self.duration_bounds, &series.counts.duration);
        }
        let help = "Time from a slot to the start of its first attempt.";
        text.family(Kind::Histogram, "job_start_delay_seconds", Some("seconds"), help);
        for series in &all {
            let delay = &series.counts.start_delay;
            text.histogram("job_start_delay_seconds", &series.labels, &self.start_delay_bounds, delay);
        }
        text.family(Kind::Counter, "job_cpu_seconds", Some("seconds"), "CPU time of runs that have ended.");
        all.iter().for_each(|series| text.sample("job_cpu_seconds_total", &series.labels, series.counts.cpu));
        let help = "Largest resident set of a process of the last run.";
        text.gauges("job_last_run_max_rss_bytes", Some("bytes"), help, &all, |series| {
            Some(series.counts.max_rss.unwrap_or(0) as f64)
        });
        let help = "Runs in progress.";
        text.gauges("job_running", None, help, &all, |series| Some(series.running as f64));
        let help = "Whether the job has slots (CRON_ENABLED).";
        text.gauges("job_enabled", None, help, &all, |series| Some(series.enabled as f64));
        text.gauges("job_paused", None, "Whether the job is paused.", &all, |series| Some(series.paused as f64));
        let help = "Whether a success is overdue (CRON_LATE).";
        text.gauges("job_late", None, help, &all, |series| Some(series.late as f64));
        for (name, help, moment) in MOMENTS {
            text.gauges(name, Some("seconds"), help, &all, |series| Some(seconds(moment(series))));
        }
        let help = "Exit status of the last run; 124 timeout, 125 not started or lost, 128 and the number of a signal.";
        text.gauges("job_last_run_exit_code", None, help, &all, |series| {
            series.job.map(|_| f64::from(series.counts.exit_code.unwrap_or(0)))
        });
        let help = "Whether the last run was successful; 0 also before the first run.";
        text.gauges("job_last_run_success", None, help, &all, |series| {
            series.job.map(|_| f64::from(u8::from(series.counts.success)))
        });
        text.family(Kind::Gauge, "job_info", None, "Schedule and policy of the job.");
        for (series, job) in all.iter().filter_map(|series| Some((series, series.job?))) {
            let mut labels = series.labels.clone();
            for (name, value) in [("schedule", &job.schedule), ("zone", &job.zone), ("overlap", &job.overlap)] {
                let _ = write!(labels, ",{name}=\"{}\"", Escaped(value));
            }
            text.sample("job_info", &labels, 1);
        }
    }
}

/// Moments of a job: name, help and value.
type Moment = (&'static str, &'static str, fn(&Series<'_>) -> Option<Time>);

const MOMENTS: [Moment; 4] = [
    (
        "job_last_success_timestamp_seconds",
        "When a run was last successful; 0 if none was since the daemon began.",
        |of| of.counts.last_success,
    ),
    ("job_last_failure_timestamp_seconds", "When a run last failed; 0 if none did since the daemon began.", |of| {
        of.counts.last_failure
    }),
    ("job_last_run_timestamp_seconds", "When the last run ended; 0 if none did since the daemon began.", |of| {
        of.counts.last_run
    }),
    ("job_next_run_timestamp_seconds", "When the job is to run next; 0 if nothing is due.", |of| of.next),
];

fn write_daemon(daemon: &DaemonMetrics, text: &mut Text) {
    text.family(Kind::Gauge, "build_info", None, "The version of the daemon.");
    text.sample("build_info", &format!("version=\"{}\"", Escaped(&daemon.version)), 1);
    let help = "When tables were last loaded, removed, or read again on request.";
    text.family(Kind::Gauge, "reload_timestamp_seconds", Some("seconds"), help);
    text.sample("reload_timestamp_seconds", "", seconds(Some(daemon.loaded_at)));
    text.family(Kind::Gauge, "tables", None, "Crontabs by state.");
    text.sample("tables", "state=\"loaded\"", daemon.loaded);
    text.sample("tables", "state=\"refused\"", daemon.refused);
    text.family(Kind::Gauge, "entries", None, "Entries of the loaded crontabs.");
    text.sample("entries", "", daemon.entries);
    text.family(Kind::Counter, "history_dropped", None, "Events that the history has lost.");
    text.sample("history_dropped_total", "", daemon.history_dropped);
    text.family(Kind::Counter, "log_dropped", None, "Lines that the log has lost.");
    text.sample("log_dropped_total", "", daemon.log_dropped);
    if let Some(fleet) = &daemon.fleet {
        write_fleet(fleet, text);
    }
}

fn write_fleet(fleet: &FleetMetrics, text: &mut Text) {
    text.family(Kind::Gauge, "fleet_engine_up", None, "Whether the fleet engine (etcd) is reachable.");
    text.sample("fleet_engine_up", "", u64::from(fleet.engine_up));
    text.family(Kind::Counter, "fleet_engine_losses", None, "How often the engine of the fleet was lost.");
    text.sample("fleet_engine_losses_total", "", fleet.engine_losses);
    if let Some(seconds) = fleet.engine_seconds {
        text.family(
            Kind::Gauge,
            "fleet_engine_seconds",
            Some("seconds"),
            "How long the last answer of the engine took.",
        );
        text.sample("fleet_engine_seconds", "", seconds);
    }
    text.family(Kind::Gauge, "fleet_waiting", None, "Requests that the engine has not answered.");
    text.sample("fleet_waiting", "", fleet.waiting);
    text.family(Kind::Counter, "fleet_claims", None, "Claims of slots by this node.");
    text.sample("fleet_claims_total", "result=\"won\"", fleet.won);
    text.sample("fleet_claims_total", "result=\"refused\"", fleet.refused);
    text.sample("fleet_claims_total", "result=\"failed\"", fleet.failed);
    if let Some(seconds) = fleet.clock_offset {
        text.family(
            Kind::Gauge,
            "fleet_clock_offset_seconds",
            Some("seconds"),
            "How much the clock of this node is ahead of the median of the fleet.",
        );
        text.sample("fleet_clock_offset_seconds", "", seconds);
    }
}

fn seconds(moment: Option<Time>) -> f64 {
    moment.map_or(0.0, |moment| moment.0 as f64 / 1e6)
}

/// The metrics of a job, or of those that are summed.
struct Series<'a> {
    labels: String,
    job: Option<&'a JobMetrics>,
    counts: &'a JobCounts,
    enabled: u64,
    paused: u64,
    late: u64,
    running: u64,
    next: Option<Time>,
}

impl<'a> Series<'a> {
    fn of_job(job: &'a JobMetrics, none: &'a JobCounts) -> Series<'a> {
        Series {
            labels: labels(&job.name, &job.user, &job.source),
            job: Some(job),
            counts: job.counts.as_ref().unwrap_or(none),
            enabled: u64::from(job.enabled),
            paused: u64::from(job.paused),
            late: u64::from(job.late),
            running: job.running,
            next: job.next,
        }
    }

    fn of_others(other: &'a OtherMetrics) -> Series<'a> {
        Series {
            labels: labels(OTHER, "", ""),
            job: None,
            counts: &other.counts,
            enabled: other.enabled,
            paused: other.paused,
            late: other.late,
            running: other.running,
            next: other.next,
        }
    }
}

fn labels(name: &str, user: &str, source: &str) -> String {
    format!("name=\"{}\",user=\"{}\",source=\"{}\"", Escaped(name), Escaped(user), Escaped(source))
}

/// The value of a label.
struct Escaped<'a>(&'a str);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for char in self.0.chars() {
            match char {
                '\\' => f.write_str("\\\\")?,
                '"' => f.write_str("\\\"")?,
                '\n' => f.write_str("\\n")?,
                '\t' => f.write_char(' ')?,
                // Readers that split lines at these would be misled; nothing else is lost.
                char if char.is_control() || matches!(char, '\u{2028}' | '\u{2029}') => f.write_char('\u{fffd}')?,
                char => f.write_char(char)?,
            }
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

/// A text that is being written.
struct Text {
    format: Format,
    text: String,
}

impl Text {
    /// Begins a family of metrics. The name of a counter is without `_total`.
    fn family(&mut self, kind: Kind, name: &str, unit: Option<&str>, help: &str) {
        let is_counter = kind == Kind::Counter;
        let total = if is_counter && self.format != Format::OpenMetrics { "_total" } else { "" };
        let name = format!("cronwheel_{name}{total}");
        self.line(format_args!("# HELP {name} {help}"));
        match kind {
            Kind::Counter if self.format == Format::Common => {}
            Kind::Counter => self.line(format_args!("# TYPE {name} counter")),
            Kind::Gauge => self.line(format_args!("# TYPE {name} gauge")),
            Kind::Histogram => self.line(format_args!("# TYPE {name} histogram")),
        }
        // The name must end with the unit.
        if let Some(unit) = unit.filter(|_| total.is_empty()) {
            self.line(format_args!("# UNIT {name} {unit}"));
        }
    }

    fn sample(&mut self, name: &str, labels: &str, value: impl Display) {
        match labels {
            "" => self.line(format_args!("cronwheel_{name} {value}")),
            labels => self.line(format_args!("cronwheel_{name}{{{labels}}} {value}")),
        }
    }

    /// A family of gauges, of the jobs that have a value.
    fn gauges(
        &mut self,
        name: &str,
        unit: Option<&str>,
        help: &str,
        all: &[&Series<'_>],
        value: impl Fn(&Series<'_>) -> Option<f64>,
    ) {
        self.family(Kind::Gauge, name, unit, help);
        for series in all {
            if let Some(value) = value(series) {
                self.sample(name, &series.labels, value);
            }
        }
    }

    /// The samples of a histogram, which are cumulative.
    fn histogram(&mut self, name: &str, labels: &str, bounds: &[f64], histogram: &Histogram) {
        let mut below = 0;
        let mut counts = histogram.counts.iter();
        for bound in bounds {
            below += counts.next().copied().unwrap_or(0);
            // Bounds are written with a decimal point, also whole numbers.
            self.line(format_args!("cronwheel_{name}_bucket{{{labels},le=\"{bound:?}\"}} {below}"));
        }
        let all: u64 = below + counts.sum::<u64>();
        self.line(format_args!("cronwheel_{name}_bucket{{{labels},le=\"+Inf\"}} {all}"));
        self.line(format_args!("cronwheel_{name}_count{{{labels}}} {all}"));
        self.line(format_args!("cronwheel_{name}_sum{{{labels}}} {}", histogram.sum));
    }

    fn line(&mut self, line: fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.text.write_fmt(line);
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::varlink::cron::OutcomeCount;

    fn job(name: &str, counts: Option<JobCounts>) -> JobMetrics {
        JobMetrics {
            user: "alice".to_owned(),
            name: name.to_owned(),
            source: "/var/spool/cron/crontabs/alice".to_owned(),
            schedule: "*/5 * * * *".to_owned(),
            zone: "Europe/Berlin".to_owned(),
            overlap: "skip".to_owned(),
            enabled: true,
            paused: false,
            late: false,
            running: 0,
            next: Some(Time(1_795_774_500_000_000)),
            counts,
        }
    }

    fn collected(jobs: Vec<JobMetrics>, other: Option<OtherMetrics>) -> Collected {
        let daemon = DaemonMetrics {
            version: "1".to_owned(),
            loaded_at: Time(1_000_500_000),
            loaded: 2,
            refused: 1,
            entries: 3,
            history_dropped: 4,
            log_dropped: 5,
            fleet: Some(FleetMetrics { engine_up: true, won: 6, clock_offset: Some(-0.5), ..FleetMetrics::default() }),
        };
        let mut collected = Collected::default();
        let bounds = (vec![0.5, 1.0], vec![0.001]);
        let page = |jobs| Metrics {
            jobs,
            duration_bounds: bounds.0.clone(),
            start_delay_bounds: bounds.1.clone(),
            ..Metrics::default()
        };
        collected.add(page(jobs));
        collected.add(Metrics { other, daemon: Some(daemon), ..page(Vec::new()) });
        collected
    }

    #[test]
    fn without_a_daemon_the_text_says_that_it_is_down() {
        let text = Collected::default().text(Format::Common);
        assert_eq!(
            text,
            "# HELP cronwheel_up Whether the daemon answers.\n# TYPE cronwheel_up gauge\ncronwheel_up 0\n# EOF\n"
        );
    }

    #[test]
    fn a_job_has_all_series_before_its_first_run() {
        let text = collected(vec![job("a\"b\\\n\u{7}é", None)], None).text(Format::Common);
        let labels = "name=\"a\\\"b\\\\\\n\u{fffd}é\",user=\"alice\",source=\"/var/spool/cron/crontabs/alice\"";
        for line in [
            format!("cronwheel_job_runs_total{{{labels},outcome=\"not started\"}} 0"),
            format!("cronwheel_job_retries_total{{{labels}}} 0"),
            format!("cronwheel_job_duration_seconds_bucket{{{labels},le=\"1.0\"}} 0"),
            format!("cronwheel_job_start_delay_seconds_bucket{{{labels},le=\"+Inf\"}} 0"),
            format!("cronwheel_job_last_run_success{{{labels}}} 0"),
            format!("cronwheel_job_enabled{{{labels}}} 1"),
            format!("cronwheel_job_last_success_timestamp_seconds{{{labels}}} 0"),
            format!("cronwheel_job_next_run_timestamp_seconds{{{labels}}} 1795774500"),
            format!(
                "cronwheel_job_info{{{labels},schedule=\"*/5 * * * *\",zone=\"Europe/Berlin\",overlap=\"skip\"}} 1"
            ),
            "cronwheel_reload_timestamp_seconds 1000.5".to_owned(),
            "cronwheel_tables{state=\"refused\"} 1".to_owned(),
            "cronwheel_log_dropped_total 5".to_owned(),
            "cronwheel_fleet_engine_up 1".to_owned(),
            "cronwheel_fleet_claims_total{result=\"won\"} 6".to_owned(),
            "cronwheel_fleet_clock_offset_seconds -0.5".to_owned(),
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line}\n{text}");
        }
        assert!(text.ends_with("\n# EOF\n") && !text.contains("\"other\""));
    }

    #[test]
    fn counts_are_cumulative_and_others_are_one_sum() {
        let counts = JobCounts {
            runs: vec![OutcomeCount { outcome: "ok".to_owned(), count: 7 }],
            duration: Histogram { counts: vec![4, 2, 1], sum: 3.5 },
            exit_code: Some(0),
            success: true,
            ..JobCounts::default()
        };
        let other = OtherMetrics { jobs: 2, enabled: 2, counts: counts.clone(), ..OtherMetrics::default() };
        let text = collected(vec![job("a", Some(counts))], Some(other)).text(Format::OpenMetrics);
        let of_other = "name=\"other\",user=\"\",source=\"\"";
        for line in [
            format!("cronwheel_job_runs_total{{{of_other},outcome=\"ok\"}} 7"),
            format!("cronwheel_job_duration_seconds_bucket{{{of_other},le=\"0.5\"}} 4"),
            format!("cronwheel_job_duration_seconds_bucket{{{of_other},le=\"1.0\"}} 6"),
            format!("cronwheel_job_duration_seconds_bucket{{{of_other},le=\"+Inf\"}} 7"),
            format!("cronwheel_job_duration_seconds_count{{{of_other}}} 7"),
            format!("cronwheel_job_duration_seconds_sum{{{of_other}}} 3.5"),
            format!("cronwheel_job_enabled{{{of_other}}} 2"),
        ] {
            assert!(text.contains(&format!("\n{line}\n")), "{line}\n{text}");
        }
        assert!(!text.contains(&format!("job_last_run_success{{{of_other}}}")));
    }

    #[test]
    fn the_formats_differ_in_the_lines_about_counters() {
        let collected = collected(vec![job("a", None)], None);
        let about = |format: Format| {
            let text = collected.text(format);
            let lines = text.lines().filter(|line| line.starts_with("# ") && line.contains("_cpu_seconds"));
            lines.map(|line| line.split(' ').skip(1).take(3).collect::<Vec<_>>().join(" ")).collect::<Vec<_>>()
        };
        assert_eq!(about(Format::Common), ["HELP cronwheel_job_cpu_seconds_total CPU"]);
        assert_eq!(
            about(Format::Prometheus),
            ["HELP cronwheel_job_cpu_seconds_total CPU", "TYPE cronwheel_job_cpu_seconds_total counter"]
        );
        assert_eq!(
            about(Format::OpenMetrics),
            [
                "HELP cronwheel_job_cpu_seconds CPU",
                "TYPE cronwheel_job_cpu_seconds counter",
                "UNIT cronwheel_job_cpu_seconds seconds"
            ]
        );
        let accepted = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5";
        assert_eq!(Format::accepted(Some(accepted)), Format::OpenMetrics);
        assert_eq!(Format::accepted(None), Format::Prometheus);
    }
}
