//! Resources that are counted for each owner of jobs: turns in a queue, and memory.

use crate::scheduler::{Environment, Owner, RunRequest, SharedBytes};
use std::collections::{HashMap, HashSet, VecDeque};
use std::rc::Rc;

/// Limits in bytes for commands, environments and standard input: of one owner, of all owners together, and what an owner can always use
/// whatever the others use.
const HELD_PER_OWNER: usize = 32 << 20;
const HELD_TOGETHER: usize = 128 << 20;
const HELD_ALWAYS: usize = 2 << 20;

/// Identifies an owner of jobs. A user's crontab and the system's entries that run as that user are different owners.
pub(super) type OwnerKey = Rc<str>;

/// The owner of a requested run.
pub(super) fn owner_of(start: &RunRequest) -> OwnerKey {
    match start.source.owner {
        // No user's name begins with a slash.
        Owner::System => format!("/{}", start.user).into(),
        Owner::User { .. } | Owner::Caller => start.user.as_str().into(),
    }
}

/// A queue that serves its owners in turn, whatever number of items each has.
#[derive(Debug)]
pub(super) struct FairQueue<T> {
    queues: HashMap<OwnerKey, VecDeque<T>>,
    /// The owners with queued items, in the order of their turns.
    order: VecDeque<OwnerKey>,
    len: usize,
}

impl<T> Default for FairQueue<T> {
    fn default() -> FairQueue<T> {
        FairQueue { queues: HashMap::new(), order: VecDeque::new(), len: 0 }
    }
}

impl<T> FairQueue<T> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The number of queued items of an owner.
    pub(super) fn len_of(&self, owner: &OwnerKey) -> usize {
        self.queues.get(owner).map_or(0, VecDeque::len)
    }

    /// The owners with queued items, in the order of their turns.
    pub(super) fn owners(&self) -> impl Iterator<Item = &OwnerKey> {
        self.order.iter()
    }

    /// The next item of each owner.
    pub(super) fn firsts(&self) -> impl Iterator<Item = &T> {
        self.queues.values().filter_map(VecDeque::front)
    }

    /// Appends an item to the queue of its owner.
    pub(super) fn push_back(&mut self, owner: OwnerKey, item: T) {
        let queue = self.queues.entry(owner.clone()).or_default();
        if queue.is_empty() {
            self.order.push_back(owner);
        }
        queue.push_back(item);
        self.len += 1;
    }

    /// Puts an item back, to be the next one of all owners.
    pub(super) fn push_front(&mut self, owner: OwnerKey, item: T) {
        let queue = self.queues.entry(owner.clone()).or_default();
        if !queue.is_empty() {
            self.order.retain(|other| *other != owner);
        }
        self.order.push_front(owner);
        queue.push_front(item);
        self.len += 1;
    }

    /// Takes the next item of the first owner in turn that satisfies the condition.
    pub(super) fn pop_if(&mut self, condition: impl Fn(&OwnerKey) -> bool) -> Option<(OwnerKey, T)> {
        let place = self.order.iter().position(condition)?;
        let owner = self.order.remove(place)?;
        let queue = self.queues.get_mut(&owner)?;
        let item = queue.pop_front()?;
        self.len -= 1;
        if queue.is_empty() {
            self.queues.remove(&owner);
        } else {
            self.order.push_back(owner.clone());
        }
        Some((owner, item))
    }

    /// All queued items, in no particular order.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.queues.values().flatten()
    }

    /// Takes all items, in no particular order.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = T> + use<T> {
        std::mem::take(self).queues.into_values().flatten()
    }
}

/// A limit on the memory that is kept for jobs, per owner and for all together.
#[derive(Debug)]
pub(super) struct MemoryBudget {
    /// Maximum number of bytes of one owner.
    per_owner: usize,
    /// Maximum number of bytes of all owners together.
    together: usize,
    /// Number of bytes that an owner may always have, whatever the others have.
    always: usize,
    of_owner: HashMap<OwnerKey, usize>,
    total: usize,
}

impl MemoryBudget {
    pub(super) fn new(per_owner: usize, together: usize, always: usize) -> MemoryBudget {
        MemoryBudget { per_owner, together, always, of_owner: HashMap::new(), total: 0 }
    }

    /// Whether an owner may use this many more bytes.
    pub(super) fn has_capacity(&self, owner: &OwnerKey, bytes: usize) -> bool {
        let then = self.of_owner.get(owner).copied().unwrap_or(0).saturating_add(bytes);
        then <= self.per_owner && (then <= self.always || self.total.saturating_add(bytes) <= self.together)
    }

    pub(super) fn take(&mut self, owner: &OwnerKey, bytes: usize) {
        if bytes > 0 {
            *self.of_owner.entry(owner.clone()).or_default() += bytes;
            self.total += bytes;
        }
    }

    pub(super) fn give_back(&mut self, owner: &OwnerKey, bytes: usize) {
        self.total = self.total.saturating_sub(bytes);
        if let Some(kept) = self.of_owner.get_mut(owner) {
            *kept = kept.saturating_sub(bytes);
            if *kept == 0 {
                self.of_owner.remove(owner);
            }
        }
    }

    #[cfg(test)]
    pub(super) fn total(&self) -> usize {
        self.total
    }
}

/// Commands and environments, each stored once for each owner, however many of its runs use it. Owners share nothing, so that each is
/// charged for its own jobs.
#[derive(Debug, Default)]
pub(super) struct Interner {
    known: HashMap<OwnerKey, HashSet<SharedBytes>>,
}

impl Interner {
    /// Returns the shared copy of these bytes. `budget` is charged if the copy is new.
    pub(super) fn intern(&mut self, owner: &OwnerKey, bytes: SharedBytes, budget: &mut MemoryBudget) -> SharedBytes {
        let known = self.known.entry(owner.clone()).or_default();
        if let Some(known) = known.get(&bytes) {
            return known.clone();
        }
        budget.take(owner, bytes.len());
        known.insert(bytes.clone());
        bytes
    }

    /// Releases the bytes of a run. Must be called while the run still holds its copy.
    pub(super) fn release(&mut self, owner: &OwnerKey, bytes: &SharedBytes, budget: &mut MemoryBudget) {
        let Some(known) = self.known.get_mut(owner) else { return };
        if known.get(bytes).is_some_and(|known| known.is_same(bytes) && known.holders() == 2) {
            known.remove(bytes);
            budget.give_back(owner, bytes.len());
        }
        if known.is_empty() {
            self.known.remove(owner);
        }
    }
}

/// The memory that is kept for the jobs of all owners.
#[derive(Debug)]
pub(super) struct OwnerMemory {
    interner: Interner,
    /// The budget for commands, environments and pending standard input.
    pub(super) requests: MemoryBudget,
    /// The budget for output and mails.
    pub(super) output: MemoryBudget,
}

impl OwnerMemory {
    pub(super) fn new(output: MemoryBudget) -> OwnerMemory {
        let requests = MemoryBudget::new(HELD_PER_OWNER, HELD_TOGETHER, HELD_ALWAYS);
        OwnerMemory { interner: Interner::default(), requests, output }
    }

    /// Makes a request share the command and environment of its owner's other runs. False if the owner's budget does not allow it.
    pub(super) fn take_request(&mut self, owner: &OwnerKey, start: &mut RunRequest) -> bool {
        // The command counts twice, as part of it may be the job's standard input.
        let size = 2 * start.command.len() + start.variables.bytes().len();
        if !self.requests.has_capacity(owner, size) {
            return false;
        }
        start.command = self.interner.intern(owner, start.command.clone(), &mut self.requests);
        let variables = self.interner.intern(owner, start.variables.bytes().clone(), &mut self.requests);
        start.variables = Environment::with_bytes(variables);
        true
    }

    /// Releases the memory of a request that is finished.
    pub(super) fn release_request(&mut self, start: &RunRequest) {
        let owner = owner_of(start);
        self.interner.release(&owner, &start.command, &mut self.requests);
        self.interner.release(&owner, start.variables.bytes(), &mut self.requests);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str) -> OwnerKey {
        name.into()
    }

    #[test]
    fn owners_take_turns_and_each_keeps_its_order() {
        let mut turns = FairQueue::default();
        (0..100).for_each(|number| turns.push_back(owner("alice"), number));
        turns.push_back(owner("bob"), 1000);
        turns.push_back(owner("bob"), 1001);
        let taken: Vec<i32> = std::iter::from_fn(|| turns.pop_if(|_| true)).map(|(_, item)| item).take(5).collect();
        assert_eq!(taken, [0, 1000, 1, 1001, 2]);
        turns.push_front(owner("alice"), 2);
        assert_eq!(turns.len_of(&owner("alice")), 98);
        assert_eq!(turns.pop_if(|_| true), Some((owner("alice"), 2)));
        assert_eq!(turns.pop_if(|name| **name == *"bob"), None);
        assert_eq!(turns.take_all().count(), 97);
        assert!(turns.is_empty());
    }

    #[test]
    fn an_owner_has_its_share_whatever_the_others_have() {
        let mut budget = MemoryBudget::new(100, 150, 10);
        let (alice, bob, carol) = (owner("alice"), owner("bob"), owner("carol"));
        assert!(budget.has_capacity(&alice, 100) && !budget.has_capacity(&alice, 101));
        budget.take(&alice, 100);
        assert!(budget.has_capacity(&bob, 50) && !budget.has_capacity(&bob, 51));
        budget.take(&bob, 50);
        assert!(budget.has_capacity(&carol, 10) && !budget.has_capacity(&carol, 11));
        budget.give_back(&alice, 100);
        assert!(budget.has_capacity(&carol, 100));
        budget.give_back(&bob, 50);
        assert_eq!(budget.total(), 0);
    }

    #[test]
    fn equal_bytes_are_kept_once_and_only_while_somebody_uses_them() {
        let (mut interner, mut budget) = (Interner::default(), MemoryBudget::new(1000, 1000, 0));
        let alice = owner("alice");
        let first = interner.intern(&alice, b"abc".to_vec().into(), &mut budget);
        let second = interner.intern(&alice, b"abc".to_vec().into(), &mut budget);
        assert_eq!((first.as_ptr(), budget.total()), (second.as_ptr(), 3));
        interner.release(&alice, &first, &mut budget);
        drop(first);
        assert_eq!(budget.total(), 3);
        interner.release(&alice, &second, &mut budget);
        assert_eq!((budget.total(), interner.known.len()), (0, 0));
    }

    #[test]
    fn each_owner_is_charged_for_its_own_copy_of_equal_bytes() {
        let (mut interner, mut budget) = (Interner::default(), MemoryBudget::new(3, 1000, 0));
        let (alice, bob) = (owner("alice"), owner("bob"));
        let of_alice = interner.intern(&alice, b"abc".to_vec().into(), &mut budget);
        let of_bob = interner.intern(&bob, b"abc".to_vec().into(), &mut budget);
        assert_eq!(budget.total(), 6);
        assert!(!budget.has_capacity(&alice, 1) && !budget.has_capacity(&bob, 1));
        interner.release(&alice, &of_alice, &mut budget);
        assert!(budget.has_capacity(&alice, 3) && !budget.has_capacity(&bob, 1));
        interner.release(&bob, &of_bob, &mut budget);
        assert_eq!(budget.total(), 0);
    }
}
