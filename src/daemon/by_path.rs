//! A map by path that keeps the name of each directory once: a spool may hold a hundred thousand tables.

use super::name::Name;
use std::collections::{BTreeMap, HashMap};

/// Values by the paths of files.
#[derive(Debug)]
pub(super) struct ByPath<V> {
    /// By directory, its last slash included, and by name in it.
    directories: BTreeMap<Box<str>, HashMap<Name, V>>,
}

impl<V> Default for ByPath<V> {
    fn default() -> ByPath<V> {
        ByPath { directories: BTreeMap::new() }
    }
}

fn split(path: &str) -> (&str, &str) {
    path.split_at(memchr::memrchr(b'/', path.as_bytes()).map_or(0, |slash| slash + 1))
}

impl<V> ByPath<V> {
    pub(super) fn get(&self, path: &str) -> Option<&V> {
        let (directory, name) = split(path);
        self.directories.get(directory)?.get(name)
    }

    pub(super) fn get_mut(&mut self, path: &str) -> Option<&mut V> {
        let (directory, name) = split(path);
        self.directories.get_mut(directory)?.get_mut(name)
    }

    pub(super) fn contains(&self, path: &str) -> bool {
        self.get(path).is_some()
    }

    /// The values in a directory, its last slash included, by name.
    pub(super) fn within_mut(&mut self, directory: &str) -> impl Iterator<Item = (&str, &mut V)> {
        let names = self.directories.get_mut(directory).into_iter().flatten();
        names.map(|(name, value)| (name.as_str(), value))
    }

    pub(super) fn insert(&mut self, path: &str, value: V) {
        let (directory, name) = split(path);
        let names = match self.directories.get_mut(directory) {
            Some(names) => names,
            None => self.directories.entry(directory.into()).or_default(),
        };
        match names.get_mut(name) {
            Some(before) => *before = value,
            None => {
                names.insert(name.into(), value);
            }
        }
    }

    pub(super) fn remove(&mut self, path: &str) -> Option<V> {
        let (directory, name) = split(path);
        let names = self.directories.get_mut(directory)?;
        let removed = names.remove(name);
        if names.is_empty() {
            self.directories.remove(directory);
        }
        removed
    }

    /// The paths of all values that are wanted.
    pub(super) fn paths(&self, wanted: impl Fn(&V) -> bool) -> Vec<String> {
        let all =
            self.directories.iter().flat_map(|(directory, names)| names.iter().map(move |name| (directory, name)));
        all.filter(|(_, (_, value))| wanted(value))
            .map(|(directory, (name, _))| [directory, name.as_str()].concat())
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_by_path_and_gone_when_removed() {
        let mut map = ByPath::default();
        for (path, value) in [("/a/x", 1), ("/a/y", 2), ("/b/x", 3), ("x", 4), ("/a/x", 5)] {
            map.insert(path, value);
        }
        assert_eq!([map.get("/a/x"), map.get("x"), map.get("/a")], [Some(&5), Some(&4), None]);
        map.get_mut("/b/x").into_iter().for_each(|value| *value = 6);
        assert_eq!(map.within_mut("/b/").map(|(name, value)| (name, *value)).collect::<Vec<_>>(), [("x", 6)]);
        assert_eq!(map.within_mut("/c/").count(), 0);
        let mut paths = map.paths(|value| *value > 4);
        paths.sort();
        assert_eq!(paths, ["/a/x", "/b/x"]);
        assert_eq!([map.remove("/b/x"), map.remove("/b/x")], [Some(6), None]);
        assert!(!map.contains("/b/x") && map.contains("/a/y"));
    }
}
