//! Where the sockets of a daemon are.

use super::settings::Config;
use crate::profile::shared;
use std::path::{Path, PathBuf};

/// The name of the control socket.
pub const CONTROL: &str = "io.cronwheel.Cron";
/// The name of the socket of the history.
pub const HISTORY: &str = "io.cronwheel.History";

impl Config {
    /// The directory of the sockets of a daemon with this configuration: /run/cronwheel, or the run directory that was given.
    pub fn sockets(&self) -> PathBuf {
        if self.run_dir == Path::new(shared::RUN_DIR) {
            self.run_dir.join(shared::RUNNERS)
        } else {
            self.run_dir.clone()
        }
    }
}

/// The directory of the sockets of a standalone daemon without a run directory: /run/cronwheel for root, else in the user's runtime
/// directory, `runtime`, if there is one, else below /tmp.
pub fn sockets_of_standalone(uid: u32, runtime: Option<&Path>) -> PathBuf {
    match runtime.filter(|runtime| runtime.is_absolute()) {
        _ if uid == 0 => Path::new(shared::RUN_DIR).join(shared::RUNNERS),
        Some(runtime) => runtime.join(shared::RUNNERS),
        None => PathBuf::from(format!("/tmp/{}-{uid}", shared::RUNNERS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_shares_the_systems_directory_and_users_have_their_own() {
        let runtime = Path::new("/run/user/7");
        assert_eq!(sockets_of_standalone(0, Some(runtime)), Path::new("/run/cronwheel"));
        assert_eq!(sockets_of_standalone(7, Some(runtime)), Path::new("/run/user/7/cronwheel"));
        assert_eq!(sockets_of_standalone(7, Some(Path::new("relative"))), Path::new("/tmp/cronwheel-7"));
        assert_eq!(sockets_of_standalone(7, None), Path::new("/tmp/cronwheel-7"));
    }
}
