//! Which PAM modules a service uses, to have them loaded before the first session. Only a matter of speed: whatever is missed here, PAM
//! loads itself.

use crate::sys::pam::Library;
use std::collections::BTreeSet;
use std::ffi::CString;
use std::fs;
use std::path::{Path, PathBuf};

/// Where services are described, in the order in which PAM looks.
pub(super) const SERVICES: [&str; 2] = ["/etc/pam.d", "/usr/lib/pam.d"];
/// The service whose lines PAM falls back on: its modules are loaded with those of any other service.
const FALLBACK: &str = "other";
/// Deepest nesting of includes.
const DEPTH: usize = 8;

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

/// Loads the modules of that service for as long as this process lives.
pub(super) fn load(service: &str) {
    let Some(directory) = module_directory() else { return };
    let mut modules = BTreeSet::new();
    for service in [service, FALLBACK] {
        collect(service, &read_service, DEPTH, &mut modules);
    }
    for module in modules {
        if let Ok(path) = CString::new(directory.join(module).into_os_string().into_encoded_bytes()) {
            Library::keep_loaded(&path);
        }
    }
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

/// Follows `include`, `substack` and Debian's `@include`; takes the modules of account, auth (for credentials) and session lines.
fn collect(service: &str, read: &dyn Fn(&str) -> Option<String>, depth: usize, modules: &mut BTreeSet<String>) {
    let (Some(text), Some(deeper)) = (read(service), depth.checked_sub(1)) else { return };
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or("").trim_start();
        if let Some(other) = line.strip_prefix("@include") {
            collect(other.trim(), read, deeper, modules);
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
            collect(target, read, deeper, modules);
        } else {
            modules.insert(target.to_owned());
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
        let mut modules = BTreeSet::new();
        collect("cron", &read, DEPTH, &mut modules);
        let found: Vec<&str> = modules.iter().map(String::as_str).collect();
        assert_eq!(found, ["pam_env.so", "pam_limits.so", "pam_systemd.so", "pam_unix.so"]);
    }
}
