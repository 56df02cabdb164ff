//! What a node knows of the keys of its fleet: as they were listed, and as the watch and the answers have shown them since.

use super::key::FleetKey;
use super::message::FleetEntry;
use super::value::{FleetPause, Mark, NodeRecord, RunKey};
use crate::scheduler::job_id::JobId;
use std::collections::BTreeMap;

/// Most nodes of a fleet. Those beyond are ignored.
pub const MOST_NODES: usize = 1_000;
/// Most jobs of a fleet of which keys are kept. Those beyond are not claimed.
pub const MOST_JOBS: usize = 200_000;
/// Most bytes of all keys and values that are kept. Those of 100,000 jobs are 30 MB.
const MOST_BYTES: usize = 256 << 20;
/// What a key takes besides its text and its value, in bytes.
const KEY_SIZE: usize = 200;
/// Most instances of nodes that are gone and remembered.
const MOST_GONE: usize = 4_000;
/// The begin of the year 10000, in milliseconds of UTC.
const END_OF_CLOCKS_MS: i64 = 253_402_300_800_000;

/// A key with its value as text, for comparisons, and as what it means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::scheduler) struct Known<T> {
    /// The value as the engine has it.
    pub(in crate::scheduler) text: String,
    /// What it means. None: this version cannot read it.
    pub(in crate::scheduler) value: Option<T>,
    /// The revision of its last change.
    pub(in crate::scheduler) revision: u64,
    /// When that became known, in milliseconds of the monotonic clock.
    pub(in crate::scheduler) seen_ms: i64,
}

/// The keys of a fleet.
#[derive(Debug, Default)]
pub(in crate::scheduler) struct FleetCache {
    nodes: BTreeMap<String, Known<NodeRecord>>,
    clocks: BTreeMap<String, Known<i64>>,
    marks: BTreeMap<JobId, Known<Mark>>,
    runs: BTreeMap<JobId, Known<RunKey>>,
    pauses: BTreeMap<JobId, Known<FleetPause>>,
    /// Pauses that somebody has ended, or replaced by another one.
    ended_pauses: Vec<(JobId, FleetPause)>,
    /// Boots of machines that are not there any more, with the last name of the node, and since when that is known.
    gone: BTreeMap<String, (String, i64)>,
    /// Marks that the engine has had and has not any more, as it was restored from a snapshot: their slots are over.
    minimum_marks: BTreeMap<JobId, Mark>,
    /// Open marks that a later claim has replaced.
    replaced: Vec<(JobId, Known<Mark>)>,
    space: Space,
    /// The keys that have come with the listing in progress. None: there is none in progress.
    listing: Option<Box<FleetCache>>,
}

impl FleetCache {
    /// A listing begins: what it does not have is gone.
    pub(in crate::scheduler) fn begin_listing(&mut self) {
        self.listing = Some(Box::default());
    }

    /// The listing is complete.
    pub(in crate::scheduler) fn end_listing(&mut self) {
        let Some(mut listed) = self.listing.take() else { return };
        // A node that was gone may have been back meanwhile: that counts anew from now on.
        listed.gone.clear();
        let old = std::mem::replace(self, *listed);
        self.space.has_refused |= old.space.has_refused;
        self.ended_pauses = old.ended_pauses;
        for (job, known) in &self.pauses {
            // Perhaps this node has not seen its end.
            self.ended_pauses
                .extend(known.value.iter().filter(|pause| pause.is_ended).map(|pause| (job.clone(), pause.clone())));
        }
        self.minimum_marks = old.minimum_marks;
        for (job, known) in &old.marks {
            if let Some(mark) = &known.value {
                self.minimum_marks.entry(job.clone()).or_insert_with(|| mark.clone());
            }
        }
        let marks = &self.marks;
        let number = |known: Option<&Known<Mark>>| known.map(|known| known.value.as_ref().map(|mark| mark.number));
        // A repair has a higher number, and a lower slot.
        self.minimum_marks.retain(|job, minimum_mark| match number(marks.get(job)) {
            None => true,
            Some(number) => number.is_some_and(|number| number < minimum_mark.number),
        });
        // A mark that has not changed was not seen only now.
        for (job, known) in old.marks {
            if let Some(mark) = self.marks.get_mut(&job).filter(|mark| mark.text == known.text) {
                mark.seen_ms = known.seen_ms;
            }
        }
    }

    /// Notes when a node has become another one, or is not there any more.
    fn note_gone(&mut self, node: &str, instance: &str, now_ms: i64) {
        if self.has_instance(instance) {
            self.gone.remove(instance);
        } else {
            self.gone.entry(instance.to_owned()).or_insert_with(|| (node.to_owned(), now_ms));
            while self.gone.len() > MOST_GONE {
                let oldest = self.gone.iter().min_by_key(|(_, (_, at))| *at).map(|(key, _)| key.clone());
                oldest.map(|key| self.gone.remove(&key));
            }
        }
    }

    /// Takes a key as it is now. Returns it if it has changed.
    pub(in crate::scheduler) fn apply(&mut self, entry: &FleetEntry, now_ms: i64) -> Option<FleetKey> {
        if let Some(listing) = &mut self.listing {
            listing.apply(entry, now_ms);
            return None;
        }
        let key = FleetKey::of_text(&entry.key)?;
        let space = &mut self.space;
        let is_changed = match &key {
            FleetKey::Node(node) => {
                let old = self.nodes.get(node).and_then(|known| known.value.as_ref()).map(|old| old.instance.clone());
                let is_changed = space.set(&mut self.nodes, MOST_NODES, node, entry, now_ms, json);
                let new = self.nodes.get(node).and_then(|known| known.value.as_ref()).map(|new| new.instance.clone());
                if let Some(old) = old.filter(|_| is_changed) {
                    self.note_gone(node, &old, now_ms);
                }
                if let Some(new) = new {
                    self.gone.remove(&new);
                }
                is_changed
            }
            FleetKey::Clock(node) => space.set(&mut self.clocks, MOST_NODES, node, entry, now_ms, clock),
            FleetKey::Mark(job) => {
                let old = self.marks.get(job).filter(|known| known.value.as_ref().is_some_and(Mark::is_open)).cloned();
                let is_changed = space.set(&mut self.marks, MOST_JOBS, job, entry, now_ms, Mark::of_text);
                let new = self.marks.get(job).and_then(|known| known.value.as_ref());
                if self
                    .minimum_marks
                    .get(job)
                    .is_some_and(|minimum_mark| new.is_some_and(|new| new.number > minimum_mark.number))
                {
                    self.minimum_marks.remove(job);
                }
                let is_newer = |old: &Mark| new.is_some_and(|new| new.number > old.number);
                if let Some(old) = old.filter(|old| old.value.as_ref().is_some_and(is_newer)) {
                    self.replaced.push((job.clone(), old));
                }
                is_changed
            }
            FleetKey::Run(job) => space.set(&mut self.runs, MOST_JOBS, job, entry, now_ms, json),
            FleetKey::Pause(job) => {
                let old = self.pauses.get(job).and_then(|known| known.value.clone());
                let is_changed = space.set(&mut self.pauses, MOST_JOBS, job, entry, now_ms, json);
                let new = self.pauses.get(job).and_then(|known| known.value.as_ref());
                let continues = |old: &FleetPause| new.is_some_and(|new| new.is_same(old) && !new.is_ended);
                if let Some(old) = old.filter(|old| is_changed && !continues(old)) {
                    self.ended_pauses.push((job.clone(), old));
                }
                is_changed
            }
            FleetKey::Jobs(_) | FleetKey::Outcome(..) => false,
        };
        is_changed.then_some(key)
    }

    /// The nodes that are alive.
    pub(in crate::scheduler) fn nodes(&self) -> impl Iterator<Item = (&String, &NodeRecord)> {
        self.nodes.iter().filter_map(|(node, known)| Some((node, known.value.as_ref()?)))
    }

    /// The key of a node.
    pub(in crate::scheduler) fn node(&self, node: &str) -> Option<&Known<NodeRecord>> {
        self.nodes.get(node)
    }

    /// The clocks of the nodes as they are at `now_ms` by our monotonic clock, milliseconds of UTC.
    pub(in crate::scheduler) fn clocks(&self, now_ms: i64) -> impl Iterator<Item = (&String, i64)> {
        let running = move |known: &Known<i64>| Some(known.value?.saturating_add(now_ms.saturating_sub(known.seen_ms)));
        self.clocks.iter().filter_map(move |(node, known)| Some((node, running(known)?)))
    }

    /// When the clock of a node has last come, in milliseconds of the monotonic clock.
    pub(in crate::scheduler) fn clock_seen_ms(&self, node: &str) -> Option<i64> {
        self.clocks.get(node).map(|known| known.seen_ms)
    }

    /// The nodes that this node has seen go, and since when that is known, in milliseconds of the monotonic clock.
    pub(in crate::scheduler) fn gone(&self) -> impl Iterator<Item = (&String, i64)> {
        self.gone.values().map(|(node, since_ms)| (node, *since_ms))
    }

    /// Whether keys were refused since that was last asked for, as more would have been kept than are.
    pub(in crate::scheduler) fn take_refusal(&mut self) -> bool {
        std::mem::take(&mut self.space.has_refused)
    }

    /// Whether the mark of a job would not be kept, so that the job cannot be claimed.
    pub(in crate::scheduler) fn has_no_space_for(&self, job: &JobId) -> bool {
        !self.marks.contains_key(job) && (self.marks.len() >= MOST_JOBS || self.space.bytes >= MOST_BYTES)
    }

    /// The mark of a job.
    pub(in crate::scheduler) fn mark(&self, job: &JobId) -> Option<&Known<Mark>> {
        self.marks.get(job)
    }

    /// Whether this version cannot read the mark of a job.
    pub(in crate::scheduler) fn is_mark_unreadable(&self, job: &JobId) -> bool {
        self.marks.get(job).is_some_and(|known| known.value.is_none())
    }

    /// Whether this version cannot read the pause of a job.
    pub(in crate::scheduler) fn is_pause_unreadable(&self, job: &JobId) -> bool {
        self.pauses.get(job).is_some_and(|known| known.value.is_none())
    }

    /// What the mark of a job was before the engine was restored from a snapshot.
    pub(in crate::scheduler) fn minimum_mark(&self, job: &JobId) -> Option<&Mark> {
        self.minimum_marks.get(job)
    }

    /// The jobs whose marks have to be raised.
    pub(in crate::scheduler) fn minimum_marks(&self) -> impl Iterator<Item = &JobId> {
        self.minimum_marks.keys()
    }

    /// The last slot of a job that was claimed, also before the engine was restored from a snapshot.
    pub(in crate::scheduler) fn last_slot(&self, job: &JobId) -> Option<i64> {
        let mark = self.marks.get(job).and_then(|known| known.value.as_ref()).map(|mark| mark.slot);
        mark.max(self.minimum_marks.get(job).map(|minimum_mark| minimum_mark.slot))
    }

    /// Takes out open marks that a later claim has replaced.
    pub(in crate::scheduler) fn take_replaced(&mut self) -> Vec<(JobId, Known<Mark>)> {
        std::mem::take(&mut self.replaced)
    }

    /// The watermarks of all jobs of the fleet, also of jobs that this node does not have.
    pub(in crate::scheduler) fn marks(&self) -> impl Iterator<Item = (&JobId, &Known<Mark>)> {
        self.marks.iter()
    }

    /// The runs in progress.
    pub(in crate::scheduler) fn runs(&self) -> impl Iterator<Item = (&JobId, &Known<RunKey>)> {
        self.runs.iter()
    }

    /// The run of a job that is in progress.
    pub(in crate::scheduler) fn run(&self, job: &JobId) -> Option<&Known<RunKey>> {
        self.runs.get(job)
    }

    /// Takes out the pauses that somebody has ended, or replaced by another one.
    pub(in crate::scheduler) fn take_ended_pauses(&mut self) -> Vec<(JobId, FleetPause)> {
        std::mem::take(&mut self.ended_pauses)
    }

    /// The pause of a job.
    pub(in crate::scheduler) fn pause(&self, job: &JobId) -> Option<&Known<FleetPause>> {
        self.pauses.get(job)
    }

    /// Since when a boot of a machine is known to be gone, in milliseconds of the monotonic clock. None: it is there, or nobody has asked.
    pub(in crate::scheduler) fn gone_ms(&self, instance: &str) -> Option<i64> {
        self.gone.get(instance).map(|(_, since_ms)| *since_ms)
    }

    /// Whether that boot of a machine is alive, perhaps under another name.
    pub(in crate::scheduler) fn has_instance(&self, instance: &str) -> bool {
        self.nodes.values().any(|known| known.value.as_ref().is_some_and(|record| record.instance == instance))
    }

    /// Since when it is known to be gone, and from now on if nothing was known of it. None: it is there.
    pub(in crate::scheduler) fn gone_since(&mut self, node: &str, instance: &str, now_ms: i64) -> Option<i64> {
        if self.has_instance(instance) {
            return None;
        }
        // It was perhaps gone before this node has known anything of it.
        self.note_gone(node, instance, now_ms);
        self.gone_ms(instance)
    }
}

/// Reads the clock of a node, milliseconds of UTC. None: it is not in the years 1970 to 9999.
fn clock(text: &str) -> Option<i64> {
    text.parse().ok().filter(|at| (0..END_OF_CLOCKS_MS).contains(at))
}

fn json<T: serde::de::DeserializeOwned>(text: &str) -> Option<T> {
    serde_json::from_str(text).ok()
}

/// The memory that the keys take.
#[derive(Debug, Default)]
struct Space {
    /// Bytes of all keys and values.
    bytes: usize,
    /// Whether a key or value was not kept.
    has_refused: bool,
}

impl Space {
    /// Sets or removes a key, unless a newer value is known, or it would be one too many. False: nothing has changed.
    fn set<K: Ord + Clone, T>(
        &mut self,
        map: &mut BTreeMap<K, Known<T>>,
        most: usize,
        key: &K,
        entry: &FleetEntry,
        now_ms: i64,
        read: impl Fn(&str) -> Option<T>,
    ) -> bool {
        let old = map.get(key);
        if old.is_some_and(|known| known.revision >= entry.revision) {
            return false;
        }
        let size = |text: &str| KEY_SIZE + entry.key.len() + text.len();
        let rest = self.bytes.saturating_sub(old.map_or(0, |known| size(&known.text)));
        let Some(text) = &entry.value else {
            self.bytes = rest;
            return map.remove(key).is_some();
        };
        let bytes = rest.saturating_add(size(text));
        if (old.is_none() && map.len() >= most) || (bytes > MOST_BYTES && bytes > self.bytes) {
            self.has_refused = true;
            return false;
        }
        self.bytes = bytes;
        let known = Known { text: text.clone(), value: read(text), revision: entry.revision, seen_ms: now_ms };
        map.insert(key.clone(), known);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_exceeds_a_limit_is_refused_and_the_rest_is_kept() {
        let (mut map, mut space) = (BTreeMap::new(), Space::default());
        let entry = |key: &str, value: Option<usize>, revision| FleetEntry {
            key: key.to_owned(),
            value: value.map(|length| "x".repeat(length)),
            revision,
        };
        let mut set = |key: &str, value: Option<usize>, revision| {
            let is_set =
                space.set(&mut map, 2, &key.to_owned(), &entry(key, value, revision), 0, |text| Some(text.len()));
            (is_set, std::mem::take(&mut space.has_refused))
        };
        assert_eq!([set("a", Some(1), 1), set("b", Some(1), 2)], [(true, false); 2]);
        assert_eq!(set("c", Some(1), 3), (false, true), "one too many");
        assert_eq!(set("a", Some(2), 4), (true, false), "one that is there changes");
        assert_eq!(set("a", Some(MOST_BYTES), 5), (false, true), "too long");
        assert_eq!([set("a", None, 6), set("c", Some(1), 7)], [(true, false); 2]);
        assert_eq!([set("b", None, 8), set("c", None, 9)], [(true, false); 2]);
        assert_eq!(space.bytes, 0);
    }

    #[test]
    fn a_clock_is_in_the_years_1970_to_9999() {
        assert_eq!(clock("0"), Some(0));
        assert_eq!(clock("253402300799999"), Some(253_402_300_799_999));
        for text in ["-1", "253402300800000", "9223372036854775807", "-9223372036854775808", "", "x"] {
            assert_eq!(clock(text), None, "{text}");
        }
    }
}
