//! Digests, and maps by them.
//!
//! Every entry that is loaded is looked up by its schedule: with the standard library's hash that was a quarter of the
//! plan's part of a load. There a digest is only a hint, as whoever shares one is chained and compared. Where one of 64 bits is all
//! that is kept of something, to know it again, nobody can write another thing of the same digest who does not know the key, and that is drawn
//! anew by each process.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, Hasher, RandomState};

/// What comes first of each digest.
pub(super) type ByDigest = HashMap<u32, u32, BuildHasherDefault<AsItIs>>;

/// So many words of a long text are multiplied at a time: none has to wait for the one before.
const LANES: usize = 4;

/// Makes digests with a key drawn at random.
#[derive(Debug)]
pub struct DigestKey {
    start: u64,
    factor: u64,
}

impl Default for DigestKey {
    fn default() -> DigestKey {
        let random = RandomState::new();
        DigestKey { start: random.hash_one(0), factor: random.hash_one(1) | 1 }
    }
}

impl BuildHasher for DigestKey {
    type Hasher = Folding;

    fn build_hasher(&self) -> Folding {
        Folding { state: self.start, factor: self.factor }
    }
}

/// Multiplies word after word and folds the upper half of each product onto the lower.
#[derive(Debug)]
pub struct Folding {
    state: u64,
    factor: u64,
}

impl Folding {
    fn fold(state: u64, word: u64, factor: u64) -> u64 {
        let product = u128::from(state ^ word) * u128::from(factor);
        (product >> 64) as u64 ^ product as u64
    }
}

impl Hasher for Folding {
    fn finish(&self) -> u64 {
        self.state
    }

    fn write_u64(&mut self, word: u64) {
        self.state = Folding::fold(self.state, word, self.factor);
    }

    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let (blocks, words) = words.as_chunks::<LANES>();
        if !blocks.is_empty() {
            let mut lanes: [u64; LANES] = std::array::from_fn(|lane| self.state.wrapping_add(lane as u64));
            for block in blocks {
                for (lane, word) in lanes.iter_mut().zip(block) {
                    *lane = Folding::fold(*lane, u64::from_le_bytes(*word), self.factor);
                }
            }
            lanes.into_iter().for_each(|lane| self.write_u64(lane));
        }
        words.iter().for_each(|word| self.write_u64(u64::from_le_bytes(*word)));
        if !rest.is_empty() {
            self.write_u64(rest.iter().rev().fold(0, |word, &byte| word << 8 | u64::from(byte)));
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
        let key = DigestKey::default();
        let near = (0..64).flat_map(|bit| (0..64).map(move |other| 1u128 << bit | 1u128 << (64 + other)));
        let digests: HashSet<u32> = near.map(|number| key.hash_one(number) as u32).collect();
        assert!(digests.len() >= 4_090, "{} of 4,096", digests.len());
        let words = ["", "a", "b", "ab", "ba", "abcdefgh", "abcdefghi", "abcdefgh\0"];
        assert_eq!(words.map(|word| key.hash_one(word)).into_iter().collect::<HashSet<_>>().len(), words.len());
    }

    #[test]
    fn each_byte_of_a_long_text_counts_and_so_does_its_place() {
        let key = DigestKey::default();
        let text: Vec<u8> = (0..150).collect();
        let other = |at: usize| text.iter().enumerate().map(|(place, byte)| byte ^ u8::from(place == at)).collect();
        let others = (0..text.len()).map(other);
        let cut = (0..text.len()).map(|length| text[..length].to_vec());
        let turned = (1..text.len()).map(|by| [&text[by..], &text[..by]].concat());
        let all: Vec<Vec<u8>> = others.chain(cut).chain(turned).chain([text.clone()]).collect();
        let digests: HashSet<u64> = all.iter().map(|text| key.hash_one(text)).collect();
        assert_eq!(digests.len(), all.len());
    }

    #[test]
    fn another_key_makes_other_digests() {
        assert_ne!(DigestKey::default().hash_one(7u64), DigestKey::default().hash_one(7u64));
    }
}
