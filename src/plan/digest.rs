//! Maps whose keys are digests already, so that nothing is hashed twice.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// What comes first of each digest. 32 bits do, since whoever shares a digest is chained.
pub(super) type ByDigest = HashMap<u32, u32, BuildHasherDefault<AsItIs>>;

/// Takes a digest as it is: both halves of a hash that the map looks at.
#[derive(Debug, Default)]
pub(super) struct AsItIs(u64);

impl Hasher for AsItIs {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u32(&mut self, digest: u32) {
        self.0 = u64::from(digest) << 32 | u64::from(digest);
    }
}
