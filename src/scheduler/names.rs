//! Claims of entries to job names. Of several entries with the same name, those of system tables come first, then it goes by path and line, whatever
//! the order in which the tables were loaded, so that a restart changes nothing.

use super::job_id::JobId;
use super::source::{Owner, Source};
use super::start_queue::EntryKey;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// Claims of entries to job names.
#[derive(Debug, Default)]
pub(super) struct JobNames {
    claims: BTreeMap<JobId, BTreeSet<Claim>>,
    /// The names that entries of a table want.
    by_table: HashMap<u32, BTreeSet<JobId>>,
    /// By user, how many of the names look like derived ones.
    like_derived: HashMap<String, usize>,
}

/// An entry that wants a name. The order of the fields is the order of those that want the same one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Claim {
    pub(super) is_of_a_user: bool,
    pub(super) path: Arc<str>,
    /// The index of the entry in its table.
    pub(super) place: u32,
    pub(super) entry: EntryKey,
    /// Whether the name is derived from the entry's own command. Such claims are known only where another entry is given the same name.
    pub(super) is_derived: bool,
}

impl Claim {
    /// The claim of an entry to a name that its table gives it.
    pub(super) fn of(source: &Source, path: &Arc<str>, place: u32, entry: EntryKey) -> Claim {
        let is_of_a_user = source.owner != Owner::System;
        Claim { is_of_a_user, path: Arc::clone(path), place, entry, is_derived: false }
    }
}

impl JobNames {
    pub(super) fn add(&mut self, name: JobId, claim: Claim) {
        self.by_table.entry(claim.entry.0).or_default().insert(name.clone());
        if is_like_derived(name.name()) && !self.claims.contains_key(&name) {
            *self.like_derived.entry(name.user().to_owned()).or_default() += 1;
        }
        self.claims.entry(name).or_default().insert(claim);
    }

    /// The entries of a table want no names any more. Returns those that they wanted.
    pub(super) fn release(&mut self, table: u32) -> BTreeSet<JobId> {
        let names = self.by_table.remove(&table).unwrap_or_default();
        for name in &names {
            let Some(claims) = self.claims.get_mut(name) else { continue };
            claims.retain(|claim| claim.entry.0 != table);
            if claims.is_empty() {
                self.claims.remove(name);
                if is_like_derived(name.name()) {
                    forget_one(&mut self.like_derived, name.user());
                }
            }
        }
        names
    }

    /// Whether some entry wants a name.
    pub(super) fn is_wanted(&self, name: &JobId) -> bool {
        self.claims.contains_key(name)
    }

    /// Whether an entry of a user is given a name that looks like a derived one.
    pub(super) fn has_like_derived(&self, user: &str) -> bool {
        !self.like_derived.is_empty() && self.like_derived.contains_key(user)
    }

    /// The entry that has a name; none if no entry has got it.
    pub(super) fn holder(&self, name: &JobId) -> Option<&Claim> {
        self.claims.get(name)?.first()
    }

    /// Whether an entry whose command gives that name may have it.
    pub(super) fn is_free_for_derived(&self, name: &JobId) -> bool {
        self.holder(name).is_none_or(|claim| claim.is_derived)
    }

    /// The entries outside of a table that want one of these names.
    pub(super) fn others(&self, names: &BTreeSet<JobId>, table: u32) -> BTreeSet<EntryKey> {
        let claims = names.iter().filter_map(|name| self.claims.get(name)).flatten();
        claims.map(|claim| claim.entry).filter(|entry| entry.0 != table).collect()
    }
}

/// Counts one less of a user.
fn forget_one(counts: &mut HashMap<String, usize>, user: &str) {
    if let Some(count) = counts.get_mut(user) {
        *count -= 1;
        if *count == 0 {
            counts.remove(user);
        }
    }
}

/// Whether a name looks like a derived one: it ends with a hyphen and ten hexadecimal digits.
pub(super) fn is_like_derived(name: &str) -> bool {
    let is_digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    name.rsplit_once('-').is_some_and(|(_, digits)| digits.len() == 10 && digits.bytes().all(is_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_like_derived_ones_are_counted_for_each_user() {
        let mut names = JobNames::default();
        let path: Arc<str> = "/a".into();
        let claim =
            |table| Claim { is_of_a_user: true, path: path.clone(), place: 0, entry: (table, 0), is_derived: false };
        let name = JobId::named("alice", "true-0123456789");
        for table in [1, 2] {
            names.add(name.clone(), claim(table));
            names.add(JobId::named("bob", "plain"), claim(table));
        }
        for (table, expected) in [(1, true), (2, false)] {
            assert!(names.has_like_derived("alice") && !names.has_like_derived("bob"));
            names.release(table);
            assert_eq!(names.has_like_derived("alice"), expected, "{table}");
        }
    }

    #[test]
    fn a_name_like_a_derived_one_ends_with_ten_digits() {
        for (name, expected) in [
            ("true-0123456789", true),
            ("backup.sh-c36a9caa71", true),
            ("-c36a9caa71", true),
            ("backup", false),
            ("true-012345678", false),
            ("true-01234567890", false),
            ("true-012345678G", false),
            ("0123456789", false),
        ] {
            assert_eq!(is_like_derived(name), expected, "{name}");
        }
    }
}
