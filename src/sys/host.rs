//! Identifies this host and this boot, and reads process start times and the load.

use super::files;
use std::fs;
use std::path::Path;

/// Most bytes of /etc/machine-id, which are 33 (machine-id(5)): a larger file names no host.
const LARGEST_ID: usize = 4096;

/// The identity of this host from which its random delays are derived: the text of /etc/machine-id, else the host's name. crond, crontab
/// and cronctl must agree on it.
pub fn identity() -> Vec<u8> {
    let machine_id =
        files::read_file(Path::new("/etc/machine-id"), LARGEST_ID).unwrap_or_default().trim_ascii().to_vec();
    // systemd writes `uninitialized` there until the first boot is through.
    if machine_id.is_empty() || machine_id == b"uninitialized" {
        files::host_name().unwrap_or_default()
    } else {
        machine_id
    }
}

/// Identifies a boot: the kernel's boot id, and the start time of process 1, since a container can be restarted within one boot of its
/// host. Parts that cannot be read are empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// A UUID as text, with hyphens.
    pub id: String,
    /// Clock ticks from boot to the start of process 1.
    pub first_process_started: String,
}

/// Reads the identity of the current boot.
pub fn boot() -> Boot {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned();
    let stat = fs::read_to_string("/proc/1/stat").unwrap_or_default();
    Boot { id, first_process_started: start_time(&stat).unwrap_or_default().to_owned() }
}

/// The start time of a process in clock ticks since boot. Process id and start time together identify a process. None if it is gone.
pub fn process_started(pid: u32) -> Option<String> {
    let stat = files::read_proc(format!("/proc/{pid}/stat").as_ref()).ok()?;
    start_time(&String::from_utf8_lossy(&stat)).map(str::to_owned)
}

/// Field 22 of /proc/PID/stat (proc(5)); the second field, in parentheses, may hold blanks and parentheses itself.
fn start_time(stat: &str) -> Option<&str> {
    stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(19)
}

/// The number of runnable processes and threads of the machine, including this one. None if it is unknown.
pub fn runnable() -> Option<usize> {
    runnable_of(&fs::read_to_string("/proc/loadavg").ok()?)
}

/// The number before the slash in /proc/loadavg: the 3 in `0.20 0.18 0.12 3/80 11206` (proc(5)).
fn runnable_of(loadavg: &str) -> Option<usize> {
    loadavg.split_ascii_whitespace().nth(3)?.split_once('/')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_count_of_who_wants_a_processor_is_found_among_the_loads() {
        assert_eq!(runnable_of("0.20 0.18 0.12 3/80 11206\n"), Some(3));
        assert_eq!(runnable_of("0.20 0.18"), None);
        assert!(runnable().is_some_and(|count| count >= 1));
    }

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let rest = "S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 170000 3000 0";
        for name in ["systemd", "a) b (c", ""] {
            assert_eq!(start_time(&format!("1 ({name}) {rest}")), Some("4711"), "{name}");
        }
        assert_eq!(start_time(""), None);
    }

    #[test]
    fn a_process_has_one_start_for_as_long_as_it_lives() {
        let own = process_started(std::process::id());
        assert!(own.is_some());
        assert_eq!(process_started(std::process::id()), own);
        assert_eq!(process_started(u32::MAX), None);
    }

    #[test]
    fn a_boot_is_the_same_for_as_long_as_it_lasts() {
        let boot_now = boot();
        assert_eq!(boot_now.id.len(), 36);
        assert!(boot_now.first_process_started.parse::<u64>().is_ok());
        assert_eq!(boot(), boot_now);
    }
}
