//! A hierarchical timing wheel on UTC seconds.
//!
//! It has six levels of 64 buckets. A bucket of level 0 holds one second, of level 1 64 seconds, and so on to 34 years; together they
//! reach 2,177 years, and one more list holds the timers beyond that. The *hand* is the second up to which timers have expired. A timer's
//! level is the highest group of six bits in which its due second differs from the hand, so a timer moves down at most six times in its
//! life, and one bitmap for each level finds the first bucket. Buckets are doubly linked lists through one array of 16-byte nodes.

use crate::schedule::Timestamp;
use std::cell::Cell;

/// A timer in the wheel: an index into the scheduler's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer(pub u32);

/// Timers by due second. Arming and cancelling are O(1); expiry costs what is due.
#[derive(Debug)]
pub struct Wheel {
    /// Everything due before the hand has been taken out.
    hand: i64,
    nodes: Vec<Node>,
    levels: [Level; LEVELS],
    /// Timers further from the hand than the levels reach.
    beyond: List,
    /// The number of links that were followed or changed: the work, which a test compares with the number of timers.
    #[cfg(test)]
    pub(super) touched: Cell<u64>,
}

const BITS: u32 = 6;
const BUCKETS: usize = 1 << BITS;
const LEVELS: usize = 6;
const NONE: u32 = u32::MAX;
/// The due second of a timer that is not armed.
const IDLE: i64 = i64::MIN;
/// Stands for a list's earliest due second when that is not known.
const UNKNOWN: i64 = i64::MIN;

#[derive(Clone, Copy, Debug)]
struct Node {
    due: i64,
    next: u32,
    prev: u32,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    level: usize,
    bucket: usize,
}

#[derive(Clone, Debug)]
struct Level {
    /// Bit n is set if bucket n holds a timer.
    taken: u64,
    buckets: [List; BUCKETS],
}

#[derive(Clone, Debug)]
struct List {
    head: u32,
    /// The earliest due second in the list, or [`UNKNOWN`] from the cancellation of that timer until it is computed again.
    earliest: Cell<i64>,
}

impl List {
    const fn empty() -> List {
        List { head: NONE, earliest: Cell::new(i64::MAX) }
    }
}

impl Level {
    fn empty() -> Level {
        Level { taken: 0, buckets: [const { List::empty() }; BUCKETS] }
    }
}

impl Wheel {
    /// An empty wheel whose hand stands at `now`.
    pub fn new(now: Timestamp) -> Wheel {
        Wheel {
            hand: now.0,
            nodes: Vec::new(),
            levels: std::array::from_fn(|_| Level::empty()),
            beyond: List::empty(),
            #[cfg(test)]
            touched: Cell::new(0),
        }
    }

    /// Arms a timer for one due second; arming it again moves it. A due second before the hand becomes that of the hand.
    pub fn arm(&mut self, timer: Timer, due: Timestamp) {
        self.cancel(timer);
        let index = timer.0 as usize;
        if index >= self.nodes.len() {
            grow(&mut self.nodes, index);
        }
        self.link(timer.0, due.0.max(self.hand));
    }

    /// Disarms a timer. Nothing happens if it was not armed.
    pub fn cancel(&mut self, timer: Timer) {
        let Some(node) = self.nodes.get(timer.0 as usize).copied() else { return };
        if node.due == IDLE {
            return;
        }
        self.work(1);
        if node.next != NONE {
            self.nodes[node.next as usize].prev = node.prev;
        }
        if node.prev != NONE {
            self.nodes[node.prev as usize].next = node.next;
        }
        let place = self.place(node.due);
        let list = self.list_mut(place);
        if node.prev == NONE {
            list.head = node.next;
        }
        if list.head == NONE {
            *list = List::empty();
            if let Some(Place { level, bucket }) = place {
                self.levels[level].taken &= !(1 << bucket);
            }
        } else if list.earliest.get() == node.due {
            list.earliest.set(UNKNOWN);
        }
        self.nodes[timer.0 as usize].due = IDLE;
    }

    /// The due second of a timer, if it is armed.
    pub fn due(&self, timer: Timer) -> Option<Timestamp> {
        self.nodes.get(timer.0 as usize).filter(|node| node.due != IDLE).map(|node| Timestamp(node.due))
    }

    /// The earliest due second of all timers.
    pub fn next_due(&self) -> Option<Timestamp> {
        match self.first_bucket() {
            Some(Place { level, bucket }) => Some(Timestamp(self.earliest(&self.levels[level].buckets[bucket]))),
            None if self.beyond.head != NONE => Some(Timestamp(self.earliest(&self.beyond))),
            None => None,
        }
    }

    /// Moves the hand to `now` and takes out all timers that are due up to it, earliest first. A `now` before the hand takes out
    /// nothing: after a step of the clock back, call [`Wheel::clear`] and arm the timers again.
    pub fn expire(&mut self, now: Timestamp, into: &mut Vec<(Timestamp, Timer)>) {
        if now.0 < self.hand {
            return;
        }
        loop {
            while let Some(place) = self.first_bucket() {
                let start = self.start_of(place);
                if start > now.0 {
                    break;
                }
                self.hand = self.hand.max(start);
                self.empty_bucket(place, into);
            }
            // Only when the levels hold nothing up to the end of their reach can the list beyond them be next.
            let block = match self.beyond.head {
                NONE => break,
                _ => self.earliest(&self.beyond) & !REACH,
            };
            if block > now.0 {
                break;
            }
            self.hand = self.hand.max(block);
            self.fetch_from_beyond();
        }
        self.hand = now.0;
    }

    /// Disarms every timer and sets the hand, which may go back.
    pub fn clear(&mut self, hand: Timestamp) {
        for node in &mut self.nodes {
            node.due = IDLE;
        }
        for level in self.levels.iter_mut().filter(|level| level.taken != 0) {
            *level = Level::empty();
        }
        self.beyond = List::empty();
        self.hand = hand.0;
    }

    /// Puts an idle node into the list of its due second.
    fn link(&mut self, timer: u32, due: i64) {
        self.work(1);
        let place = self.place(due);
        if let Some(Place { level, bucket }) = place {
            self.levels[level].taken |= 1 << bucket;
        }
        let list = self.list_mut(place);
        let next = std::mem::replace(&mut list.head, timer);
        if list.earliest.get() != UNKNOWN {
            list.earliest.set(list.earliest.get().min(due));
        }
        if next != NONE {
            self.nodes[next as usize].prev = timer;
        }
        self.nodes[timer as usize] = Node { due, next, prev: NONE };
    }

    /// Empties a bucket: its timers expire at level 0 and move to lower levels otherwise.
    fn empty_bucket(&mut self, place: Place, into: &mut Vec<(Timestamp, Timer)>) {
        let level = &mut self.levels[place.level];
        level.taken &= !(1 << place.bucket);
        let mut at = std::mem::replace(&mut level.buckets[place.bucket], List::empty()).head;
        while at != NONE {
            let Node { due, next, .. } = self.nodes[at as usize];
            if place.level == 0 {
                self.work(1);
                self.nodes[at as usize].due = IDLE;
                into.push((Timestamp(due), Timer(at)));
            } else {
                self.link(at, due);
            }
            at = next;
        }
    }

    /// Distributes the list beyond the levels again, after the hand has moved on.
    fn fetch_from_beyond(&mut self) {
        let mut at = std::mem::replace(&mut self.beyond, List::empty()).head;
        while at != NONE {
            let Node { due, next, .. } = self.nodes[at as usize];
            self.link(at, due);
            at = next;
        }
    }

    /// The level and bucket of a due second at the present hand. None: the second is beyond all levels. It stays the same until the bucket is
    /// emptied, because the hand never passes a bucket with timers.
    fn place(&self, due: i64) -> Option<Place> {
        let differing = (due ^ self.hand) as u64;
        let level = (63 - (differing | 1).leading_zeros()) / BITS;
        let bucket = (due >> (level * BITS)) as usize & (BUCKETS - 1);
        let level = level as usize;
        (level < LEVELS).then_some(Place { level, bucket })
    }

    /// The first second of a bucket.
    fn start_of(&self, Place { level, bucket }: Place) -> i64 {
        let shift = level as u32 * BITS;
        let above = self.hand >> (shift + BITS) << (shift + BITS);
        above | (bucket as i64) << shift
    }

    /// The earliest bucket with timers. A lower level is always before a higher one.
    fn first_bucket(&self) -> Option<Place> {
        let (level, found) = self.levels.iter().enumerate().find(|(_, level)| level.taken != 0)?;
        Some(Place { level, bucket: found.taken.trailing_zeros() as usize })
    }

    fn list_mut(&mut self, place: Option<Place>) -> &mut List {
        match place {
            Some(Place { level, bucket }) => &mut self.levels[level].buckets[bucket],
            None => &mut self.beyond,
        }
    }

    /// The earliest due second of a list that is not empty.
    fn earliest(&self, list: &List) -> i64 {
        if list.earliest.get() == UNKNOWN {
            let mut earliest = i64::MAX;
            let mut at = list.head;
            while at != NONE {
                self.work(1);
                let node = &self.nodes[at as usize];
                earliest = earliest.min(node.due);
                at = node.next;
            }
            list.earliest.set(earliest);
        }
        list.earliest.get()
    }

    #[cfg(test)]
    fn work(&self, links: u64) {
        self.touched.set(self.touched.get() + links);
    }

    #[cfg(not(test))]
    #[inline(always)]
    fn work(&self, _links: u64) {}
}

/// The bits of a second that select a bucket.
const REACH: i64 = (1 << (BITS as usize * LEVELS)) - 1;

/// Reserves memory for a node. It reserves an eighth more than needed and not the double, since the array is most of the wheel's memory.
fn grow(nodes: &mut Vec<Node>, index: usize) {
    if index >= nodes.capacity() {
        nodes.reserve_exact(index + 1 - nodes.len() + index / 8 + 16);
    }
    nodes.resize(index + 1, Node { due: IDLE, next: NONE, prev: NONE });
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// Runs a wheel and a sorted map side by side through random operations.
    fn agree_with_a_sorted_map(seed: u64, operations: usize, timers: u32, spread: &[i64]) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut hand = random.i64(-1_000_000..4_000_000_000);
        let mut wheel = Wheel::new(Timestamp(hand));
        let mut model: BTreeMap<u32, i64> = BTreeMap::new();
        for _ in 0..operations {
            let reach = spread[random.usize(..spread.len())];
            match random.u32(..100) {
                0..55 => {
                    let (timer, due) = (random.u32(..timers), hand + random.i64(-3..reach));
                    wheel.arm(Timer(timer), Timestamp(due));
                    model.insert(timer, due.max(hand));
                }
                55..70 => {
                    let timer = random.u32(..timers);
                    wheel.cancel(Timer(timer));
                    model.remove(&timer);
                }
                70..98 => {
                    hand += random.i64(0..reach);
                    let mut expired = Vec::new();
                    wheel.expire(Timestamp(hand), &mut expired);
                    assert!(expired.is_sorted_by_key(|(due, _)| *due), "not in order of time");
                    expired.sort();
                    let is_due = |(_, due): &(&u32, &i64)| **due <= hand;
                    let mut expected: Vec<_> =
                        model.iter().filter(is_due).map(|(t, due)| (Timestamp(*due), Timer(*t))).collect();
                    expected.sort();
                    model.retain(|_, due| *due > hand);
                    assert_eq!(expired, expected);
                }
                _ => {
                    hand -= random.i64(0..reach);
                    wheel.clear(Timestamp(hand));
                    for (timer, due) in &model {
                        wheel.arm(Timer(*timer), Timestamp(*due));
                    }
                }
            }
            assert_eq!(wheel.next_due().map(|t| t.0), model.values().min().copied());
            let one = random.u32(..timers);
            assert_eq!(wheel.due(Timer(one)).map(|t| t.0), model.get(&one).copied());
        }
    }

    #[test]
    fn a_wheel_and_a_sorted_map_agree_over_millions_of_operations() {
        let day = 86_400;
        agree_with_a_sorted_map(1, 1_000_000, 5, &[2, 70, 5_000, 30 * day]);
        agree_with_a_sorted_map(2, 1_000_000, 40, &[2, 61, 3_700, day, 400 * day]);
        agree_with_a_sorted_map(3, 300_000, 200, &[1 << 8, 1 << 14, 1 << 26, 1 << 33]);
    }

    #[test]
    fn seconds_beyond_the_levels_come_in_order_too() {
        agree_with_a_sorted_map(4, 300_000, 20, &[100, 1 << 36, 1 << 38, 1 << 42]);
        agree_with_a_sorted_map(5, 100_000, 3, &[1 << 35, 1 << 37]);
    }

    #[test]
    fn the_work_of_a_minute_does_not_grow_with_the_timers_that_are_not_due() {
        let work = |others: u32| {
            let mut wheel = Wheel::new(Timestamp(0));
            for n in 0..others {
                wheel.arm(Timer(1000 + n), Timestamp(864_000 + i64::from(n)));
            }
            wheel.touched.set(0);
            let mut expired = Vec::new();
            for minute in 1..=60 {
                for n in 0..100 {
                    wheel.arm(Timer(n), Timestamp(minute * 60));
                }
                wheel.expire(Timestamp(minute * 60), &mut expired);
                wheel.next_due();
            }
            assert_eq!(expired.len(), 6_000);
            wheel.touched.get()
        };
        assert_eq!(work(10), work(100_000));
    }
}
