//! Equal texts, users and timings of a table share one allocation.

use super::memory::{OutOfMemory, SmallAllocations};
use super::shared_bytes::SharedBytes;
use super::store::Timing;
use std::borrow::Borrow;
use std::collections::HashSet;
use std::hash::Hash;
use std::sync::Arc;

/// Most texts, and most users, that are remembered. A table with more has repetitions that are not found; what has to be
/// remembered to find all could be larger than the table.
const MOST_REMEMBERED: usize = 50_000;

/// Bytes that an allocation takes beside its content: reference counts, and what the allocator adds.
const OVERHEAD: usize = 64;

/// The values of the table so far.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: HashSet<SharedBytes>,
    /// Kept apart from the other texts, which may be too many to be remembered.
    schedule_texts: HashSet<SharedBytes>,
    users: HashSet<Arc<str>>,
    /// All timings, however many: the scheduler keeps one timer for equal ones.
    timings: HashSet<Arc<Timing>>,
    memory: SmallAllocations,
}

impl Interner {
    /// The command of an entry, or the name or value of a setting.
    pub fn text(&mut self, text: &[u8]) -> Result<SharedBytes, OutOfMemory> {
        share(&mut self.texts, text, text.len(), &mut self.memory)
    }

    /// The text of a schedule.
    pub fn schedule_text(&mut self, text: &[u8]) -> Result<SharedBytes, OutOfMemory> {
        share(&mut self.schedule_texts, text, text.len(), &mut self.memory)
    }

    /// The user of an entry.
    pub fn user(&mut self, name: &str) -> Result<Arc<str>, OutOfMemory> {
        share(&mut self.users, name, name.len(), &mut self.memory)
    }

    /// The timing of an entry.
    pub fn timing(&mut self, timing: Timing) -> Result<Arc<Timing>, OutOfMemory> {
        if let Some(known) = self.timings.get(&timing) {
            return Ok(known.clone());
        }
        if self.timings.len() == self.timings.capacity() {
            self.timings.try_reserve(1)?;
            self.memory.recheck();
        }
        self.memory.announce(size_of::<Timing>() + OVERHEAD)?;
        let timing = Arc::new(timing);
        self.timings.insert(timing.clone());
        Ok(timing)
    }
}

fn share<T, U>(known: &mut HashSet<T>, value: &U, bytes: usize, memory: &mut SmallAllocations) -> Result<T, OutOfMemory>
where
    T: Borrow<U> + Clone + Eq + Hash + for<'a> From<&'a U>,
    U: Eq + Hash + ?Sized,
{
    if let Some(known) = known.get(value) {
        return Ok(known.clone());
    }
    if known.len() == MOST_REMEMBERED {
        known.clear();
    }
    memory.announce(bytes + OVERHEAD)?;
    let shared = T::from(value);
    known.insert(shared.clone());
    Ok(shared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_texts_share_one_allocation_even_in_a_table_with_very_many() {
        let mut interner = Interner::default();
        let first = interner.text(b"true").unwrap();
        assert!(first.is_same(&interner.text(b"true").unwrap()));
        assert!(!first.is_same(&interner.text(b"false").unwrap()));
        for number in 0..3 * MOST_REMEMBERED {
            interner.text(number.to_string().as_bytes()).unwrap();
        }
        assert!(interner.texts.len() <= MOST_REMEMBERED);
        let later = interner.text(b"true").unwrap();
        assert_eq!(later, first);
        assert!(later.is_same(&interner.text(b"true").unwrap()));
        assert!(Arc::ptr_eq(&interner.user("root").unwrap(), &interner.user("root").unwrap()));
    }
}
