//! Any bytes as an anacrontab: each job is within its bounds and has a name that is safe as that of a file, and a job that is written again is the
//! same job.

use super::table::check_diagnostics;
use cronwheel::crontab::{AnacronJob, Anacrontab, Period};
use cronwheel::schedule::HostKey;

/// Most minutes of a delay: those of a line, and as many for RANDOM_DELAY.
const LONGEST_DELAY: u32 = 2 * 7 * 24 * 60;

pub fn run(input: &[u8]) {
    let (tab, diagnostics) = Anacrontab::parse(input, "fuzz", HostKey(1));
    let lines: Vec<&[u8]> = input.split(|byte| *byte == b'\n').collect();
    if diagnostics.len() <= 100 {
        check_diagnostics(&diagnostics, &lines);
    }
    assert!(tab.jobs.len() <= lines.len() && diagnostics.len() <= 3 * lines.len());
    assert!(tab.jobs.is_sorted_by_key(|job| job.line));
    assert!((0..24).any(|hour| tab.hours.admit(hour)) || tab.hours.range.is_some() && tab.hours.preferred.is_some());
    for job in &tab.jobs {
        assert!(job.line >= 1 && job.line as usize <= lines.len());
        assert!(!matches!(job.period, Period::Days(0)) && job.delay <= LONGEST_DELAY * 60 && job.delay % 60 == 0);
        assert!((1..=255).contains(&job.id.len()) && !job.id.contains(&b'/') && job.id != b"." && job.id != b"..");
        assert!(!job.command.is_empty() && !job.command.contains(&b'\n') && !job.command.contains(&0));
        let mut names: Vec<&[u8]> = job.variables.iter().map(|(name, _)| &name[..]).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), job.variables.len(), "a name is there twice");
        written_again(job);
    }
}

fn written_again(job: &AnacronJob) {
    let period = match job.period {
        Period::Days(days) => days.to_string(),
        Period::Month => "@monthly".to_owned(),
        Period::Year => "@yearly".to_owned(),
    };
    let minutes = job.delay / 60;
    // A backslash at the end joins the next line, and a carriage return belongs to the end of the line.
    if minutes > LONGEST_DELAY / 2 || job.command.ends_with(b"\\") || job.command.ends_with(b"\r") {
        return;
    }
    let text = [format!("{period} {minutes} ").as_bytes(), &job.id, b"\t", &job.command, b"\n"].concat();
    let (again, diagnostics) = Anacrontab::parse(&text, "fuzz", HostKey(1));
    let [found] = &again.jobs[..] else { panic!("{}: {diagnostics:?}", text.escape_ascii()) };
    assert_eq!((found.period, found.delay, &found.id, &found.command), (job.period, job.delay, &job.id, &job.command));
}
