//! Digests that are kept in files or compared between machines.

use siphasher::sip::SipHasher24;
use std::hash::Hasher;

/// A digest of a list of parts: SipHash-2-4 with a zero key over the length of each part, eight bytes with the lowest first, and its bytes.
///
/// `std::hash::Hash` is not meant for that: what it feeds to a hasher depends on the processor and may change with the compiler.
pub(super) struct StableDigest(SipHasher24);

impl StableDigest {
    /// The digest of no parts.
    pub(super) fn new() -> StableDigest {
        StableDigest(SipHasher24::new())
    }

    /// Adds one part.
    pub(super) fn add(&mut self, part: &[u8]) {
        self.0.write(&(part.len() as u64).to_le_bytes());
        self.0.write(part);
    }

    /// Adds a number as a part of eight bytes, the lowest first.
    pub(super) fn add_number(&mut self, number: u64) {
        self.add(&number.to_le_bytes());
    }

    /// The digest of the parts that were added.
    pub(super) fn finish(&self) -> u64 {
        self.0.finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_the_same_in_every_version_and_depends_on_where_parts_end() {
        let digest = |parts: &[&[u8]]| {
            let mut digest = StableDigest::new();
            parts.iter().for_each(|part| digest.add(part));
            digest.finish()
        };
        let mut reference = SipHasher24::new();
        reference.write(b"\x02\0\0\0\0\0\0\0ab\x01\0\0\0\0\0\0\0c");
        assert_eq!(digest(&[b"ab", b"c"]), reference.finish());
        // SipHash-2-4 of nothing under a zero key.
        assert_eq!(digest(&[]), 0x1e92_4b9d_7377_00d7);
        assert_ne!(digest(&[b"ab", b"c"]), digest(&[b"a", b"bc"]));
        let mut number = StableDigest::new();
        number.add_number(258);
        assert_eq!(number.finish(), digest(&[b"\x02\x01\0\0\0\0\0\0"]));
    }
}
