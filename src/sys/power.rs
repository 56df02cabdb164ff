//! Whether the machine runs on its battery.

use std::fs;
use std::path::Path;

/// The kernel's directory of power supplies.
const SUPPLIES: &str = "/sys/class/power_supply";

/// Whether the machine runs on battery: it has mains supplies and all are offline, by the rule of cronie's 0anacron and systemd's
/// ConditionACPower. A machine without known mains supplies counts as not on battery.
pub fn is_on_battery() -> bool {
    is_on_battery_by(Path::new(SUPPLIES))
}

fn is_on_battery_by(supplies: &Path) -> bool {
    let read = |supply: &Path, what: &str| fs::read_to_string(supply.join(what)).ok();
    let mut mains = fs::read_dir(supplies)
        .into_iter()
        .flatten()
        .filter_map(|supply| Some(supply.ok()?.path()))
        .filter(|supply| read(supply, "type").is_some_and(|kind| kind.trim() == "Mains"))
        .filter_map(|supply| Some(read(&supply, "online")?.trim() == "1"))
        .peekable();
    mains.peek().is_some() && !mains.any(|online| online)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_mains_that_are_all_off_mean_battery() {
        for (supplies, on_battery) in [
            (&[][..], false),
            (&[("BAT0", "Battery", None)], false),
            (&[("AC", "Mains", Some("1")), ("BAT0", "Battery", None)], false),
            (&[("AC", "Mains", Some("0")), ("BAT0", "Battery", None)], true),
            (&[("AC", "Mains", Some("0")), ("AC2", "Mains", Some("1"))], false),
            (&[("AC", "Mains", None)], false),
            (&[("usb", "USB", Some("0"))], false),
        ] {
            let dir = tempfile::tempdir().unwrap();
            for (name, kind, online) in supplies {
                let supply = dir.path().join(name);
                fs::create_dir(&supply).unwrap();
                fs::write(supply.join("type"), format!("{kind}\n")).unwrap();
                if let Some(online) = online {
                    fs::write(supply.join("online"), format!("{online}\n")).unwrap();
                }
            }
            assert_eq!(is_on_battery_by(dir.path()), on_battery, "{supplies:?}");
        }
        assert!(!is_on_battery_by(Path::new("/nowhere")));
    }
}
