//! Cases of the anacrontab: jobs, settings, and diagnostics of faulty lines.

use super::*;

fn parse(text: &str) -> (Anacrontab, Vec<Diagnostic>) {
    Anacrontab::parse(text.as_bytes(), "/etc/anacrontab", HostKey(7))
}

fn clean(text: &str) -> Anacrontab {
    let (tab, said) = parse(text);
    assert!(said.is_empty(), "{text}: {said:?}");
    tab
}

#[test]
fn a_job_has_a_period_a_delay_a_name_and_a_command() {
    for (text, period, delay, id, command) in [
        (
            "1 5 cron.daily nice run-parts /etc/cron.daily",
            Period::Days(1),
            5,
            "cron.daily",
            "nice run-parts /etc/cron.daily",
        ),
        ("\t7\t25\tcron.weekly\trun  it ", Period::Days(7), 25, "cron.weekly", "run  it "),
        ("@monthly 45 m x", Period::Month, 45, "m", "x"),
        ("@yearly 0 y x", Period::Year, 0, "y", "x"),
        ("@annually 0 y x", Period::Year, 0, "y", "x"),
        ("@daily 0 d x", Period::Days(1), 0, "d", "x"),
        ("@weekly 0 w A=b x", Period::Days(7), 0, "w", "A=b x"),
        ("007 0 w date +%F 'a", Period::Days(7), 0, "w", "date +%F 'a"),
        ("1 5 \\\n  cron.daily \\\nrun\\parts", Period::Days(1), 5, "cron.daily", "run\\parts"),
        ("1 5 x crlf\r", Period::Days(1), 5, "x", "crlf"),
        ("1 5 x end\\", Period::Days(1), 5, "x", "end\\"),
    ] {
        let tab = clean(text);
        let job = &tab.jobs[0];
        assert_eq!((job.period, job.delay, job.line), (period, delay * 60, 1), "{text}");
        assert_eq!((job.id.as_slice(), job.command.as_slice()), (id.as_bytes(), command.as_bytes()), "{text}");
    }
}

#[test]
fn a_bad_line_costs_only_itself_and_is_named_by_its_place() {
    for (line, column, message) in [
        ("x 5 a true", 1, "a period in days, found x"),
        ("@hourly 5 a true", 1, "a period in days, found @hourly"),
        ("-1 5 a true", 1, "a period in days"),
        ("99999999999 5 a true", 1, "a period in days"),
        ("1 five a true", 3, "a delay of 0 to"),
        ("1 99999 a true", 3, "a delay of 0 to"),
        ("1", 2, "a delay of 0 to"),
        ("1 5", 4, "a name for the job"),
        ("1 5 a/b true", 5, "without a slash"),
        ("1 5 .. true", 5, "a name for the job"),
        ("1 5 a", 6, "a command"),
        ("1 5 a\0b true", 6, "NUL"),
        ("RANDOM_DELAY=soon", 14, "a number of minutes"),
        ("START_HOURS_RANGE=22-3", 19, "two hours like 3-22"),
        ("START_HOURS_RANGE=3-25", 19, "two hours like 3-22"),
        ("START_HOURS_RANGE=3", 19, "two hours like 3-22"),
        ("PREFERRED_HOUR=24", 16, "an hour from 0 to 23"),
    ] {
        let (tab, said) = parse(&format!("# first\n1 5 before true\n{line}\n1 5 after true\n"));
        assert_eq!(tab.jobs.len(), 2, "{line}");
        assert_eq!(tab.hours, Hours::default(), "{line}");
        let [said] = said.as_slice() else { panic!("{line}: {said:?}") };
        assert_eq!((said.severity, said.line, said.column), (Severity::Error, 3, column), "{line}");
        assert!(said.message.contains(message), "{line}: {}", said.message);
    }
}

#[test]
fn the_place_in_a_joined_line_is_that_in_the_file() {
    let (_, said) = parse("1 \\\n 5 \\\n  a/b x\n1 5 c y\n");
    assert_eq!((said[0].line, said[0].column), (3, 3), "{said:?}");
}

#[test]
fn odd_lines_work_and_are_told() {
    for (text, jobs, message) in [
        ("0 5 a true\n", 1, "counts as 1"),
        ("1 5 a true\n7 5 a false\n", 2, "the name a is already used in line 1"),
        ("MAILTO=a b\n1 5 a true\n", 1, "mail to it is dropped"),
    ] {
        let (tab, said) = parse(text);
        assert_eq!(tab.jobs.len(), jobs);
        assert!(said.len() == 1 && said[0].severity == Severity::Warning, "{text}: {said:?}");
        assert!(said[0].message.contains(message), "{}", said[0].message);
    }
}

#[test]
fn a_setting_holds_for_the_lines_below_it() {
    let tab =
        clean("A=1\nMAILTO=ann\n1 0 a x\nA = \"2\" \nB=\nNO_MAIL_OUTPUT=yes\n1 0 b x\nNO_MAIL_OUTPUT=\n1 0 c x\n");
    let seen = |job: usize| -> Vec<String> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        tab.jobs[job].variables.iter().map(|(name, value)| text(name) + "=" + &text(value)).collect()
    };
    assert_eq!(seen(0), ["A=1", "MAILTO=ann"]);
    assert_eq!(seen(1), ["A=\"2\"", "MAILTO=", "B=", "NO_MAIL_OUTPUT=yes"], "quotes mean nothing");
    assert_eq!(seen(2), ["A=\"2\"", "MAILTO=ann", "B=", "NO_MAIL_OUTPUT="]);
}

#[test]
fn hours_hold_for_the_whole_table_and_the_last_line_counts() {
    let tab = clean("START_HOURS_RANGE=1-2\n1 0 a x\nSTART_HOURS_RANGE=3-22\n");
    let open: Vec<u32> = (0..24).filter(|hour| tab.hours.admit(*hour)).collect();
    assert_eq!(open, (3..22).collect::<Vec<_>>());
    let tab = clean("PREFERRED_HOUR=4\n1 0 a x\n");
    assert_eq!((0..24).filter(|hour| tab.hours.admit(*hour)).collect::<Vec<_>>(), [4]);
    assert!((0..24).all(|hour| clean("1 0 a x\n").hours.admit(hour)));
}

#[test]
fn any_bytes_are_read_and_every_complaint_has_its_place() {
    let mut random = fastrand::Rng::with_seed(11);
    let pieces: [&[u8]; 22] = [
        b"1",
        b"@monthly",
        b"@x",
        b" ",
        b"\t",
        b"\n",
        b"\n",
        b"\\\n",
        b"\\",
        b"\r\n",
        b"5",
        b"a/b",
        b"id",
        b"cmd",
        b"=",
        b"#",
        b"RANDOM_DELAY",
        b"START_HOURS_RANGE",
        b"3-22",
        b"\0",
        b"\xff",
        b"MAILTO",
    ];
    for _ in 0..20_000 {
        let text: Vec<u8> =
            (0..random.usize(0..16)).flat_map(|_| pieces[random.usize(0..pieces.len())].to_vec()).collect();
        let (tab, said) = Anacrontab::parse(&text, "/etc/anacrontab", HostKey(7));
        let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
        for said in said {
            let line = lines[said.line - 1];
            assert!((1..=line.len() + 1).contains(&said.column), "{said:?} in {}", text.escape_ascii());
        }
        for job in tab.jobs {
            assert!(
                !job.id.is_empty() && !job.id.contains(&b'/') && !job.command.is_empty() && !job.command.contains(&0)
            );
        }
    }
}

#[test]
fn a_random_delay_is_one_draw_for_all_jobs_below_and_stays() {
    let delays = |host: u64| -> Vec<u32> {
        let text = "1 5 a x\nRANDOM_DELAY=45\n1 5 b x\n7 25 c x\nRANDOM_DELAY=0\n1 1 d x\n";
        let (tab, said) = Anacrontab::parse(text.as_bytes(), "/etc/anacrontab", HostKey(host));
        assert!(said.is_empty());
        tab.jobs.iter().map(|job| job.delay / 60).collect()
    };
    let mut drawn = std::collections::BTreeSet::new();
    for host in 0..2000 {
        let found = delays(host);
        assert_eq!(found, delays(host));
        assert_eq!((found[0], found[2] - found[1], found[3]), (5, 20, 1));
        drawn.insert(found[1] - 5);
    }
    assert_eq!(drawn, (0..=45).collect(), "every minute up to the most, on one host or another");
}

#[test]
fn job_settings_make_the_policy_of_the_jobs_below() {
    let text = b"CRON_TIMEOUT=1h\nCRON_PING=http://h/\n1 0 a x\n7 0 b y\nCRON_RETRY=x\nCRON_NAME=n\nCRON_CATCHUP=once\n30 0 c z\n";
    let (tab, diagnostics) = Anacrontab::parse(text, "/etc/anacrontab", HostKey(7));
    let timeouts: Vec<_> = tab.jobs.iter().map(|job| (job.policy.timeout, job.policy.ping.is_some())).collect();
    assert_eq!(timeouts, [(Some(3600), true), (Some(3600), false), (Some(3600), false)]);
    assert_eq!(tab.jobs[2].policy.catch_up, crate::crontab::CatchUp::default());
    let said: Vec<_> = diagnostics.iter().map(|d| (d.severity, d.line, d.column, d.message.as_str())).collect();
    assert_eq!(
        said,
        [
            (Severity::Warning, 5, 12, "CRON_RETRY: expected a number of retries from 0 to 1000, found x"),
            (Severity::Warning, 6, 1, "CRON_NAME has no effect on the jobs of anacron"),
            (Severity::Warning, 7, 1, "CRON_CATCHUP has no effect on the jobs of anacron"),
        ]
    );
}
