//! Installs and removes tables so that an interruption at any point leaves the old one or the new one, never neither.

use crate::site::Profile;

/// How a temporary file's name in the spool begins; both incumbents' daemons pass over their own.
pub fn temporary_prefix(profile: Profile) -> &'static str {
    match profile {
        Profile::Debian => "tmp.",
        Profile::Cronie => "#tmp.",
    }
}
