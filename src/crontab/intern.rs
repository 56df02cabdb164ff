//! Equal settings, users and timings of a table share one allocation.

use super::memory::{OutOfMemory, SmallAllocations, push};
use super::shared_bytes::SharedBytes;
use super::store::Timing;
use crate::schedule::{Schedule, Zone};
use std::borrow::Borrow;
use std::collections::{HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

/// Most texts, and most users, that are remembered. A table with more has repetitions that are not found; what has to be
/// remembered to find all could be larger than the table.
const MOST_REMEMBERED: usize = 50_000;

/// The number of timings up to which all are compared. Most tables have no more, and need no map.
const FEW_TIMINGS: usize = 16;

/// Bytes that an allocation takes beside its content: reference counts, and what the allocator adds.
const OVERHEAD: usize = 64;

/// The values of the table so far.
#[derive(Debug, Default)]
pub(super) struct Interner {
    texts: HashSet<SharedBytes>,
    users: HashSet<Arc<str>>,
    timings: Timings,
    memory: SmallAllocations,
}

/// The indexes of all timings, however many: the scheduler keeps one timer for equal ones.
#[derive(Debug, Default)]
struct Timings {
    /// The first timing with each text. Mostly there is no other.
    by_text: HashMap<ByText, u32>,
    /// Timings whose text has another timing, too: in another zone, or with another delay.
    others: HashMap<Arc<Timing>, u32>,
}

/// A timing that is found by its text.
#[derive(Debug)]
struct ByText(Arc<Timing>);

impl Borrow<[u8]> for ByText {
    fn borrow(&self) -> &[u8] {
        &self.0.text
    }
}

impl PartialEq for ByText {
    fn eq(&self, other: &ByText) -> bool {
        *self.0.text == *other.0.text
    }
}

impl Eq for ByText {}

impl Hash for ByText {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl Interner {
    /// The name or value of a setting.
    pub fn text(&mut self, text: &[u8]) -> Result<SharedBytes, OutOfMemory> {
        share(&mut self.texts, text, text.len(), &mut self.memory)
    }

    /// The user of an entry.
    pub fn user(&mut self, name: &str) -> Result<Arc<str>, OutOfMemory> {
        share(&mut self.users, name, name.len(), &mut self.memory)
    }

    /// The index of the timing of an entry among `timings`, which gets it if it is new.
    pub fn timing(
        &mut self,
        schedule: Schedule,
        text: &[u8],
        zone: Option<&Arc<Zone>>,
        delay: u32,
        timings: &mut Vec<Arc<Timing>>,
    ) -> Result<u32, OutOfMemory> {
        let index = u32::try_from(timings.len()).map_err(|_| OutOfMemory)?;
        let zone = zone.cloned();
        if timings.len() < FEW_TIMINGS {
            let is_same = |known: &Timing| {
                *known.text == *text && (&known.schedule, &known.zone, known.delay) == (&schedule, &zone, delay)
            };
            if let Some(known) = (0..).zip(&*timings).find_map(|(known, timing)| is_same(timing).then_some(known)) {
                return Ok(known);
            }
            push(timings, Arc::new(Timing { schedule, zone, delay, text: text.into() }))?;
            return Ok(index);
        }
        if self.timings.by_text.is_empty() {
            self.timings.extend(timings);
        }
        let Some((ByText(known), known_index)) = self.timings.by_text.get_key_value(text) else {
            reserve(&mut self.timings.by_text, &mut self.memory)?;
            self.memory.announce(size_of::<Timing>() + text.len() + 2 * OVERHEAD)?;
            let timing = Arc::new(Timing { schedule, zone, delay, text: text.into() });
            push(timings, Arc::clone(&timing))?;
            self.timings.by_text.insert(ByText(timing), index);
            return Ok(index);
        };
        let timing = Timing { schedule, zone, delay, text: known.text.clone() };
        if **known == timing {
            return Ok(*known_index);
        }
        if let Some(&index) = self.timings.others.get(&timing) {
            return Ok(index);
        }
        reserve(&mut self.timings.others, &mut self.memory)?;
        self.memory.announce(size_of::<Timing>() + OVERHEAD)?;
        let timing = Arc::new(timing);
        push(timings, Arc::clone(&timing))?;
        self.timings.others.insert(timing, index);
        Ok(index)
    }
}

impl Timings {
    /// Adds those that were kept while there were few.
    fn extend(&mut self, few: &[Arc<Timing>]) {
        for (index, timing) in (0..).zip(few) {
            if self.by_text.contains_key(&*timing.text) {
                self.others.insert(Arc::clone(timing), index);
            } else {
                self.by_text.insert(ByText(Arc::clone(timing)), index);
            }
        }
    }
}

/// Reserves memory for one more key.
fn reserve<K: Eq + Hash, V>(map: &mut HashMap<K, V>, memory: &mut SmallAllocations) -> Result<(), OutOfMemory> {
    if map.len() == map.capacity() {
        map.try_reserve(1)?;
        memory.recheck();
    }
    Ok(())
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
    if known.len() == known.capacity() {
        known.try_reserve(1)?;
        memory.recheck();
    }
    memory.announce(bytes + OVERHEAD)?;
    let shared = T::from(value);
    known.insert(shared.clone());
    Ok(shared)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{HostKey, JitterKey};

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

    #[test]
    fn each_timing_is_kept_once_whatever_comes_between() {
        let (mut interner, mut timings) = (Interner::default(), Vec::new());
        let berlin = Arc::new(Zone::embedded("Europe/Berlin").unwrap());
        let mut index_of = |text: &str, zone: Option<&Arc<Zone>>, delay: u32| {
            let jitter_key = JitterKey { host: HostKey(0), table: "t", entry: b"" };
            let (schedule, _) = Schedule::read(text.as_bytes(), &jitter_key, &mut Vec::new()).unwrap();
            interner.timing(schedule, text.as_bytes(), zone, delay, &mut timings).unwrap()
        };
        let cases = [
            ("0 5 * * *", None, 0),
            ("0 5 * * *", Some(&berlin), 0),
            ("0 5 * * *", None, 7),
            ("00 5 * * *", None, 0),
            ("1 5 * * *", None, 7),
        ];
        let many: Vec<String> = (0..FEW_TIMINGS).map(|hour| format!("7 {hour} * * *")).collect();
        let of_many = |delay: u32| many.iter().map(move |text| (text.as_str(), None, delay));
        let cases: Vec<_> = cases.into_iter().chain(of_many(0)).chain(of_many(7)).collect();
        for _ in 0..3 {
            for (expected, &(text, zone, delay)) in (0..).zip(&cases) {
                assert_eq!(index_of(text, zone, delay), expected, "{text} {delay}");
            }
        }
        assert_eq!(timings.len(), cases.len());
        assert!(timings[20].text.is_same(&timings[36].text));
    }
}
