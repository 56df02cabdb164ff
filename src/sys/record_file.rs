//! Files to which records are appended: their checksums, and reading up to where a record is cut short or damaged. Each format has its own layout.

use siphasher::sip::SipHasher24;
use std::fs::File;
use std::hash::Hasher;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

/// The checksum of a record, which may consist of several parts. It finds damage, and is no protection against forgery.
pub fn checksum<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> u64 {
    let mut hasher = SipHasher24::new();
    parts.into_iter().for_each(|part| hasher.write(part));
    hasher.finish()
}

/// Reads a file from an offset on, without moving the offset of the descriptor, which another process may share.
#[derive(Debug)]
pub struct OffsetReader<'a> {
    file: &'a File,
    at: u64,
}

impl OffsetReader<'_> {
    /// Reads that file from the byte `at` on.
    pub fn new(file: &File, at: u64) -> OffsetReader<'_> {
        OffsetReader { file, at }
    }
}

impl Read for OffsetReader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.file.read_at(into, self.at)?;
        self.at += count as u64;
        Ok(count)
    }
}

/// Fills the buffer. False: the file ends before, so that the record was not written to its end.
///
/// # Errors
///
/// The file cannot be read.
pub fn read_whole(from: &mut impl Read, into: &mut [u8]) -> io::Result<bool> {
    match from.read_exact(into) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_part_of_a_record_is_cut_short_and_the_offset_of_the_file_stays() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"abcdef").unwrap();
        let mut reader = OffsetReader::new(&file, 1);
        let mut buffer = [0; 3];
        assert!(read_whole(&mut reader, &mut buffer).unwrap());
        assert_eq!(&buffer, b"bcd");
        assert!(!read_whole(&mut reader, &mut buffer).unwrap());
        file.write_all(b"g").unwrap();
        let mut whole = [0; 7];
        assert!(read_whole(&mut OffsetReader::new(&file, 0), &mut whole).unwrap());
        assert_eq!(&whole, b"abcdefg");
    }

    #[test]
    fn a_checksum_is_that_of_the_joined_parts() {
        assert_eq!(checksum([b"ab".as_slice(), b"c"]), checksum([b"abc".as_slice()]));
        assert_ne!(checksum([b"abc".as_slice()]), checksum([b"abd".as_slice()]));
        // The formats on the disk depend on it.
        assert_eq!(checksum([b"".as_slice()]), 0x1e92_4b9d_7377_00d7);
    }
}
