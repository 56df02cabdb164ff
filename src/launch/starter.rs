//! The starter: a process that becomes the owner of several jobs once, starts all of them but the last, and becomes that one itself.
//!
//! What a start costs is mostly the copy of the runner that a fork makes. The starter is such a copy; it lends its own memory to each job's
//! process until that has become its program (vfork(2)), which costs nothing. No memory is ever shared between two users: the starter is the
//! owner's before it starts anything, and nobody may trace or look into either. The jobs are the runner's own children, as they would be
//! without a starter.
//!
//! It only makes things faster. A job's process itself tells the runner which job it is, before it does anything else. Jobs of which that
//! was not heard when the starter is gone, whatever the reason, the runner starts one by one.

use super::recipe::{Recipe, Reporter, Stdio, tell_failure};
use crate::site::Profile;
use crate::sys::descriptor;
use crate::sys::permit::Permit;
use crate::sys::process::{self, Stack};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};

/// A job that a starter is to start.
#[derive(Debug)]
pub(super) struct Member<'a> {
    /// Its number with the runner.
    pub(super) id: u64,
    pub(super) recipe: &'a Recipe,
    pub(super) stdio: Stdio<'a>,
}

/// Whether both can have the same starter. Not where there is SELinux: what runs next in which context is remembered by libselinux, in the
/// memory that is shared.
pub(super) fn go_together(one: &Recipe, other: &Recipe) -> bool {
    one.identity.is_some() && one.identity == other.identity && one.label.is_none() && other.label.is_none()
}

/// The starter, from its fork until it is the last of these jobs, or its end. It becomes that job only with the permit: a runner that has
/// taken it kills the starter, and no job.
pub(super) fn starter(members: &[Member<'_>], permit: &Permit, reporter: &Reporter, profile: Profile) -> i32 {
    let Some((last, others)) = members.split_last() else { return 0 };
    match become_owner(members, permit, reporter).and_then(|()| start(others, reporter, profile)) {
        Ok(()) if permit.take() => become_job(last, reporter, profile),
        // Nobody is told: the runner tries itself, and tells what it comes upon.
        Ok(()) | Err(_) => 1,
    }
}

/// Leaves everything behind that is not these jobs', and becomes their owner.
fn become_owner(members: &[Member<'_>], permit: &Permit, reporter: &Reporter) -> io::Result<()> {
    let Some(first) = members.first() else { return Ok(()) };
    let ours = [permit.as_fd(), reporter.as_fd()];
    let kept: Vec<BorrowedFd<'_>> = members.iter().flat_map(|member| member.stdio.each()).chain(ours).collect();
    descriptor::close_from(3, &kept)?;
    first.recipe.become_owner().map_err(|failure| failure.source)
}

fn start(members: &[Member<'_>], reporter: &Reporter, profile: Profile) -> io::Result<()> {
    let mut stack = Stack::new()?;
    for member in members {
        process::fork_sibling(&mut stack, || become_job(member, reporter, profile))?;
    }
    Ok(())
}

/// A process of which the runner does not know starts nothing; until it is known, it has its own pipes only, which tell when it is gone.
fn become_job(member: &Member<'_>, reporter: &Reporter, profile: Profile) -> i32 {
    if member.stdio.place(reporter).and_then(|()| reporter.tell_job(member.id)).is_err() {
        return 127;
    }
    tell_failure(member.recipe, &member.recipe.follow_as_owner(reporter), reporter, profile)
}
