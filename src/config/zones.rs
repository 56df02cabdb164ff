//! Zone files: reads them, and determines the zone of the system.

use crate::crontab::printable;
use crate::schedule::{Zone, Zones};
use crate::sys::files::{read_file, read_text};
use crate::sys::stamp::Stamp;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Where zone files are unless `TZDIR` says otherwise.
const ZONEINFO: &str = "/usr/share/zoneinfo";
/// The system's own zone: a zone file, usually a symbolic link to one.
const LOCALTIME: &str = "/etc/localtime";
/// Debian's record of the name, for systems where /etc/localtime is a copy.
const TIMEZONE: &str = "/etc/timezone";
/// A larger file is not a zone file.
const LARGEST_FILE: usize = 1 << 20;
/// Most unknown names that are remembered, since users choose them.
const MOST_UNKNOWN: usize = 1000;

/// The system's zone files (`$TZDIR`, else /usr/share/zoneinfo), read on demand and kept; `chrono-tz`'s copy where there are none.
#[derive(Debug)]
pub struct SystemZones {
    directory: PathBuf,
    localtime: PathBuf,
    timezone: PathBuf,
    /// The zone of a name that no file has.
    carried: fn(&str) -> Option<Zone>,
    /// The value of `TZ`, if it is set.
    tz: Option<String>,
    /// The system's own zone and what it was read from, once it was needed.
    system: OnceLock<(Arc<Zone>, Stamps)>,
    named: Mutex<HashMap<String, CachedZone>>,
}

/// The result of looking up a name.
#[derive(Debug)]
struct CachedZone {
    zone: Option<Arc<Zone>>,
    stamp: Option<ZoneStamp>,
}

/// Identifies a state of a zone file, including the target of its symbolic link.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ZoneStamp {
    link: Option<PathBuf>,
    file: Stamp,
}

/// The stamps of all files that the system's own zone depends on.
type Stamps = Vec<Option<ZoneStamp>>;

impl SystemZones {
    /// The system's own zone is `TZ` in the environment, else /etc/localtime, else UTC.
    pub fn open() -> SystemZones {
        SystemZones::open_with(Zone::embedded)
    }

    /// The same where it only matters which zones there are: one without a file is UTC. The data of `chrono-tz`, a megabyte of pointers to relocate
    /// at each start, are not a part of a program that does not call [`SystemZones::open`].
    pub fn open_for_names() -> SystemZones {
        SystemZones::open_with(Zone::stand_in)
    }

    fn open_with(carried: fn(&str) -> Option<Zone>) -> SystemZones {
        let tz = std::env::var_os("TZ").map(|value| value.to_string_lossy().into_owned());
        let directory = std::env::var_os("TZDIR").filter(|dir| !dir.is_empty()).map_or(ZONEINFO.into(), PathBuf::from);
        SystemZones::at(directory, LOCALTIME.into(), TIMEZONE.into(), tz, carried)
    }

    fn at(
        directory: PathBuf,
        localtime: PathBuf,
        timezone: PathBuf,
        tz: Option<String>,
        carried: fn(&str) -> Option<Zone>,
    ) -> SystemZones {
        SystemZones { directory, localtime, timezone, carried, tz, system: OnceLock::new(), named: Mutex::default() }
    }

    /// What is wrong with `TZ` if it is no zone, so that UTC is used.
    pub fn fault_of_tz(&self) -> Option<String> {
        let value = self.tz.as_deref().filter(|value| self.zone_of_tz(value).is_none())?;
        let value = printable(value.as_bytes());
        Some(format!("TZ={value} is not a time zone: expected a name like Europe/Berlin; UTC is used"))
    }

    /// Checks /etc/localtime and the files that were read. Returns whether anything has changed.
    pub fn refresh(&mut self) -> bool {
        let changed = self.refresh_named();
        let Some((zone, stamps)) = self.system.get() else { return changed };
        if self.system_stamps() == *stamps {
            return changed;
        }
        let fresh = self.read_system();
        let changed = changed || fresh.0 != *zone;
        self.system = OnceLock::from(fresh);
        changed
    }

    fn refresh_named(&self) -> bool {
        let mut changed = false;
        for (name, known) in self.names().iter_mut() {
            if ZoneStamp::of(&self.directory.join(name)) != known.stamp {
                let fresh = self.read_named(name);
                changed |= fresh.zone != known.zone;
                *known = fresh;
            }
        }
        changed
    }

    fn names(&self) -> MutexGuard<'_, HashMap<String, CachedZone>> {
        // A map of finished readings is whole whatever happened to a thread that held it.
        self.named.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The file of that name, else the program's own copy, else none.
    fn read_named(&self, name: &str) -> CachedZone {
        let path = self.directory.join(name);
        let stamp = ZoneStamp::of(&path);
        let zone = match read_zone(&path, name) {
            Some(zone) => Some(zone),
            None => (self.carried)(name),
        };
        CachedZone { zone: zone.map(Arc::new), stamp }
    }

    fn read_system(&self) -> (Arc<Zone>, Stamps) {
        // The stamps come first: a file that changes in between is then read once too often, not once too seldom.
        let stamps = self.system_stamps();
        let zone = match self.tz.as_deref() {
            Some(value) => self.zone_of_tz(value),
            None => self.zone_of_localtime(),
        };
        (zone.unwrap_or_else(Zone::utc), stamps)
    }

    fn system_stamps(&self) -> Stamps {
        match self.tz.as_deref().map(|value| value.strip_prefix(':').unwrap_or(value)) {
            Some(name) => vec![ZoneStamp::of(&self.directory.join(name))],
            None => vec![ZoneStamp::of(&self.localtime), ZoneStamp::of(&self.timezone)],
        }
    }

    /// The forms that tzset(3) knows: empty for UTC, a file (with or without a colon), a rule.
    fn zone_of_tz(&self, value: &str) -> Option<Arc<Zone>> {
        let name = value.strip_prefix(':').unwrap_or(value);
        if name.is_empty() {
            return Some(Zone::utc());
        }
        if Path::new(name).is_absolute() {
            return read_zone(Path::new(name), &self.name_of(Path::new(name))).map(Arc::new);
        }
        let file = is_zone_name(name).then(|| self.read_named(name).zone).flatten();
        file.or_else(|| Zone::from_posix(value).ok().map(Arc::new))
    }

    /// What is wrong with the system's own zone, so that UTC is used instead. None: nothing, or none is set.
    pub fn fault(&self) -> Option<String> {
        match self.tz {
            Some(_) => self.fault_of_tz(),
            None => {
                let localtime = self.localtime.display();
                let is_unusable = self.localtime.symlink_metadata().is_ok() && self.zone_of_localtime().is_none();
                is_unusable
                    .then(|| format!("{localtime}: expected a zone file, found none that can be read: UTC is used"))
            }
        }
    }

    fn zone_of_localtime(&self) -> Option<Arc<Zone>> {
        let name = match fs::read_link(&self.localtime) {
            Ok(target) => self.name_of(&target),
            Err(_) => self.name_of_copy().unwrap_or_else(|| "localtime".to_owned()),
        };
        let zone = read_zone(&self.localtime, &name);
        // A link into a zoneinfo that is not installed still says which zone is meant.
        zone.or_else(|| (self.carried)(&name)).map(Arc::new)
    }

    /// What a path into zoneinfo names: `Europe/Berlin`.
    fn name_of(&self, path: &Path) -> String {
        let text = path.to_string_lossy();
        let below = path.strip_prefix(&self.directory).ok().map(|name| name.to_string_lossy().into_owned());
        let below = below.or_else(|| text.split_once("zoneinfo/").map(|(_, name)| name.to_owned()));
        let name = below.unwrap_or_else(|| "localtime".to_owned());
        let kind = ["posix/", "right/"].into_iter().find_map(|kind| name.strip_prefix(kind));
        kind.unwrap_or(&name).to_owned()
    }

    /// The name that /etc/timezone gives, if /etc/localtime is a copy of that zone.
    fn name_of_copy(&self) -> Option<String> {
        let name = read_text(&self.timezone, LARGEST_FILE).ok()?.trim().to_owned();
        let same = is_zone_name(&name) && read(&self.directory.join(&name)).ok()? == read(&self.localtime).ok()?;
        same.then_some(name)
    }
}

/// Gives the system's own zone as it is at each call, for the stamps of a log.
pub fn current_zone() -> impl FnMut() -> Arc<Zone> + Send {
    let mut zones = SystemZones::open();
    move || {
        zones.refresh();
        zones.system()
    }
}

impl Zones for SystemZones {
    /// An IANA name (a leading colon is allowed, as in `TZ`), `local` for the system's own zone, or a POSIX rule.
    fn named(&self, name: &str) -> Option<Arc<Zone>> {
        if name == "local" {
            return Some(self.system());
        }
        let name = name.strip_prefix(':').unwrap_or(name);
        if !is_zone_name(name) {
            return Zone::from_posix(name).ok().map(Arc::new);
        }
        let mut names = self.names();
        let zone = match names.get(name) {
            Some(known) => known.zone.clone(),
            None => {
                let read = self.read_named(name);
                let zone = read.zone.clone();
                // One that appears later is noticed for those that are remembered.
                if zone.is_some() || names.values().filter(|known| known.zone.is_none()).count() < MOST_UNKNOWN {
                    names.insert(name.to_owned(), read);
                }
                zone
            }
        };
        zone.or_else(|| Zone::from_posix(name).ok().map(Arc::new))
    }

    fn system(&self) -> Arc<Zone> {
        self.system.get_or_init(|| self.read_system()).0.clone()
    }
}

impl ZoneStamp {
    fn of(path: &Path) -> Option<ZoneStamp> {
        let file = fs::metadata(path).ok()?;
        Some(ZoneStamp { link: fs::read_link(path).ok(), file: Stamp::from(&file) })
    }
}

/// Whether the name stays inside the zoneinfo directory: table owners choose it.
fn is_zone_name(name: &str) -> bool {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'_' | b'-' | b'+');
    // No part is empty, so that a zone has one name only. There are no dots.
    name.len() < 256 && name.bytes().all(known) && name.split('/').all(|part| !part.is_empty())
}

fn read_zone(path: &Path, name: &str) -> Option<Zone> {
    Zone::from_tzif(name, &read(path).ok()?).ok()
}

/// The bytes of a regular file.
fn read(path: &Path) -> io::Result<Vec<u8>> {
    if !fs::metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    read_file(path, LARGEST_FILE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::Timestamp;
    use std::os::unix::fs::symlink;
    use tempfile::TempDir;

    /// A machine with zones of its own: made-up ones, so that no installed file can be mistaken for them.
    struct Machine {
        root: TempDir,
    }

    impl Machine {
        fn new() -> Machine {
            let machine = Machine { root: tempfile::tempdir().unwrap() };
            fs::create_dir_all(machine.path("usr/share/zoneinfo/Test")).unwrap();
            machine.write("usr/share/zoneinfo/Test/One", &zone_file("AAA-1"));
            machine.write("usr/share/zoneinfo/Test/Two", &zone_file("BBB-2"));
            machine.write("secret", &zone_file("XXX-9"));
            machine
        }
        fn path(&self, name: &str) -> PathBuf {
            self.root.path().join(name)
        }
        fn write(&self, name: &str, bytes: &[u8]) {
            fs::write(self.path(name), bytes).unwrap();
        }
        fn link(&self, target: &str) {
            let _ = fs::remove_file(self.path("localtime"));
            symlink(target, self.path("localtime")).unwrap();
        }
        fn zones(&self, tz: Option<&str>) -> SystemZones {
            let [directory, localtime, timezone] =
                ["usr/share/zoneinfo", "localtime", "timezone"].map(|name| self.path(name));
            SystemZones::at(directory, localtime, timezone, tz.map(str::to_owned), Zone::embedded)
        }
    }

    /// A TZif file, version 2, that holds nothing but a rule.
    fn zone_file(rule: &str) -> Vec<u8> {
        let mut header = b"TZif2".to_vec();
        header.extend([0; 15]);
        for count in [0u32, 0, 0, 0, 1, 4] {
            header.extend(count.to_be_bytes());
        }
        header.extend([0; 6]);
        header.extend(b"UTC\0");
        [header.as_slice(), header.as_slice(), b"\n", rule.as_bytes(), b"\n"].concat()
    }

    /// The offset at the beginning of 2027, in hours east of UTC.
    fn hours(zone: &Zone) -> i32 {
        zone.offset_at(Timestamp(1_800_000_000)) / 3600
    }

    fn system(zones: &SystemZones) -> (String, i32) {
        (zones.system().name().to_owned(), hours(&zones.system()))
    }

    #[test]
    fn the_link_localtime_names_the_zone_of_the_system() {
        let machine = Machine::new();
        assert_eq!(system(&machine.zones(None)), ("UTC".to_owned(), 0), "no localtime at all");
        machine.link("usr/share/zoneinfo/Test/One");
        assert_eq!(system(&machine.zones(None)), ("Test/One".to_owned(), 1));
        machine.link("/usr/share/zoneinfo/Asia/Kathmandu-that-is-not-installed");
        assert_eq!(system(&machine.zones(None)).1, 0);
        let _ = fs::remove_file(machine.path("localtime"));
        machine.write("localtime", &zone_file("BBB-2"));
        assert_eq!(system(&machine.zones(None)), ("localtime".to_owned(), 2));
        machine.write("timezone", b"Test/Two\n");
        assert_eq!(system(&machine.zones(None)), ("Test/Two".to_owned(), 2));
        machine.write("timezone", b"Test/One\n");
        assert_eq!(system(&machine.zones(None)), ("localtime".to_owned(), 2), "a stale name is not believed");
    }

    #[test]
    fn the_variable_tz_goes_before_localtime_in_all_its_forms() {
        let machine = Machine::new();
        machine.link("usr/share/zoneinfo/Test/One");
        let absolute = machine.path("usr/share/zoneinfo/Test/Two");
        for (tz, name, hours) in [
            ("Test/Two", "Test/Two", 2),
            (":Test/Two", "Test/Two", 2),
            (absolute.to_str().unwrap(), "Test/Two", 2),
            ("CCC-3", "CCC-3", 3),
            ("Asia/Kathmandu", "Asia/Kathmandu", 5),
            ("", "UTC", 0),
            (":", "UTC", 0),
            ("No/Such", "UTC", 0),
            ("../../secret", "UTC", 0),
        ] {
            assert_eq!(system(&machine.zones(Some(tz))), (name.to_owned(), hours), "{tz:?}");
        }
    }

    #[test]
    fn without_data_the_same_names_are_known() {
        let zones = SystemZones::open_for_names();
        for (name, is_known) in [("Asia/Tokyo", true), ("UTC", true), ("CCC-3", true), ("No/Such", false)] {
            assert_eq!(zones.named(name).is_some(), is_known, "{name}");
            assert_eq!(Zone::stand_in(name).is_some(), Zone::embedded(name).is_some(), "{name}");
        }
        let machine = Machine::new();
        let paths = ["usr/share/zoneinfo", "localtime", "timezone"].map(|name| machine.path(name));
        let [directory, localtime, timezone] = paths;
        // A link into a zoneinfo that is not there.
        machine.link("/no/such/zoneinfo/Asia/Tokyo");
        let zones = SystemZones::at(directory, localtime, timezone, None, Zone::stand_in);
        for (name, is_stand_in) in [("Asia/Tokyo", true), ("local", true), ("Test/One", false), ("CCC-3", false)] {
            let zone = zones.named(name).map(|zone| zone.is_stand_in());
            assert_eq!(zone, Some(is_stand_in), "{name}");
        }
    }

    #[test]
    fn names_stay_inside_the_directory() {
        let machine = Machine::new();
        let zones = machine.zones(None);
        assert_eq!(zones.named("Test/One").map(|zone| hours(&zone)), Some(1));
        assert_eq!(zones.named("local"), Some(zones.system()));
        assert_eq!(zones.named("Asia/Tokyo").map(|zone| hours(&zone)), Some(9), "the program's own copy");
        let secret = machine.path("secret");
        for name in [
            "../../../secret",
            "Test/../../../../secret",
            secret.to_str().unwrap(),
            "/etc/localtime",
            "Test",
            "",
            ".",
            "Test/",
            "No/Such",
            "A\0B",
        ] {
            assert!(zones.named(name).is_none(), "{name:?}");
        }
    }

    #[test]
    fn what_tables_name_takes_a_bounded_room() {
        let machine = Machine::new();
        let zones = machine.zones(None);
        assert!(zones.named("Test/One").is_some());
        for other in ["Test//One", "/Test/One", "Test/One/", "Test/./One"] {
            assert!(zones.named(other).is_none(), "{other}: a zone has one name");
        }
        for number in 0..2 * MOST_UNKNOWN {
            assert!(zones.named(&format!("Test/No{number}")).is_none());
        }
        assert_eq!(zones.names().len(), 1 + MOST_UNKNOWN);
        assert!(zones.named("Test/Two").is_some(), "others are still found");
        machine.write("usr/share/zoneinfo/Test/Huge", &[0; LARGEST_FILE + 1]);
        assert!(zones.named("Test/Huge").is_none());
    }

    #[test]
    fn a_refresh_sees_every_change_and_nothing_else() {
        let machine = Machine::new();
        machine.link("usr/share/zoneinfo/Test/One");
        let mut zones = machine.zones(None);
        let old = zones.named("Test/Two").unwrap();
        assert!(zones.named("Test/Three").is_none());
        assert_eq!(system(&zones), ("Test/One".to_owned(), 1));
        assert!(!zones.refresh());
        machine.link("usr/share/zoneinfo/Test/Two");
        assert!(zones.refresh());
        assert_eq!(system(&zones), ("Test/Two".to_owned(), 2));
        // An update of the zone data, by rename as packages do it.
        machine.write("new", &zone_file("BBB-4"));
        fs::rename(machine.path("new"), machine.path("usr/share/zoneinfo/Test/Two")).unwrap();
        assert!(zones.refresh());
        assert_eq!(system(&zones), ("Test/Two".to_owned(), 4));
        assert_ne!(zones.named("Test/Two").unwrap(), old);
        machine.write("usr/share/zoneinfo/Test/Three", &zone_file("CCC-3"));
        assert!(zones.refresh());
        assert_eq!(zones.named("Test/Three").map(|zone| hours(&zone)), Some(3));
        // The same rules in a new file are no change.
        machine.write("new", &zone_file("BBB-4"));
        fs::rename(machine.path("new"), machine.path("usr/share/zoneinfo/Test/Two")).unwrap();
        assert!(!zones.refresh());
    }
}
