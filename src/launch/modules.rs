//! Which files describe a PAM service and which modules it uses, to have all of it read and loaded before the first session. Only a matter
//! of speed: whatever is missed here, PAM loads itself.

use crate::sys::pam::Library;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

/// Where services are described, in the order in which PAM looks.
pub(super) const SERVICES: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];
/// The service whose lines PAM falls back on: its modules are loaded with those of any other service.
const FALLBACK: &str = "other";

/// What PAM reads and loads for a service.
#[derive(Debug, Default)]
struct Stack {
    /// The services whose descriptions are part of it.
    services: BTreeSet<String>,
    /// The modules, and whether PAM complains of one that cannot be loaded.
    modules: BTreeMap<String, bool>,
}

/// The file that describes a service, if there is one.
pub(super) fn service_file(service: &str) -> Option<PathBuf> {
    SERVICES.iter().map(|directory| Path::new(directory).join(service)).find(|path| path.exists())
}

/// What changes when PAM itself is upgraded: where distributions have its library, and the directory of its modules.
pub(super) fn installed() -> impl Iterator<Item = PathBuf> {
    let debian = format!("{}-linux-gnu", std::env::consts::ARCH);
    ["/usr/lib64", "/usr/lib", "/lib64", "/lib"]
        .into_iter()
        .flat_map(move |directory| [Path::new(directory).join(&debian), directory.into()])
        .flat_map(|directory| ["libpam.so.0", "security"].map(|name| directory.join(name)))
}

/// The files whose lines make up that service, those of what they include among them.
pub(super) fn description(service: &str) -> Vec<PathBuf> {
    Stack::of(service).services.iter().filter_map(|service| service_file(service)).collect()
}

/// Loads the modules of that service for as long as this process lives. False where one is missing that PAM complains of.
pub(super) fn load(service: &str) -> bool {
    let Some(directory) = module_directory() else { return false };
    let mut complete = true;
    for (module, needed) in Stack::of(service).modules {
        let path = CString::new(directory.join(module).into_os_string().into_encoded_bytes());
        complete &= path.is_ok_and(|path| Library::keep_loaded(&path)) || !needed;
    }
    complete
}

/// Beside libpam, in `security`: where the library that this process has loaded would look.
fn module_directory() -> Option<PathBuf> {
    let maps = fs::read_to_string("/proc/self/maps").ok()?;
    let library = maps.lines().find(|line| line.contains("/libpam.so"))?;
    let path = Path::new(library.get(library.find('/')?..)?);
    Some(path.parent()?.join("security"))
}

fn read_service(service: &str) -> Option<String> {
    fs::read_to_string(service_file(service)?).ok()
}

impl Stack {
    fn of(service: &str) -> Stack {
        let mut stack = Stack::default();
        for service in [service, FALLBACK] {
            stack.collect(service, &read_service);
        }
        stack
    }

    /// Follows `include`, `substack` and Debian's `@include`; takes the modules of account, auth (for credentials) and session lines.
    fn collect(&mut self, service: &str, read: &dyn Fn(&str) -> Option<String>) {
        if !self.services.insert(service.to_owned()) {
            return;
        }
        let Some(text) = read(service) else { return };
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or("").trim_start();
            if let Some(other) = line.strip_prefix("@include") {
                self.collect(other.trim(), read);
                continue;
            }
            let Some((kind, rest)) = line.split_once(char::is_whitespace) else { continue };
            if kind.trim_start_matches('-') == "password" {
                continue;
            }
            let rest = rest.trim_start();
            // A control in brackets holds blanks.
            let (control, after) = match rest.strip_prefix('[') {
                Some(inside) => ("", inside.split_once(']').map_or("", |(_, after)| after)),
                None => rest.split_once(char::is_whitespace).unwrap_or((rest, "")),
            };
            let Some(target) = after.split_whitespace().next() else { continue };
            if matches!(control, "include" | "substack") {
                self.collect(target, read);
            } else {
                *self.modules.entry(target.to_owned()).or_default() |= !kind.starts_with('-');
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_through_every_kind_of_include() {
        let read = |service: &str| {
            let text = match service {
                "cron" => {
                    "@include common-auth\n# comment\nsession [success=1 default=ignore]  pam_env.so x=y\n-session optional pam_systemd.so\n"
                }
                "common-auth" => {
                    "auth required pam_unix.so\npassword required pam_pwquality.so\naccount include system\n"
                }
                "system" => "account substack loop\n",
                "loop" => "account include loop\nsession\trequired\tpam_limits.so\n",
                _ => return None,
            };
            Some(text.to_owned())
        };
        let mut stack = Stack::default();
        stack.collect("cron", &read);
        let modules: Vec<(&str, bool)> = stack.modules.iter().map(|(name, needed)| (name.as_str(), *needed)).collect();
        let expected =
            [("pam_env.so", true), ("pam_limits.so", true), ("pam_systemd.so", false), ("pam_unix.so", true)];
        assert_eq!(modules, expected);
        let services: Vec<&str> = stack.services.iter().map(String::as_str).collect();
        assert_eq!(services, ["common-auth", "cron", "loop", "system"]);
    }
}
