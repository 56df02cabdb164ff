//! The name of a file, kept where it stands: there may be a hundred thousand, each looked at every ten minutes when nothing of them
//! is in a cache any more.

use std::borrow::Borrow;
use std::hash::{Hash, Hasher};

/// Bytes of a name that takes no memory of its own. Hardly any user's is longer (useradd(8) allows 32).
const SHORT: usize = 22;

/// A name; equal to and hashed like its text.
#[derive(Debug)]
pub(super) struct Name(Kept);

#[derive(Debug)]
enum Kept {
    Short { length: u8, bytes: [u8; SHORT] },
    Long(Box<str>),
}

impl Name {
    pub(super) fn as_str(&self) -> &str {
        match &self.0 {
            // They were text when they were put there.
            Kept::Short { length, bytes } => {
                bytes.get(..usize::from(*length)).and_then(|name| std::str::from_utf8(name).ok()).unwrap_or_default()
            }
            Kept::Long(name) => name,
        }
    }
}

impl From<&str> for Name {
    fn from(name: &str) -> Name {
        let mut bytes = [0; SHORT];
        match bytes.get_mut(..name.len()) {
            Some(place) => {
                place.copy_from_slice(name.as_bytes());
                Name(Kept::Short { length: name.len() as u8, bytes })
            }
            None => Name(Kept::Long(name.into())),
        }
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Name {}

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn names_of_all_lengths_are_what_they_were_and_found_by_their_text() {
        let names: Vec<String> = (0..40).map(|length| "\u{e4}b".repeat(length)).chain(["root".to_owned()]).collect();
        let set: HashSet<Name> = names.iter().map(|name| Name::from(name.as_str())).collect();
        assert_eq!(set.len(), names.len());
        for name in &names {
            assert_eq!(set.get(name.as_str()).map(Name::as_str), Some(name.as_str()));
        }
        assert!(!set.contains("roo"));
    }
}
