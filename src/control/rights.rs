//! Who may see and do what. The credentials of the peer that the kernel reports decide, and nothing else.

use crate::sys::local_socket::Peer;

/// The user id that the kernel shows for users that do not exist in a namespace.
const OVERFLOW_UID: u32 = 65_534;

/// The groups that have more rights than users.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// Its members may do what root may.
    pub control_group: Option<u32>,
    /// Its members see everything of all jobs.
    pub view_group: Option<u32>,
}

/// The user that a job belongs to, by the kind of its table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JobOwner {
    /// An entry of the crontab of the user with this id.
    User(u32),
    /// An entry of a system table that runs as the user with this id, if that is known.
    System(Option<u32>),
    /// A job of a standalone daemon that runs as the user with this id.
    Standalone(u32),
}

/// What a peer may see of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Visibility {
    /// Nothing: the job does not exist for this peer.
    Nothing,
    /// The entry, when it runs and why.
    Entry,
    /// Its environment and its output, too.
    All,
}

/// What a peer may do with a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Permission {
    /// Nothing that changes the job.
    Nothing,
    /// End its runs.
    Kill,
    /// Everything that an owner may do with a job.
    All,
    /// Everything, and only peers with this permission can undo it.
    AllAsRoot,
}

/// The rights of a peer about one job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// What the peer may see of the job.
    pub sees: Visibility,
    /// What the peer may do with the job.
    pub may: Permission,
}

impl Access {
    /// No rights: the job does not exist for this peer.
    pub const NOTHING: Access = Access { sees: Visibility::Nothing, may: Permission::Nothing };
    /// The rights of root: sees every job and may do everything with it.
    pub const ROOT: Access = Access { sees: Visibility::All, may: Permission::AllAsRoot };

    /// Whether it is at least another.
    pub fn includes(self, other: Access) -> bool {
        self.sees >= other.sees && self.may >= other.may
    }
}

impl Rights {
    /// Whether a peer's user id says who it is.
    pub fn is_known(peer: &Peer) -> bool {
        peer.uid != OVERFLOW_UID
    }

    /// Whether a peer has the rights of root.
    pub fn is_root(&self, peer: &Peer) -> bool {
        peer.uid == 0 || self.control_group.is_some_and(|group| Rights::is_known(peer) && peer.is_in_group(group))
    }

    /// Whether a peer sees everything.
    pub fn sees_all(&self, peer: &Peer) -> bool {
        let is_viewer = self.view_group.is_some_and(|group| Rights::is_known(peer) && peer.is_in_group(group));
        self.is_root(peer) || is_viewer
    }

    /// What a peer may do with a job.
    pub fn access(&self, peer: &Peer, owner: JobOwner) -> Access {
        if self.is_root(peer) {
            return Access::ROOT;
        }
        let own = match owner {
            _ if !Rights::is_known(peer) => Access::NOTHING,
            JobOwner::User(uid) | JobOwner::Standalone(uid) if uid == peer.uid => {
                Access { sees: Visibility::All, may: Permission::All }
            }
            JobOwner::System(Some(uid)) if uid == peer.uid => Access { sees: Visibility::Entry, may: Permission::Kill },
            JobOwner::User(_) | JobOwner::System(_) | JobOwner::Standalone(_) => Access::NOTHING,
        };
        if self.sees_all(peer) { Access { sees: Visibility::All, ..own } } else { own }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(uid: u32, groups: &[u32]) -> Peer {
        Peer { uid, gid: 1_000 + uid, pid: 1, groups: groups.to_vec() }
    }

    #[test]
    fn the_table_of_rights() {
        let (user, system) = (JobOwner::User(1), JobOwner::System(Some(1)));
        let rights = Rights { control_group: Some(50), view_group: Some(60) };
        let viewer = Access { sees: Visibility::All, may: Permission::Nothing };
        let owner = Access { sees: Visibility::All, may: Permission::All };
        let of_entry = Access { sees: Visibility::Entry, may: Permission::Kill };
        for (peer, of_user, of_system) in [
            (peer(0, &[]), Access::ROOT, Access::ROOT),
            (peer(2, &[50]), Access::ROOT, Access::ROOT),
            (peer(2, &[60]), viewer, viewer),
            (peer(1, &[60]), owner, Access { sees: Visibility::All, may: Permission::Kill }),
            (peer(1, &[]), owner, of_entry),
            (peer(2, &[]), Access::NOTHING, Access::NOTHING),
            (peer(OVERFLOW_UID, &[50, 60]), Access::NOTHING, Access::NOTHING),
        ] {
            assert_eq!(rights.access(&peer, user), of_user, "{peer:?}");
            assert_eq!(rights.access(&peer, system), of_system, "{peer:?}");
        }
        assert_eq!(rights.access(&peer(OVERFLOW_UID, &[]), JobOwner::User(OVERFLOW_UID)), Access::NOTHING);
        assert_eq!(rights.access(&peer(1, &[]), JobOwner::System(None)), Access::NOTHING);
        assert_eq!(Rights::default().access(&peer(2, &[0, 50, 60]), user), Access::NOTHING);
        assert_eq!(Rights::default().access(&peer(1, &[]), JobOwner::Standalone(1)), owner);
    }
}
