//! Groups of /etc/group.

use crate::sys::files;
use std::fs::File;
use std::io;

const GROUP: &str = "/etc/group";
/// A larger file is an error. Bytes.
const LARGEST: usize = 64 << 20;

/// The id of a group of /etc/group. None: it has no such group.
///
/// # Errors
///
/// The file cannot be read.
pub fn gid_of_group(name: &str) -> io::Result<Option<u32>> {
    let file = File::open(GROUP)?;
    let size = files::stat(&file)?.size;
    let text = files::read_to_end(&file, size, LARGEST)?;
    Ok(text.split(|byte| *byte == b'\n').find_map(|line| gid_of_line(line, name)))
}

/// The id in a line of group(5), if it is that of the group.
fn gid_of_line(line: &[u8], name: &str) -> Option<u32> {
    let mut fields = line.split(|byte| *byte == b':');
    let found = fields.next().filter(|found| !found.is_empty())?;
    let gid = std::str::from_utf8(fields.nth(1)?).ok()?.parse().ok()?;
    (found == name.as_bytes()).then_some(gid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_found_by_its_name() {
        assert_eq!(gid_of_line(b"adm:x:4:alice", "adm"), Some(4));
        assert_eq!(gid_of_line(b"adm:x:4:alice", "ad"), None);
        assert_eq!(gid_of_line(b"adm:x:four:", "adm"), None);
        assert_eq!(gid_of_line(b":x:4:", ""), None);
        assert_eq!(gid_of_group("root").unwrap(), Some(0));
        assert_eq!(gid_of_group("nobody has this name").unwrap(), None);
    }
}
