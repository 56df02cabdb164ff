//! Which file systems report to inotify(7) every change that is made to them.

use nix::sys::statfs::{FsType, statfs};
use std::path::Path;

/// Types of statfs(2) whose files can change without a report: the change is made elsewhere, or to another file system
/// that lies below.
const NOT_REPORTING: [i64; 24] = [
    // Network and cluster file systems: other hosts write, too.
    0x6969,      // NFS
    0x517b,      // SMB
    0xff53_4d42, // CIFS
    0xfe53_4d42, // SMB 2 and 3
    0x5346_414f, // OpenAFS
    0x6b41_4653, // AFS of the kernel
    0x00c3_6400, // Ceph
    0x7375_7245, // Coda
    0x564c,      // NCP
    0x7461_636f, // OCFS2
    0x0116_1970, // GFS2
    0x0bd0_0bd0, // Lustre
    0x4750_4653, // GPFS
    0x1983_0326, // BeeGFS
    0x2003_0528, // OrangeFS
    // Directories of a host that a virtual machine or a container shares.
    0x0102_1997, // 9P: QEMU, WSL
    0x786f_4256, // VirtualBox
    0xbacb_acbc, // VMware
    0x7c7c_6673, // Parallels
    0x6a65_6a63, // fakeowner: Docker Desktop
    // FUSE and virtiofs: their servers, sshfs and shared directories among them, change files by themselves.
    0x6573_5546,
    // Stacked file systems: what is written to a lower layer is seen, and not reported.
    0x794c_7630, // overlay
    0x6175_6673, // aufs
    0xf15f,      // eCryptfs
];

/// Whether inotify(7) reports every change to the file or directory. True if it does not exist.
pub fn reports_changes(path: &Path) -> bool {
    statfs(path).map_or(true, |found| !NOT_REPORTING.iter().any(|kind| found.filesystem_type() == FsType(*kind as _)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_known_by_number() {
        // Every Linux system has a file system of the kernel's own that no other host writes to.
        assert!(reports_changes(Path::new("/proc")));
        assert!(reports_changes(Path::new("/nonexistent")));
    }
}
