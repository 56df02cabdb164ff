//! cronwheel.toml(5) and the sample of /etc/cronwheel.toml: both have every key of the programs, and no other.

use cronwheel::config::{Config, ConfigFile, Values, fleet_keys, keys};
use cronwheel::profile::ProfileName;
use std::collections::BTreeSet;
use std::fs;

const SAMPLE: &str = "contrib/config/cronwheel.toml";
/// The line of the sample with which the section of the fleet begins, which is the last part of it.
const SECTION: &str = "#[fleet]\n";

/// Keys whose value in the sample is an example, because there is none by default.
const EXAMPLES: [&str; 4] = ["control-group", "mailer", "profile", "view-group"];

/// The settings of the sample, `(key, line)`, without the comment signs.
fn settings(sample: &str) -> Vec<(&str, &str)> {
    let is_key = |key: &str| !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
    let lines = sample.lines().filter_map(|line| line.strip_prefix('#'));
    lines.filter_map(|line| line.split_once(" = ").filter(|(key, _)| is_key(key)).map(|(key, _)| (key, line))).collect()
}

fn values(text: &str) -> Values {
    let place = tempfile::NamedTempFile::new().expect("a file");
    fs::write(&place, text).expect("a file");
    let file = ConfigFile::read(Some(place.path())).expect("TOML");
    file.check().expect("known keys and values");
    file.into_values()
}

#[test]
fn every_key_has_its_paragraph_in_the_page_of_the_file() {
    let page = super::read("man/cronwheel.toml.5");
    for (section, keys) in [("Keys", keys()), ("Keys of the section fleet", fleet_keys())] {
        let (_, list) = page.split_once(&format!(".Ss {section}\n")).expect("the keys");
        let list = list.split("\n.S").next().expect("their end");
        let mut documented = BTreeSet::new();
        for line in list.lines().filter_map(|line| line.strip_prefix(".It Li ")) {
            assert!(documented.insert(line), "{line} is there twice");
        }
        assert_eq!(documented, keys.iter().copied().collect(), "the keys of man/cronwheel.toml.5 and of the programs");
        for paragraph in list.split(".It Li ").skip(1) {
            assert!(paragraph.contains("Default:"), "no default: {paragraph}");
        }
    }
}

#[test]
fn the_sample_has_every_key_and_its_values_are_the_defaults() {
    let sample = super::read(SAMPLE);
    let (main, section) = sample.split_once(SECTION).expect("the section of the fleet");
    let fleet: Vec<&str> = settings(section).into_iter().map(|(_, line)| line).collect();
    let named: BTreeSet<&str> = settings(section).into_iter().map(|(key, _)| key).collect();
    assert_eq!((named.len(), &named), (fleet.len(), &fleet_keys().iter().copied().collect()), "[fleet] in {SAMPLE}");
    let fleet = values(&format!("[fleet]\n{}\n", fleet.join("\n"))).fleet.expect("a fleet");
    assert_eq!((fleet.name.as_str(), fleet.weight, fleet.endpoints.len()), ("prod", 1, 3));
    let settings = settings(main);
    let named: BTreeSet<&str> = settings.iter().map(|(key, _)| *key).collect();
    assert_eq!((named.len(), &named), (settings.len(), &keys().iter().copied().collect()), "the keys of {SAMPLE}");
    // As it is installed it says nothing.
    assert_eq!(values(&sample), Values::default());
    // Every line can be used, and most change nothing.
    let all: String = settings.iter().map(|(_, line)| format!("{line}\n")).collect();
    values(&all);
    let defaults = settings.iter().filter(|(key, _)| !EXAMPLES.contains(key));
    let defaults: String = defaults.map(|(_, line)| format!("{line}\n")).collect();
    let resolved = |file: Values| {
        let mut config = Config::resolve(ProfileName::Debian, Values::default(), file);
        // Where nothing is set, the program decides as the sample says.
        config.log = config.log.or(cronwheel::config::LogTarget::named("syslog"));
        config.starts_in_flight = config.starts_in_flight.or(Some(cronwheel::executor::STARTS_IN_FLIGHT));
        format!("{config:#?}")
    };
    assert_eq!(resolved(values(&defaults)), resolved(Values::default()));
}
