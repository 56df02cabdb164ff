//! The section `[fleet]` of /etc/cronwheel.toml: which engine several machines share, and what this machine is among them.

use super::fault::{Expected, shown, unknown_key};
use crate::crontab::FleetNames;
use crate::schedule::{HostKey, Zone, Zones};
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use toml::de::{DeTable, DeValue};

/// The name of the section.
pub(super) const SECTION: &str = "fleet";

/// The keys of the section, in alphabetical order.
const KEYS: [&str; 11] =
    ["ca", "cert", "endpoints", "key", "labels", "name", "node", "password-file", "user", "weight", "zone"];

/// The keys of the section `[fleet]`, in alphabetical order.
pub fn fleet_keys() -> &'static [&'static str] {
    &KEYS
}

/// Most endpoints, and most bytes of one.
const MOST_ENDPOINTS: usize = 16;
const LONGEST_ENDPOINT: usize = 512;
/// Most labels of a node; more are an error in the file.
const MOST_LABELS: usize = 32;
/// Most bytes of the name of a fleet, a node or a label.
const LONGEST_NAME: usize = 64;
/// Most bytes of the name of a user of the engine.
const LONGEST_USER: usize = 256;
/// Maximum of `weight` in the configuration file.
const LARGEST_WEIGHT: u32 = 1_000;

/// What several machines share, and what this one is among them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetConfig {
    /// The name of the fleet: its keys in the engine are below it.
    pub name: String,
    /// Addresses of the engine's members, `https://HOST:PORT` or `http://HOST:PORT`.
    pub endpoints: Vec<String>,
    /// The file with the certificates of the authorities that have signed those of the members (PEM). None: those that the system trusts.
    pub ca: Option<PathBuf>,
    /// The files with the certificate of this node and its private key (PEM).
    pub identity: Option<(PathBuf, PathBuf)>,
    /// The user of the engine, and the file with the password in its first line.
    pub login: Option<(String, PathBuf)>,
    /// The name of this node. None: the host name.
    pub node: Option<String>,
    /// What jobs can name this node by, besides its name.
    pub labels: Vec<String>,
    /// How large a share of the jobs it takes.
    pub weight: u32,
    /// The time zone of jobs without CRON_TZ of which one node runs each slot: all nodes must mean the same times.
    pub zone: String,
}

/// What the jobs of a fleet take from it instead of from the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetPlace {
    key: HostKey,
    zone: Arc<Zone>,
}

impl FleetConfig {
    /// What the jobs of the fleet take from it. A zone that is not known is UTC here; see [`FleetConfig::has_known_zone`].
    pub fn place(&self, zones: &dyn Zones) -> FleetPlace {
        let zone = zones.named(&self.zone).unwrap_or_else(Zone::utc);
        FleetPlace { key: HostKey::of(self.name.as_bytes()), zone }
    }

    /// Whether the time zone of the fleet is known. Without it, this machine cannot compute the slots of fleet jobs.
    pub fn has_known_zone(&self, zones: &dyn Zones) -> bool {
        zones.named(&self.zone).is_some()
    }
}

impl FleetPlace {
    /// The same for the parser.
    pub fn names(&self) -> FleetNames<'_> {
        FleetNames { key: self.key, zone: &self.zone }
    }
}

/// The values of the section while it is read.
#[derive(Default)]
struct Section {
    name: Option<String>,
    endpoints: Option<Vec<String>>,
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
    user: Option<String>,
    password_file: Option<PathBuf>,
    node: Option<String>,
    labels: Option<Vec<String>>,
    weight: Option<u32>,
    zone: Option<String>,
}

/// Something that is wrong with the section, and the place of that.
pub(super) type SectionFault = (Range<usize>, String);

/// Reads the section. `place` is that of its name, `text` the whole file.
///
/// # Errors
/// What is wrong with it, at least one fault.
pub(super) fn parse(text: &str, place: Range<usize>, section: &DeValue<'_>) -> Result<FleetConfig, Vec<SectionFault>> {
    let DeValue::Table(table) = section else {
        return Err(vec![(place, "fleet: expected a section [fleet]".to_owned())]);
    };
    let mut values = Section::default();
    let mut faults = values.read(text, table);
    match values.into_config() {
        Ok(config) if faults.is_empty() => Ok(config),
        Ok(_) => Err(faults),
        Err(missing) => {
            // A value that is wrong is not also missing.
            if faults.is_empty() {
                faults.push((place, missing.to_owned()));
            }
            Err(faults)
        }
    }
}

impl Section {
    fn read(&mut self, text: &str, table: &DeTable<'_>) -> Vec<SectionFault> {
        let (mut faults, mut set) = (Vec::new(), Vec::new());
        for (key, value) in table {
            let name = key.get_ref().as_ref();
            let Some(known) = KEYS.iter().copied().find(|known| *known == name.replace('_', "-")) else {
                faults.push((key.span(), format!("[fleet]: {}", unknown_key(name, &KEYS))));
                continue;
            };
            if set.contains(&known) {
                faults.push((key.span(), format!("[fleet]: {known} is set twice")));
                continue;
            }
            set.push(known);
            if let Err(Expected(expected)) = self.set(known, value.get_ref()) {
                let found = shown(text, value.span());
                faults.push((value.span(), format!("[fleet]: {known}: expected {expected}, found {found}")));
            }
        }
        faults
    }

    fn set(&mut self, key: &str, value: &DeValue<'_>) -> Result<(), Expected> {
        let path = || {
            let path = value.as_str().filter(|path| path.starts_with('/')).map(PathBuf::from);
            path.ok_or(Expected("an absolute path in quotes"))
        };
        let name = || name(value).ok_or(Expected(NAME));
        match key {
            "name" => self.name = Some(name()?),
            "node" => self.node = Some(name()?),
            "endpoints" => self.endpoints = Some(endpoints(value).ok_or(Expected(ENDPOINTS))?),
            "ca" => self.ca = Some(path()?),
            "cert" => self.cert = Some(path()?),
            "key" => self.key = Some(path()?),
            "password-file" => self.password_file = Some(path()?),
            "user" => {
                let is_good = |user: &&str| !user.is_empty() && user.len() <= LONGEST_USER;
                self.user = Some(value.as_str().filter(is_good).ok_or(Expected("a user's name in quotes"))?.to_owned());
            }
            "labels" => self.labels = Some(labels(value).ok_or(Expected(LABELS))?),
            "weight" => self.weight = Some(weight(value).ok_or(Expected("a whole number from 1 to 1000"))?),
            "zone" => {
                // Whether there is such a zone is known where the zones are.
                let is_name = |zone: &&str| !zone.is_empty() && zone.len() <= 255;
                let zone = value.as_str().filter(is_name);
                self.zone = Some(zone.ok_or(Expected("a time zone in quotes, like \"Europe/Berlin\""))?.to_owned());
            }
            // Every name in `KEYS` is above; a test sets each of them.
            _ => {}
        }
        Ok(())
    }

    /// The whole section; what is missing.
    fn into_config(self) -> Result<FleetConfig, &'static str> {
        let identity = match (self.cert, self.key) {
            (Some(cert), Some(key)) => Some((cert, key)),
            (None, None) => None,
            _ => return Err("[fleet]: cert and key belong together; expected both or none"),
        };
        let login = match (self.user, self.password_file) {
            (Some(user), Some(file)) => Some((user, file)),
            (None, None) => None,
            _ => return Err("[fleet]: user and password-file belong together; expected both or none"),
        };
        Ok(FleetConfig {
            name: self.name.ok_or("[fleet]: expected a line like name = \"prod\"")?,
            endpoints: self.endpoints.ok_or("[fleet]: expected a line like endpoints = [\"https://HOST:2379\"]")?,
            ca: self.ca,
            identity,
            login,
            node: self.node,
            labels: self.labels.unwrap_or_default(),
            weight: self.weight.unwrap_or(1),
            zone: self
                .zone
                .ok_or("[fleet]: expected a line like zone = \"UTC\": all nodes must mean the same times")?,
        })
    }
}

const NAME: &str = "a name of letters, digits, '.', '_' and '-' in quotes, of at most 64 characters";
const LABELS: &str = "a list of at most 32 names like [\"eu\", \"db-replica\"]";
const ENDPOINTS: &str = "a list of 1 to 16 addresses like [\"https://HOST:2379\"]";

/// Whether a text can be the name of a fleet, a node or a label.
pub fn is_fleet_name(text: &str) -> bool {
    let is_character = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_alphanumeric());
    begins && text.len() <= LONGEST_NAME && text.bytes().all(is_character)
}

fn name(value: &DeValue<'_>) -> Option<String> {
    value.as_str().filter(|name| is_fleet_name(name)).map(str::to_owned)
}

fn labels(value: &DeValue<'_>) -> Option<Vec<String>> {
    let list = value.as_array().filter(|list| list.len() <= MOST_LABELS)?;
    list.iter().map(|label| name(label.get_ref())).collect()
}

fn endpoints(value: &DeValue<'_>) -> Option<Vec<String>> {
    let list = value.as_array().filter(|list| (1..=MOST_ENDPOINTS).contains(&list.len()))?;
    list.iter().map(|endpoint| endpoint.get_ref().as_str().and_then(endpoint_of).map(str::to_owned)).collect()
}

/// The address without a slash at its end.
fn endpoint_of(text: &str) -> Option<&str> {
    let text = text.strip_suffix('/').unwrap_or(text);
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"))?;
    let is_character = |byte: u8| byte.is_ascii_alphanumeric() || b"._-:[]".contains(&byte);
    let is_good = !host.is_empty() && text.len() <= LONGEST_ENDPOINT && host.bytes().all(is_character);
    is_good.then_some(text)
}

fn weight(value: &DeValue<'_>) -> Option<u32> {
    let number = value.as_integer()?;
    u32::from_str_radix(number.as_str(), number.radix()).ok().filter(|weight| (1..=LARGEST_WEIGHT).contains(weight))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<FleetConfig, Vec<String>> {
        let table = DeTable::parse(text).unwrap();
        let (key, value) = table.get_ref().iter().next().unwrap();
        let faults = |faults: Vec<SectionFault>| {
            faults.into_iter().map(|(place, message)| format!("{}: {message}", place.start)).collect()
        };
        parse(text, key.span(), value.get_ref()).map_err(faults)
    }

    const WHOLE: &str = "[fleet]\nname = 'prod'\nendpoints = ['https://a:2379/', 'http://[::1]:2379']\nca = '/c'\ncert = '/d'\n\
                         key = '/e'\nuser = 'u'\npassword_file = '/f'\nnode = 'web1'\nlabels = ['eu', 'db-replica']\nweight = 3\n\
                         zone = 'Europe/Berlin'\n";

    #[test]
    fn each_key_is_read() {
        assert!(KEYS.is_sorted());
        let expected = FleetConfig {
            name: "prod".into(),
            endpoints: vec!["https://a:2379".into(), "http://[::1]:2379".into()],
            ca: Some("/c".into()),
            identity: Some(("/d".into(), "/e".into())),
            login: Some(("u".into(), "/f".into())),
            node: Some("web1".into()),
            labels: vec!["eu".into(), "db-replica".into()],
            weight: 3,
            zone: "Europe/Berlin".into(),
        };
        assert_eq!(read(WHOLE), Ok(expected));
        assert_eq!(WHOLE.lines().count() - 1, KEYS.len());
        let least = read("[fleet]\nname = 'a'\nendpoints = ['http://h']\nzone = 'UTC'").unwrap();
        assert_eq!((least.weight, least.labels, least.node, least.login), (1, vec![], None, None));
    }

    #[test]
    fn what_is_wrong_is_told_with_its_place() {
        for (text, told) in [
            ("fleet = 3", "0: fleet: expected a section [fleet]"),
            ("[fleet]", "1: [fleet]: expected a line like name = "),
            ("[fleet]\nname = 'a'", "1: [fleet]: expected a line like endpoints = "),
            ("[fleet]\nname = 'a'\nendpoints = ['http://h']", "1: [fleet]: expected a line like zone = "),
            ("[fleet]\nnam = 'a'", "8: [fleet]: unknown key nam; did you mean name?"),
            ("[fleet]\nname = 'a/b'", "15: [fleet]: name: expected a name of letters, "),
            ("[fleet]\nname = '-a'", "15: [fleet]: name: expected a name of letters, "),
            ("[fleet]\nendpoints = []", "20: [fleet]: endpoints: expected a list of 1 to 16 addresses"),
            ("[fleet]\nendpoints = ['ftp://a']", "20: [fleet]: endpoints: expected a list"),
            ("[fleet]\nendpoints = ['https://u:p@a']", "20: [fleet]: endpoints: expected a list"),
            ("[fleet]\nendpoints = ['https://a/x']", "20: [fleet]: endpoints: expected a list"),
            ("[fleet]\nweight = 0", "17: [fleet]: weight: expected a whole number from 1 to 1000, found 0"),
            ("[fleet]\nlabels = ['a b']", "17: [fleet]: labels: expected a list of at most 32 names"),
            ("[fleet]\nca = 'c'", "13: [fleet]: ca: expected an absolute path in quotes, found 'c'"),
            ("[fleet]\ncert = '/c'", "1: [fleet]: cert and key belong together; expected both or none"),
            ("[fleet]\nuser = 'c'", "1: [fleet]: user and password-file belong together; expected both or none"),
            ("[fleet]\npassword-file = '/c'\npassword_file = '/d'", "29: [fleet]: password-file is set twice"),
        ] {
            let faults = read(text).unwrap_err();
            assert!(faults.len() == 1 && faults[0].starts_with(told), "{text}: {faults:?}");
        }
        assert_eq!(read("[fleet]\nname = 1\nweight = 'x'").unwrap_err().len(), 2);
    }
}
