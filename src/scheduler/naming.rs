//! Gives entries their names: see [`super::names`].

use super::action::Action;
use super::job_id::JobId;
use super::jobs::JobSpec;
use super::names::{Claim, is_like_derived};
use super::now::Now;
use super::source::{Owner, Source};
use super::start_queue::{ANACRON, EntryKey};
use super::state::Scheduler;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a change of one table affects in other tables.
#[derive(Debug, Default)]
pub(super) struct NameChanges {
    /// Names that have been given up or claimed.
    pub(super) names: BTreeSet<JobId>,
    /// The other files of the same base name in a standalone daemon.
    pub(super) copies: Vec<u32>,
}

/// Entries that get an id, and what follows from it.
#[derive(Debug, Default)]
pub(super) struct NamedEntries {
    pub(super) specs: Vec<(JobId, JobSpec)>,
    /// Ids that no entry has any more.
    pub(super) gone: Vec<JobId>,
    /// Ids that have passed to an entry of another table, without the state of their jobs.
    pub(super) passed: Vec<JobId>,
}

impl Scheduler {
    /// The entries of a table want no names any more. Returns those that others may have now.
    pub(super) fn release_names(&mut self, number: u32) -> BTreeSet<JobId> {
        self.names.release(number)
    }

    /// Notes which names the entries of a table want, and returns them.
    pub(super) fn claim_names(&mut self, number: u32) -> BTreeSet<JobId> {
        let mut wanted: Vec<(JobId, Claim)> = Vec::new();
        if number == ANACRON {
            let Some(source) = self.entries.anacron.source() else { return BTreeSet::new() };
            let path: Arc<str> = source.path.as_str().into();
            let names = self.entries.anacron.wanted_names();
            let claims = names.map(|(place, entry, name)| (name, Claim::of(source, &path, place, entry)));
            wanted.extend(claims);
        } else if let Some(table) = self.entries.tables.get(number) {
            let path: Arc<str> = table.source().path.as_str().into();
            for entry in 0..table.entries().len() as u32 {
                let claim = || Claim::of(table.source(), &path, entry, (number, entry));
                if let Some(name) = table.name(entry) {
                    wanted.push((JobId::named(self.entries.user_of(table, entry), name), claim()));
                } else if self.names.has_like_derived(self.entries.user_of(table, entry))
                    && let Some(derived) = table.job_id(entry, &self.entries.caller)
                    && self.names.is_wanted(&derived)
                {
                    wanted.push((derived, Claim { is_derived: true, ..claim() }));
                }
            }
        }
        let names: BTreeSet<JobId> = wanted.iter().map(|(name, _)| name.clone()).collect();
        let new = wanted
            .iter()
            .filter(|(name, claim)| !claim.is_derived && is_like_derived(name.name()) && !self.names.is_wanted(name));
        let sought: BTreeSet<JobId> = new.map(|(name, _)| name.clone()).collect();
        if !sought.is_empty() {
            wanted.extend(self.derived_claims(&sought));
        }
        wanted.into_iter().for_each(|(name, claim)| self.names.add(name, claim));
        names
    }

    /// The entries that have one of these names from their commands.
    fn derived_claims(&self, sought: &BTreeSet<JobId>) -> Vec<(JobId, Claim)> {
        let users: BTreeSet<&str> = sought.iter().map(JobId::user).collect();
        let mut found = Vec::new();
        for (number, table) in self.entries.tables.iter() {
            let path: Arc<str> = table.source().path.as_str().into();
            for entry in 0..table.entries().len() as u32 {
                if table.name(entry).is_some() || !users.contains(self.entries.user_of(table, entry)) {
                    continue;
                }
                let derived = table.job_id(entry, &self.entries.caller).filter(|derived| sought.contains(derived));
                let claim = Claim::of(table.source(), &path, entry, (number, entry));
                found.extend(derived.map(|derived| (derived, Claim { is_derived: true, ..claim })));
            }
        }
        found
    }

    /// Whether entries of a table have other ids than their own names because another file has the same base name.
    pub(super) fn has_earlier_copies(&self, number: u32) -> bool {
        self.earlier_copies(number) > 0
    }

    /// How many files of the same base name, which gives the same derived names, a standalone daemon has before this one.
    fn earlier_copies(&self, number: u32) -> usize {
        let Some(table) = self.entries.tables.get(number).filter(|table| table.source().owner == Owner::Caller) else {
            return 0;
        };
        let path = table.source().path.as_str();
        let others = self.copies_of(table.source());
        others
            .into_iter()
            .filter(|other| self.entries.tables.get(*other).is_some_and(|other| *other.source().path < *path))
            .count()
    }

    /// The other files of the same base name in a standalone daemon.
    pub(super) fn copies_of(&self, source: &Source) -> Vec<u32> {
        if source.owner != Owner::Caller {
            return Vec::new();
        }
        let is_copy = |path: &str| path != source.path && base_name(path) == base_name(&source.path);
        let tables = self.entries.tables.iter().filter(|(_, table)| is_copy(&table.source().path));
        tables.map(|(number, _)| number).collect()
    }

    /// The id of an entry: its own name, unless another job of the user has it; then the derived one.
    pub(super) fn resolve(&self, key: EntryKey) -> Option<JobId> {
        let (named, derived) = match key.0 {
            ANACRON => self.entries.anacron.names_of(key.1)?,
            _ => {
                let table = self.entries.tables.get(key.0)?;
                let derived = table.job_id(key.1, &self.entries.caller)?;
                (table.name(key.1).map(|name| JobId::named(derived.user(), name)), derived)
            }
        };
        if let Some(named) = named.filter(|name| self.names.holder(name).is_some_and(|claim| claim.entry == key)) {
            return Some(named);
        }
        let numbered = (2..).map(|number| JobId::of_text(format!("{}-{number}", derived.as_str())));
        let free = std::iter::once(derived.clone()).chain(numbered).filter(|id| self.names.is_free_for_derived(id));
        free.into_iter().nth(self.earlier_copies(key.0))
    }

    /// Gives the entries of a table their ids. Entries of other tables, named in `name_changes`, may get another id by this, since an id belongs to
    /// one entry only. `wanted` are the entries of the table that need an id, and `old` those that had one before.
    pub(super) fn name_entries(
        &mut self,
        number: u32,
        wanted: Vec<(u32, JobSpec)>,
        old: BTreeMap<u32, JobId>,
        name_changes: &NameChanges,
        actions: &mut Vec<Action>,
    ) -> NamedEntries {
        let mut named = NamedEntries::default();
        let mut ids: BTreeSet<JobId> = BTreeSet::new();
        let mut gone: BTreeSet<JobId> = old.into_values().collect();
        let mut passed: BTreeSet<JobId> = BTreeSet::new();
        let mut own = Vec::new();
        for (entry, spec) in wanted {
            let Some(id) = self.resolve((number, entry)) else { continue };
            own.push((entry, id.clone()));
            actions.extend(self.entry_warning((number, entry), &id));
            ids.insert(id.clone());
            named.specs.push((id, spec));
        }
        self.set_ids(number, own);
        let mut others = self.names.others(&name_changes.names, number);
        for &copy in &name_changes.copies {
            let entries = self.entries.tables.get(copy).map_or(0, |table| table.entries().len() as u32);
            others.extend((0..entries).map(|entry| (copy, entry)));
        }
        for key in others {
            let (Some(before), Some(id)) = (self.id_at(key), self.resolve(key)) else { continue };
            if before == id {
                continue;
            }
            let Some(spec) = self.entries.spec_at(key) else { continue };
            actions.extend(self.entry_warning(key, &id));
            passed.extend(gone.get(&id).cloned());
            self.note_renamed(key, &before);
            passed.insert(before.clone());
            gone.insert(before);
            ids.insert(id.clone());
            self.set_id(key, id.clone());
            named.specs.push((id, spec));
        }
        named.gone = gone.into_iter().filter(|id| !ids.contains(id)).collect();
        named.passed = passed.into_iter().filter(|id| ids.contains(id)).collect();
        named
    }

    /// The id that an entry has now.
    fn id_at(&self, key: EntryKey) -> Option<JobId> {
        match key.0 {
            ANACRON => self.entries.anacron.id_of(key.1).cloned(),
            number => self.entries.id_of(self.entries.tables.get(number)?, key.1),
        }
    }

    fn set_ids(&mut self, number: u32, ids: Vec<(u32, JobId)>) {
        match number {
            ANACRON => self.entries.anacron.set_ids(ids.into_iter().collect()),
            _ => {
                if let Some(table) = self.entries.tables.get_mut(number) {
                    table.managed = ids.into_iter().collect();
                }
            }
        }
    }

    fn set_id(&mut self, key: EntryKey, id: JobId) {
        match key.0 {
            ANACRON => self.entries.anacron.set_id(key.1, id),
            number => {
                if let Some(table) = self.entries.tables.get_mut(number) {
                    table.managed.insert(key.1, id);
                }
            }
        }
    }

    /// What is to be said of an entry that has not the name that its table gives it. Of two in one table its parser has spoken.
    fn entry_warning(&self, key: EntryKey, id: &JobId) -> Option<Action> {
        let named = match key.0 {
            ANACRON => self.entries.anacron.names_of(key.1)?.0?,
            number => {
                let table = self.entries.tables.get(number)?;
                JobId::named(self.entries.user_of(table, key.1), table.name(key.1)?)
            }
        };
        let holder = self.names.holder(&named).filter(|holder| named != *id && holder.entry.0 != key.0)?;
        let message = format!(
            "expected a name that no other job has, found {named}, which is the name of an entry of {}; this job is {id}",
            holder.path
        );
        self.entries.entry_warning(key, message)
    }

    /// Gives entries of other tables the names that an unloaded table has left.
    pub(super) fn pass_names_on(
        &mut self,
        number: u32,
        name_changes: &NameChanges,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let named = self.name_entries(number, Vec::new(), BTreeMap::new(), name_changes, actions);
        self.install_jobs(named, now, actions);
    }
}

/// The last component of a path.
fn base_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, base)| base)
}
