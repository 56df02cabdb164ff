//! The directories that a symbolic link depends on: each one in which a change can make it lead somewhere else.

use std::path::{Component, Path, PathBuf};

/// The kernel's own bound on links in one path.
const MOST_LINKS: usize = 40;

/// The directories that hold the links on the way from `path` to its target, and the target's own, nearest first,
/// each once. `path`'s own directory is not among them unless the way leads back into it. A link that leads nowhere
/// gives the directories as far as they exist.
pub fn watched_directories(path: &Path) -> Vec<PathBuf> {
    let mut seen = Vec::new();
    let mut left = MOST_LINKS;
    let Ok(target) = std::fs::read_link(path) else { return seen };
    let start = path.parent().unwrap_or(Path::new("/")).to_path_buf();
    walk(start, &target, &mut seen, &mut left);
    seen
}

/// Walks `path` from `at`, noting where links stand and where the last component does.
fn walk(at: PathBuf, path: &Path, seen: &mut Vec<PathBuf>, left: &mut usize) -> PathBuf {
    let mut here = at;
    let mut parts = path.components().peekable();
    while let Some(part) = parts.next() {
        match part {
            Component::Prefix(_) | Component::RootDir => here = PathBuf::from("/"),
            Component::CurDir => {}
            Component::ParentDir => {
                here.pop();
            }
            Component::Normal(name) => {
                let next = here.join(name);
                let last = parts.peek().is_none();
                let link = std::fs::read_link(&next).ok();
                if (last || link.is_some()) && here.is_dir() && !seen.contains(&here) {
                    seen.push(here.clone());
                }
                here = match link {
                    Some(target) if *left > 0 => {
                        *left -= 1;
                        walk(here, &target, seen, left)
                    }
                    _ => next,
                };
            }
        }
    }
    here
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn a_link_to_a_file_elsewhere_depends_on_that_directory() {
        let top = tempfile::tempdir().unwrap();
        let (etc, opt) = (top.path().join("etc"), top.path().join("opt"));
        std::fs::create_dir(&etc).unwrap();
        std::fs::create_dir(&opt).unwrap();
        symlink("../opt/x", etc.join("x")).unwrap();
        assert_eq!(watched_directories(&etc.join("x")), [opt.as_path()], "a dangling link, too");
        std::fs::write(opt.join("x"), "").unwrap();
        assert_eq!(watched_directories(&etc.join("x")), [opt.as_path()]);
        assert!(watched_directories(&opt.join("x")).is_empty());
    }

    #[test]
    fn a_directory_that_is_itself_a_link_counts_with_the_place_it_stands_in() {
        let top = tempfile::tempdir().unwrap();
        let cron_d = top.path().join("cron.d");
        std::fs::create_dir_all(cron_d.join("..2026")).unwrap();
        std::fs::write(cron_d.join("..2026/job"), "").unwrap();
        symlink("..2026", cron_d.join("..data")).unwrap();
        symlink("..data/job", cron_d.join("job")).unwrap();
        assert_eq!(watched_directories(&cron_d.join("job")), [cron_d.clone(), cron_d.join("..2026")]);
    }

    #[test]
    fn links_in_a_circle_end() {
        let top = tempfile::tempdir().unwrap();
        symlink("b", top.path().join("a")).unwrap();
        symlink("a", top.path().join("b")).unwrap();
        assert_eq!(watched_directories(&top.path().join("a")), [top.path()]);
    }
}
