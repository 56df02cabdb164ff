//! Which reference implementation is being replaced: `--profile`, then the configuration, then os-release(5), else cronie.

use crate::profile::{ProfileName, shared};
use crate::sys::files;
use std::io;
use std::path::{Path, PathBuf};

/// The paths of os-release(5); the first existing file is used.
const OS_RELEASE: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

/// Why no profile could be chosen.
#[derive(Debug, thiserror::Error)]
pub enum ProfileError {
    /// The given profile does not exist.
    #[error("{where_from}: unknown profile `{name}`; there are debian and cronie")]
    Unknown {
        /// `--profile`, or the configuration's path.
        where_from: String,
        /// The name that was given.
        name: String,
    },
    /// The configuration exists and cannot be read.
    #[error("reading {}: {source}", path.display())]
    Unreadable {
        /// The path of the configuration file.
        path: PathBuf,
        /// The error from reading it.
        source: io::Error,
    },
    /// The configuration is not TOML.
    #[error("{}: {source}", path.display())]
    Malformed {
        /// The path of the configuration file.
        path: PathBuf,
        /// The error, with its position in the file.
        source: Box<toml::de::Error>,
    },
}

/// The key of the configuration that selects the profile.
#[derive(serde::Deserialize)]
struct OnlyProfile {
    profile: Option<String>,
}

/// Chooses the profile. `given` is the argument of `--profile`. A missing configuration file is not an error.
pub fn choose_profile(given: Option<&str>, config: &Path) -> Result<ProfileName, ProfileError> {
    if let Some(name) = given {
        return named(name, "--profile");
    }
    if let Some(name) = configured(config)? {
        return named(&name, &config.display().to_string());
    }
    let system = OS_RELEASE.iter().find_map(|path| files::read_file(Path::new(path), shared::LARGEST_CONFIG).ok());
    Ok(system.map_or(ProfileName::Cronie, |text| ProfileName::from_os_release(&String::from_utf8_lossy(&text))))
}

fn named(name: &str, where_from: &str) -> Result<ProfileName, ProfileError> {
    ProfileName::named(name)
        .ok_or_else(|| ProfileError::Unknown { where_from: where_from.to_owned(), name: name.to_owned() })
}

fn configured(path: &Path) -> Result<Option<String>, ProfileError> {
    let text = match files::read_text(path, shared::LARGEST_CONFIG) {
        Ok(text) => text,
        Err(missing) if missing.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(ProfileError::Unreadable { path: path.to_path_buf(), source }),
    };
    let parsed: OnlyProfile = toml::from_str(&text)
        .map_err(|source| ProfileError::Malformed { path: path.to_path_buf(), source: Box::new(source) })?;
    Ok(parsed.profile)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_option_wins_over_the_configuration() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("cronwheel.toml");
        std::fs::write(&config, "profile = \"cronie\"\nspool = \"/x\"\n").unwrap();
        assert_eq!(choose_profile(None, &config).unwrap(), ProfileName::Cronie);
        assert_eq!(choose_profile(Some("debian"), &config).unwrap(), ProfileName::Debian);
    }

    #[test]
    fn what_cannot_be_meant_is_an_error_that_says_where_it_stands() {
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("cronwheel.toml");
        std::fs::write(&config, "profile = \"vixie\"\n").unwrap();
        let error = choose_profile(None, &config).unwrap_err().to_string();
        assert!(error.contains("cronwheel.toml: unknown profile `vixie`"), "{error}");
        std::fs::write(&config, "profile = \n").unwrap();
        assert!(matches!(choose_profile(None, &config), Err(ProfileError::Malformed { .. })));
        assert!(matches!(choose_profile(None, dir.path()), Err(ProfileError::Unreadable { .. })));
        std::fs::File::create(&config).unwrap().set_len(1 << 40).unwrap();
        let error = choose_profile(None, &config).unwrap_err().to_string();
        assert!(error.ends_with("cronwheel.toml: larger than 1048576 bytes"), "{error}");
        assert!(matches!(choose_profile(Some("bcron"), &config), Err(ProfileError::Unknown { .. })));
    }

    #[test]
    fn os_release_decides_where_nobody_else_does() {
        for (text, profile) in [
            ("ID=debian\n", ProfileName::Debian),
            ("ID=ubuntu\nID_LIKE=debian\n", ProfileName::Debian),
            ("ID=\"linuxmint\"\nID_LIKE=\"ubuntu debian\"\n", ProfileName::Debian),
            ("ID=fedora\n", ProfileName::Cronie),
            ("", ProfileName::Cronie),
        ] {
            assert_eq!(ProfileName::from_os_release(text), profile, "{text:?}");
        }
    }
}
