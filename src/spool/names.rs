//! Which file names are those of crontabs. Names are compared as bytes, so the result does not depend on the locale.

use crate::profile::ProfileName;

/// The rule for names of crontabs in cron.d.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropInNames {
    /// Debian: letters, digits, `_` and `-` only.
    RunParts,
    /// Debian with `-l`: the name spaces of the Linux Standard Base.
    Lsb,
    /// cronie: everything but hidden files and backups.
    AllButBackups,
}

impl DropInNames {
    /// The profile's rule without options.
    pub fn of(profile: ProfileName) -> DropInNames {
        match profile {
            ProfileName::Debian => DropInNames::RunParts,
            ProfileName::Cronie => DropInNames::AllButBackups,
        }
    }

    /// Whether a file of that name in cron.d is a crontab.
    pub fn admit(self, name: &[u8]) -> bool {
        match self {
            DropInNames::RunParts => {
                !name.is_empty() && name.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
            }
            DropInNames::Lsb => is_lsb(name),
            DropInNames::AllButBackups => !is_hidden_or_backup(name),
        }
    }
}

impl DropInNames {
    /// The rule in words, for a message about a file that is skipped.
    pub fn rule(self) -> &'static str {
        match self {
            DropInNames::RunParts => "rename it: only letters, digits, _ and - are allowed in a table's name",
            DropInNames::Lsb => {
                "rename it: a table's name is one of the Linux Standard Base, see run-parts(8), --lsbsysinit"
            }
            DropInNames::AllButBackups => {
                "rename it: a table's name does not begin with # or end with ~, .rpmsave, .rpmorig or .rpmnew"
            }
        }
    }
}

/// Whether a file of that name in the spool can be a user's crontab. Temporary files are not.
pub fn is_user_table(name: &[u8], profile: ProfileName) -> bool {
    match profile {
        ProfileName::Debian => !name.starts_with(b".") && !name.starts_with(b"tmp."),
        ProfileName::Cronie => !is_hidden_or_backup(name),
    }
}

/// Whether a name is a single path component that is neither hidden nor reserved. Only such names may be used to build paths
/// in the spool.
pub fn is_safe_component(name: &str, profile: ProfileName) -> bool {
    const LONGEST: usize = 255;
    !name.is_empty()
        && name.len() <= LONGEST
        && !name.contains(['/', '\0', '\n'])
        && !matches!(name, "." | "..")
        && is_user_table(name.as_bytes(), profile)
}

/// run-parts(8) `--lsbsysinit`: the hierarchical and reserved name space without dpkg's leftovers, or the assigned one.
fn is_lsb(name: &[u8]) -> bool {
    let lower = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let mut parts: Vec<&[u8]> = name.split(|b| *b == b'-').collect();
    let last = parts.pop().unwrap_or_default();
    let hierarchical = !parts.is_empty()
        && parts.iter().all(|part| !part.is_empty() && part.iter().all(|b| lower(b) || matches!(b, b'_' | b'.')))
        && !last.is_empty()
        && last.iter().all(lower);
    if hierarchical {
        return !is_dpkg_leftover(name) && !name.starts_with(b".");
    }
    name.first().is_some_and(lower) && name.iter().all(|b| lower(b) || *b == b'-')
}

fn is_dpkg_leftover(name: &[u8]) -> bool {
    let starts = name.first().is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-');
    let rest = name.get(1..).unwrap_or_default();
    starts && [b"dpkg-old".as_slice(), b"dpkg-dist"].iter().any(|end| rest.ends_with(end))
}

/// cronie's rule for drop-ins and for the spool.
fn is_hidden_or_backup(name: &[u8]) -> bool {
    const NAME_MAX: usize = 255;
    let ends_with = |end: &[u8]| name.len() > end.len() && name.ends_with(end);
    name.is_empty()
        || name.len() >= NAME_MAX
        || name.starts_with(b".")
        || name.starts_with(b"#")
        || name.ends_with(b"~")
        || ends_with(b".rpmsave")
        || ends_with(b".rpmorig")
        || ends_with(b".rpmnew")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admitted(rule: DropInNames, names: &[&str]) -> Vec<String> {
        names.iter().filter(|name| rule.admit(name.as_bytes())).map(|name| name.to_string()).collect()
    }

    const NAMES: &[&str] = &[
        "backup",
        "e2scrub_all",
        "anacron",
        "Backup-2",
        "foo.conf",
        ".hidden",
        "foo~",
        "#foo",
        "foo.rpmsave",
        "foo.rpmorig",
        "foo.rpmnew",
        ".rpmnew",
        "foo.dpkg-old",
        "foo-dpkg-dist",
        "lsb.org-job",
        "_lsb-job",
        "a--b",
        "-x",
        "zażółć",
        "with space",
    ];

    #[test]
    fn debian_takes_the_names_that_run_parts_takes() {
        assert_eq!(
            admitted(DropInNames::RunParts, NAMES),
            ["backup", "e2scrub_all", "anacron", "Backup-2", "foo-dpkg-dist", "_lsb-job", "a--b", "-x"]
        );
    }

    #[test]
    fn debian_with_l_takes_the_names_of_the_linux_standard_base() {
        assert_eq!(admitted(DropInNames::Lsb, NAMES), ["backup", "anacron", "lsb.org-job", "_lsb-job", "a--b"]);
    }

    #[test]
    fn cronie_takes_everything_but_hidden_files_and_backups() {
        assert_eq!(
            admitted(DropInNames::AllButBackups, NAMES),
            [
                "backup",
                "e2scrub_all",
                "anacron",
                "Backup-2",
                "foo.conf",
                "foo.dpkg-old",
                "foo-dpkg-dist",
                "lsb.org-job",
                "_lsb-job",
                "a--b",
                "-x",
                "zażółć",
                "with space",
            ]
        );
        assert!(!DropInNames::AllButBackups.admit(&[b'x'; 255]));
    }

    #[test]
    fn a_user_name_is_one_component_and_never_a_reserved_name() {
        for (name, debian, cronie) in [
            ("alice", true, true),
            ("-l", true, true),
            ("*system*", true, true),
            ("domain\\alice", true, true),
            ("../x", false, false),
            ("a/b", false, false),
            (".", false, false),
            ("..", false, false),
            ("", false, false),
            (".cron.hostname", false, false),
            ("tmp.abcdef", false, true),
            ("#x", true, false),
            ("two\nlines", false, false),
        ] {
            assert_eq!(is_safe_component(name, ProfileName::Debian), debian, "{name:?} in debian");
            assert_eq!(is_safe_component(name, ProfileName::Cronie), cronie, "{name:?} in cronie");
        }
        assert!(!is_safe_component(&"x".repeat(256), ProfileName::Debian));
    }
}
