//! Digests of keys, and maps by them.
//!
//! Every entry that is loaded is looked up by its schedule: with the standard library's hash that was a quarter of the
//! plan's part of a load. A digest is only a hint here, as whoever shares one is chained and compared; the key is there so
//! that nobody can write a table whose schedules all share one.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// What comes first of each digest.
pub(super) type ByDigest = HashMap<u32, u32, BuildHasherDefault<AsItIs>>;

/// Makes digests with a key drawn at random.
#[derive(Debug)]
pub(super) struct Key {
    start: u64,
    factor: u64,
}

impl Default for Key {
    fn default() -> Key {
        let random = RandomState::new();
        Key { start: random.hash_one(0), factor: random.hash_one(1) | 1 }
    }
}

impl BuildHasher for Key {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding { state: self.start, factor: self.factor }
    }
}

/// Multiplies word after word and folds the upper half of each product onto the lower.
#[derive(Debug)]
pub(super) struct Folding {
    state: u64,
    factor: u64,
}

impl Hasher for Folding {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write_u64(&mut self, word: u64) {
        let product = u128::from(self.state ^ word) * u128::from(self.factor);
        self.state = (product >> 64) as u64 ^ product as u64;
    }

    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(8) {
            self.write_u64(piece.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)));
        }
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u128(&mut self, number: u128) {
        self.write_u64(number as u64);
        self.write_u64((number >> 64) as u64);
    }

    fn write_usize(&mut self, number: usize) {
        self.write_u64(number as u64);
    }
}

/// Takes a digest as it is, for both halves of a hash that a map looks at.
#[derive(Debug, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write_u32(&mut self, digest: u32) {
        self.0 = u64::from(digest) << 32 | u64::from(digest);
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn keys_that_are_alike_have_digests_that_are_not() {
        let key = Key::default();
        let near = (0..64).flat_map(|bit| (0..64).map(move |other| 1u128 << bit | 1u128 << (64 + other)));
        let digests: HashSet<u32> = near.map(|number| key.hash_one(number) as u32).collect();
        assert!(digests.len() >= 4_090, "{} of 4,096", digests.len());
        let words = ["", "a", "b", "ab", "ba", "abcdefgh", "abcdefghi", "abcdefgh\0"];
        assert_eq!(words.map(|word| key.hash_one(word)).into_iter().collect::<HashSet<_>>().len(), words.len());
    }

    #[test]
    fn another_key_makes_other_digests() {
        assert_ne!(Key::default().hash_one(7u64), Key::default().hash_one(7u64));
    }
}
