//! The package on a system that has booted: a real systemd as the first process of new namespaces, on the small Debian
//! that `tests/install-needs` makes with debootstrap.

use crate::{SMOKE, cannot, needs, package};
use std::fs;
use std::process::{Command, Stdio};

#[test]
fn under_a_booted_systemd_it_is_watched_reloaded_and_restarted_and_the_journal_has_its_fields() {
    let name = "under_a_booted_systemd_it_is_watched_reloaded_and_restarted_and_the_journal_has_its_fields";
    if cannot(name) {
        return;
    }
    let place = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
    let [layers, story, groups] = ["layers", "story", "groups"].map(|name| place.path().join(name));
    for directory in [&layers, &story, &groups] {
        fs::create_dir(directory).expect("a directory");
    }
    fs::copy(package(), story.join("cronwheel.deb")).expect("our package");
    fs::write(story.join("booted"), include_str!("booted")).expect("the story");
    fs::write(story.join("smoke"), SMOKE).expect("the smoke test");
    fs::write(story.join("story.service"), include_str!("story.service")).expect("the story's unit");

    let ended = Command::new("unshare")
        .args(["--mount", "--propagation", "private", "--", "sh", "-euc", include_str!("in-a-cgroup"), "in-a-cgroup"])
        .arg(&groups)
        .args(["timeout", "--signal=KILL", "300", "unshare", "--cgroup"])
        .args(crate::common::stage::NAMESPACES)
        .args(["--", "sh", "-euc", include_str!("boot"), "boot"])
        .args([&needs().join("booted"), &layers, &story])
        .stdin(Stdio::null())
        .output()
        .expect("unshare, of util-linux");
    let told = fs::read_to_string(story.join("told")).unwrap_or_default();
    let shown = String::from_utf8_lossy(&ended.stderr);
    assert!(told.ends_with("the end of the story\n"), "{}: {shown}\n{told}", ended.status);
}
