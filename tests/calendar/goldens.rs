//! Ten years of some two thousand schedules, and of every nickname, as recorded: a change of any run shows up here.
//!
//! To record them anew after an intended change, and to see in the diff which schedules it touches:
//!
//! ```text
//! CRONWHEEL_GOLDENS=write cargo test --test calendar goldens
//! ```
//!
//! Before anything is recorded every run of every schedule is compared with what `reference` says, which shares no code with
//! the engine but the zones' offsets. That takes half a minute; an ordinary run of this test compares one
//! schedule in fifty.

use crate::reference::{beats, due};
use crate::spec::{Language, Spec, parse};
use chrono::{DateTime, Datelike as _};
use cronwheel::schedule::{Timestamp, Zone};
use fastrand::Rng;
use std::fmt::Write as _;
use std::path::Path;

const SEED: u64 = 2_000;
/// 2020-01-01 and 2030-01-01.
const YEARS: (i64, i64) = (1_577_836_800, 1_893_456_000);
const DAY: i64 = 86_400;
const RANDOM: usize = 1_900;
/// Of so many schedules one is compared with the reference where nothing is recorded.
const COMPARED: usize = 50;

/// What a schedule means, said in another way.
#[derive(Clone, Copy)]
enum Meaning {
    /// The minutes of a schedule of five fields.
    Minutes(&'static str),
    /// Seconds of the minutes of five fields, in the years from one to another.
    Seconds(&'static str, &'static [i64], (i32, i32)),
    /// So many seconds after the moment that is asked about.
    After(i64),
    Never,
}

use Meaning::{After, Minutes, Never, Seconds};

const ALWAYS: (i32, i32) = (1970, 2099);

const NAMED: &[(&str, Meaning)] = &[
    ("@yearly", Minutes("0 0 1 1 *")),
    ("@annually", Minutes("0 0 1 1 *")),
    ("@monthly", Minutes("0 0 1 * *")),
    ("@weekly", Minutes("0 0 * * 0")),
    ("@daily", Minutes("0 0 * * *")),
    ("@midnight", Minutes("0 0 * * *")),
    ("@hourly", Minutes("0 * * * *")),
    ("@reboot", Never),
    ("@every_minute", Minutes("* * * * *")),
    ("@86400", After(86_400)),
    ("@90m", After(90 * 60)),
    ("@5h", After(5 * 3600)),
    ("@2d", After(2 * 86_400)),
    ("@quartz 0 30 2 * * ? *", Seconds("30 2 * * *", &[0], ALWAYS)),
    ("@quartz 15,45 0 0 1 1 ? 2021-2025", Seconds("0 0 1 1 *", &[15, 45], (2021, 2025))),
    ("@quartz 0 0 12 ? * MON-FRI *", Seconds("0 12 * * 1-5", &[0], ALWAYS)),
    ("0 0 29 2 1", Minutes("0 0 29 2 1")),
    ("0 0 29 2 */7", Minutes("0 0 29 2 */7")),
    ("0 0 13 * 5", Minutes("0 0 13 * 5")),
    ("30 2 * * 1-5", Minutes("30 2 * * 1-5")),
    ("0 0 30 2 *", Minutes("0 0 30 2 *")),
    ("0 0 L * *", Minutes("0 0 L * *")),
    ("0 0 LW * *", Minutes("0 0 LW * *")),
    ("0 0 15W * *", Minutes("0 0 15W * *")),
    ("0 0 * * friL", Minutes("0 0 * * friL")),
    ("0 0 * * fri#2", Minutes("0 0 * * fri#2")),
];
const ZONES: &[&str] =
    &["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "America/Sao_Paulo", "Africa/Casablanca"];
const HEAD: &str = "# schedule | zone | runs from 2020 through 2029 | FNV-1a of their seconds of UTC | first | last
# Written by tests/calendar/goldens.rs, which says how to write it anew. Each run was compared with tests/calendar/reference.rs.
";

/// A schedule with its zone, and how the reference has it.
struct Case {
    text: String,
    zone: &'static str,
    meaning: Reference,
}

enum Reference {
    Named(Meaning),
    Random(Box<Spec>),
}

/// All runs from 2020 through 2029, as the engine has them.
fn runs(text: &str, zone: &Zone) -> Vec<i64> {
    let schedule = parse(text);
    let next = |at: Timestamp| schedule.next_after(at, zone, None).filter(|next| next.0 < YEARS.1);
    std::iter::successors(next(Timestamp(YEARS.0 - 1)), |at| next(*at)).map(|at| at.0).collect()
}

/// The runs of one schedule, boiled down.
fn line(case: &Case, runs: &[i64]) -> String {
    let mut hash = 0xcbf2_9ce4_8422_2325u64;
    for byte in runs.iter().flat_map(|at| at.to_le_bytes()) {
        hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let [first, last] = [runs.first(), runs.last()].map(|at| at.map_or("-".to_owned(), i64::to_string));
    let (text, zone, count) = (&case.text, case.zone, runs.len());
    format!("{text} | {zone} | {count} | {:08x} | {first} | {last}", hash as u32 ^ (hash >> 32) as u32)
}

/// The same runs by the reference. `beats` are those of the zone and begin two days before, so that no clock is held then.
fn runs_by_reference(meaning: &Reference, beats: &[crate::reference::Beat], zone: &Zone) -> Vec<i64> {
    let of_spec = |spec: &Spec| due(spec, beats).into_iter().filter(|at| (YEARS.0..YEARS.1).contains(at)).collect();
    match meaning {
        Reference::Random(spec) => of_spec(spec),
        Reference::Named(Minutes(fields)) => of_spec(&Spec::read(fields)),
        Reference::Named(Seconds(fields, seconds, (from, to))) => {
            let minutes: Vec<i64> = of_spec(&Spec::read(fields));
            let year =
                |at: i64| DateTime::from_timestamp(at + i64::from(zone.offset_at(Timestamp(at))), 0).unwrap().year();
            let minutes = minutes.into_iter().filter(|at| (*from..=*to).contains(&year(*at)));
            minutes.flat_map(|at| seconds.iter().map(move |second| at + second)).collect()
        }
        Reference::Named(After(seconds)) => (YEARS.0 - 1 + seconds..YEARS.1).step_by(*seconds as usize).collect(),
        Reference::Named(Never) => Vec::new(),
    }
}

/// The schedules: those with a name, and random ones that do not fill the day.
fn cases() -> Vec<Case> {
    let named = |(text, meaning): &(&str, Meaning)| {
        ["Europe/Berlin", "America/New_York"].map(|zone| {
            let (text, meaning) = ((*text).to_owned(), Reference::Named(*meaning));
            Case { text, zone, meaning }
        })
    };
    let mut cases: Vec<Case> = NAMED.iter().flat_map(named).collect();
    let mut rng = Rng::with_seed(SEED);
    while cases.len() < RANDOM + 2 * NAMED.len() + 100 {
        let spec = Spec::random(&mut rng, Language::Full);
        let times = (0..1440).filter(|minute| spec.has_time(*minute)).count();
        if times <= 60 && spec.text.len() < 40 {
            let zone = ZONES[rng.usize(..ZONES.len())];
            cases.push(Case { text: spec.text.clone(), zone, meaning: Reference::Random(Box::new(spec)) });
        }
    }
    cases
}

#[test]
fn ten_years_of_two_thousand_schedules_run_as_recorded() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/calendar/goldens.txt");
    let is_recording = std::env::var("CRONWHEEL_GOLDENS").is_ok_and(|value| value == "write");
    let cases = cases();
    let mut lines = vec![String::new(); cases.len()];
    for name in ZONES {
        let zone = Zone::embedded(name).unwrap();
        let beats = beats(&zone, YEARS.0 - 2 * DAY, YEARS.1);
        for (number, case) in cases.iter().enumerate().filter(|(_, case)| case.zone == *name) {
            let runs = runs(&case.text, &zone);
            if is_recording || number % COMPARED == 0 {
                let expected = runs_by_reference(&case.meaning, &beats, &zone);
                let differs = runs.iter().zip(&expected).find(|(run, expected)| run != expected);
                assert!(runs == expected, "{} in {name}: engine and reference differ: {differs:?}", case.text);
            }
            lines[number] = line(case, &runs);
        }
    }
    if is_recording {
        let mut file = HEAD.to_owned();
        lines.iter().for_each(|line| writeln!(file, "{line}").unwrap());
        std::fs::write(&path, file).unwrap();
        return;
    }
    let recorded = std::fs::read_to_string(&path).unwrap();
    let recorded: Vec<&str> = recorded.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(recorded.len() >= 2_000, "only {} schedules are recorded", recorded.len());
    assert_eq!(lines.len(), recorded.len(), "schedules");
    for (line, recorded) in lines.iter().zip(recorded) {
        assert_eq!(line, recorded);
    }
}

#[test]
fn the_schedule_every_second_is_due_in_every_second() {
    let (schedule, zone) = (parse("@every_second"), Zone::embedded("Europe/Berlin").unwrap());
    // Through the hour that Berlin skips.
    let gap = 1_806_195_600;
    assert!(
        (gap - 3600..gap + 3600).all(|at| schedule.next_after(Timestamp(at), &zone, None) == Some(Timestamp(at + 1)))
    );
}
