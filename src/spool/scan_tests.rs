//! Scans over a scratch tree. The tester's own uid stands for the user's, so that they need no root.

use super::*;
use crate::profile::{CRONIE, DEBIAN};
use crate::spool::unreadable;
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

struct Tree {
    top: tempfile::TempDir,
}

impl Tree {
    fn new() -> Tree {
        let top = tempfile::tempdir().unwrap();
        fs::create_dir_all(top.path().join("spool")).unwrap();
        fs::create_dir_all(top.path().join("cron.d")).unwrap();
        Tree { top }
    }
    fn path(&self, name: &str) -> PathBuf {
        self.top.path().join(name)
    }
    fn file(&self, name: &str, text: &str, mode: u32) -> &Tree {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), fs::Permissions::from_mode(mode)).unwrap();
        self
    }
    fn finder(&self, profile: &'static Profile) -> Finder {
        let places =
            Places { spool: self.path("spool"), system_crontab: self.path("crontab"), cron_d: self.path("cron.d") };
        Finder::new(places, profile)
    }
}

struct Me;

impl Users for Me {
    fn uid(&mut self, name: &str) -> Lookup {
        match name {
            "me" | "#me" => Lookup::Known(my_uid()),
            "slow" => Lookup::NotYet,
            _ => Lookup::Unknown,
        }
    }
}

fn my_uid() -> u32 {
    nix::unistd::geteuid().as_raw()
}

#[derive(Default)]
struct Seen {
    found: Vec<Found>,
    loaded: HashMap<String, Stamp>,
    untouched: HashSet<String>,
}

impl Visitor for Seen {
    fn knows(&self, path: &str) -> bool {
        self.loaded.contains_key(path)
    }
    fn has(&mut self, path: &str, stamp: &Stamp) -> bool {
        let same = self.loaded.get(path) == Some(stamp);
        if same {
            self.untouched.insert(path.to_owned());
        }
        same
    }
    fn found(&mut self, found: Found) {
        self.found.push(found);
    }
}

/// File name and either its text or the log's words for it, in order of names.
fn scan(finder: &Finder) -> Vec<(String, String)> {
    let mut seen = Seen::default();
    assert!(finder.scan(&mut Me, &mut seen).is_empty());
    let mut all: Vec<_> = seen.found.iter().map(described).collect();
    all.sort();
    all
}

fn described(found: &Found) -> (String, String) {
    let name = found.source.path.rsplit('/').next().unwrap_or_default().to_owned();
    let text = match &found.content {
        Ok(file) => String::from_utf8(file.bytes(1 << 10).unwrap()).unwrap(),
        Err(refusal) => format!("({}) {}", refusal.user, refusal.event),
    };
    (name, text)
}

fn rows(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect()
}

#[test]
fn the_spool_holds_the_tables_of_known_users_and_orphans() {
    let tree = Tree::new();
    tree.file("spool/me", "mine", 0o600).file("spool/ghost", "", 0o600).file("spool/tmp.abc", "", 0o600);
    tree.file("spool/.hidden", "", 0o600).file("spool/slow", "", 0o600);
    let debian = scan(&tree.finder(&DEBIAN));
    assert_eq!(debian, rows(&[("ghost", "(ghost) ORPHAN"), ("me", "mine"), ("slow", "(slow) ORPHAN")]));
}

#[test]
fn a_user_not_yet_known_is_not_called_an_orphan_in_the_log() {
    let tree = Tree::new();
    tree.file("spool/slow", "", 0o600);
    let ScanOutcome::Table(found) = tree.finder(&DEBIAN).scan_path(&tree.path("spool/slow"), &mut Me) else { panic!() };
    let refusal = found.content.unwrap_err();
    assert_eq!(refusal.kind, RefusalKind::UserNotYetKnown);
    assert!(refusal.is_temporary());
    assert_eq!(refusal.text(), None);
}

#[test]
fn each_profile_has_its_words_for_what_it_refuses() {
    let tree = Tree::new();
    tree.file("spool/me", "", 0o620);
    assert_eq!(scan(&tree.finder(&DEBIAN)), rows(&[("me", "(me) INSECURE MODE (mode 0600 expected)")]));
    assert_eq!(scan(&tree.finder(&CRONIE)), rows(&[("me", "(me) BAD FILE MODE")]));
    assert_eq!(scan(&tree.finder(&CRONIE).any_owner_and_mode()), rows(&[("me", "")]));
}

#[test]
fn a_link_in_the_spool_is_refused_by_debian_and_followed_by_cronie() {
    let tree = Tree::new();
    tree.file("target", "linked", 0o600);
    symlink("../target", tree.path("spool/me")).unwrap();
    assert_eq!(scan(&tree.finder(&DEBIAN)), rows(&[("me", "(me) CAN'T OPEN")]));
    assert_eq!(scan(&tree.finder(&CRONIE)), rows(&[("me", "linked")]));
}

#[test]
fn a_fifo_or_directory_in_the_spool_is_refused_at_once() {
    let tree = Tree::new();
    nix::unistd::mkfifo(&tree.path("spool/me"), nix::sys::stat::Mode::from_bits_truncate(0o600)).unwrap();
    assert_eq!(scan(&tree.finder(&DEBIAN)), rows(&[("me", "(me) NOT A REGULAR FILE")]));
    fs::remove_file(tree.path("spool/me")).unwrap();
    fs::create_dir(tree.path("spool/me")).unwrap();
    assert_eq!(scan(&tree.finder(&CRONIE)), rows(&[("me", "(me) NOT REGULAR")]));
}

#[test]
fn a_system_table_must_be_roots_own() {
    let tree = Tree::new();
    tree.file("crontab", "main", 0o644).file("cron.d/job", "drop-in", 0o644).file("cron.d/job.conf", "dotted", 0o644);
    let root = my_uid() == 0;
    let expected = |user: &str, text: &str| if root { text.to_owned() } else { format!("({user}) WRONG FILE OWNER") };
    let debian = scan(&tree.finder(&DEBIAN));
    assert_eq!(
        debian,
        rows(&[("crontab", &expected("*system*", "main")), ("job", &expected("*system*job", "drop-in"))])
    );
    let cronie = scan(&tree.finder(&CRONIE));
    let names: Vec<_> = cronie.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["crontab", "job", "job.conf"]);
    assert_eq!(cronie[0].1, expected("root", "main"));
}

#[test]
fn a_linked_system_table_tells_the_directories_to_watch() {
    let tree = Tree::new();
    fs::create_dir(tree.path("opt")).unwrap();
    symlink("../opt/job", tree.path("cron.d/job")).unwrap();
    let finder = tree.finder(&CRONIE);
    let look = |finder: &Finder| match finder.scan_path(&tree.path("cron.d/job"), &mut Me) {
        ScanOutcome::Table(found) => found,
        other => panic!("{other:?}"),
    };
    let dangling = look(&finder);
    assert_eq!(dangling.watch, [tree.path("cron.d/../opt")].map(|p| fs::canonicalize(p).unwrap()));
    let refusal = dangling.content.unwrap_err();
    assert!(refusal.is_temporary());
    assert_eq!(refusal.error, "No such file or directory");
    tree.file("opt/job", "there now", 0o644);
    assert_eq!(look(&finder).content.is_ok(), my_uid() == 0);
}

#[test]
fn what_is_loaded_in_the_same_state_is_not_opened_again() {
    let tree = Tree::new();
    tree.file("spool/me", "first", 0o600);
    let finder = tree.finder(&DEBIAN);
    let mut seen = Seen::default();
    finder.scan(&mut Me, &mut seen);
    let first = seen.found.pop().unwrap();
    seen.loaded.insert(first.source.path.clone(), first.stamp);
    finder.scan(&mut Me, &mut seen);
    assert!(seen.found.is_empty());
    assert!(seen.untouched.contains(&first.source.path));
    // Renamed in with the same size and time: another inode all the same.
    tree.file("spool/.new", "other", 0o600);
    let times = fs::metadata(tree.path("spool/me")).unwrap().modified().unwrap();
    fs::File::options().write(true).open(tree.path("spool/.new")).unwrap().set_modified(times).unwrap();
    fs::rename(tree.path("spool/.new"), tree.path("spool/me")).unwrap();
    finder.scan(&mut Me, &mut seen);
    assert_eq!(described(&seen.found[0]).1, "other");
}

#[test]
fn one_path_is_looked_at_alone() {
    let tree = Tree::new();
    tree.file("spool/me", "mine", 0o600);
    let finder = tree.finder(&DEBIAN);
    assert!(matches!(
        finder.scan_path(&tree.path("spool/me"), &mut Me),
        ScanOutcome::Table(Found { content: Ok(_), .. })
    ));
    assert!(matches!(finder.scan_path(&tree.path("spool/gone"), &mut Me), ScanOutcome::Gone(_)));
    assert!(matches!(finder.scan_path(&tree.path("spool/tmp.x"), &mut Me), ScanOutcome::NoTable));
    assert!(matches!(finder.scan_path(&tree.path("cron.d/a.b"), &mut Me), ScanOutcome::NoTable));
    assert!(matches!(finder.scan_path(Path::new("/elsewhere/x"), &mut Me), ScanOutcome::NoTable));
}

#[test]
fn missing_places_hold_no_tables_and_are_no_error() {
    let tree = Tree::new();
    fs::remove_dir(tree.path("spool")).unwrap();
    fs::remove_dir(tree.path("cron.d")).unwrap();
    assert!(scan(&tree.finder(&DEBIAN)).is_empty());
}

#[test]
fn a_place_that_cannot_be_listed_is_an_error_and_the_others_are_looked_at() {
    let tree = Tree::new();
    tree.file("spool/me", "mine", 0o600);
    fs::remove_dir(tree.path("cron.d")).unwrap();
    tree.file("cron.d", "not a directory", 0o644);
    let mut seen = Seen::default();
    let errors = tree.finder(&DEBIAN).scan(&mut Me, &mut seen);
    assert_eq!(errors.len(), 1);
    assert!(errors[0].to_string().ends_with("cron.d: Not a directory"), "{}", errors[0]);
    assert_eq!(seen.found.len(), 1);
}

#[test]
fn in_a_cluster_only_the_named_host_runs_users_tables() {
    let tree = Tree::new();
    tree.file("spool/me", "mine", 0o600);
    assert!(scan(&tree.finder(&CRONIE).cluster()).is_empty(), "no host file, no tables");
    tree.file("spool/.cron.hostname", "another-host\n", 0o600);
    assert!(scan(&tree.finder(&CRONIE).cluster()).is_empty());
    let mut here = files::host_name().unwrap();
    here.push(b'\n');
    fs::write(tree.path("spool/.cron.hostname"), here).unwrap();
    assert_eq!(scan(&tree.finder(&CRONIE).cluster()), rows(&[("me", "mine")]));
}

#[test]
fn a_file_in_another_language_has_a_bound_of_its_own() {
    let tree = Tree::new();
    tree.file("spool/me", "12345", 0o600);
    let open = || match tree.finder(&DEBIAN).scan_path(&tree.path("spool/me"), &mut Me) {
        ScanOutcome::Table(Found { content: Ok(file), source, .. }) => (file, source),
        other => panic!("{other:?}"),
    };
    assert_eq!(open().0.bytes(5).unwrap(), b"12345");
    let (file, source) = open();
    let refusal = unreadable(&source, &file.bytes(4).unwrap_err(), ProfileName::Debian);
    assert_eq!((refusal.event, refusal.error.as_str()), ("CAN'T READ", "larger than 4 bytes"));
}

#[test]
fn leftovers_of_interrupted_installations_are_removed_and_nothing_else() {
    let tree = Tree::new();
    let debian = ["tmp.abcdef", "tmp.A0zZ9b"];
    let cronie = ["#tmp.host.example.abcdefghij", "#tmp..abcdefghij"];
    let others =
        ["me", "tmp.abcde", "tmp.abcdefg", "tmp.abc.ef", "tmp.", "#tmp.abcdefghij", "#tmp.host.abcdefghi", "#tmp."];
    for name in debian.iter().chain(&cronie).chain(&others) {
        tree.file(&format!("spool/{name}"), "", 0o600);
    }
    fs::create_dir(tree.path("spool/tmp.direct")).unwrap();
    std::os::unix::fs::symlink("me", tree.path("spool/tmp.symlin")).unwrap();
    for (profile, removed) in [(&DEBIAN, debian), (&CRONIE, cronie)] {
        let finder = tree.finder(profile);
        assert_eq!(finder.remove_leftovers(0).unwrap(), 0, "a fresh file is in use");
        assert_eq!(finder.remove_leftovers(i64::MAX).unwrap(), removed.len());
        assert!(removed.iter().all(|name| !tree.path(&format!("spool/{name}")).exists()));
    }
    assert!(others.iter().all(|name| tree.path(&format!("spool/{name}")).exists()));
    assert!(tree.path("spool/tmp.direct").exists() && tree.path("spool/tmp.symlin").exists());
}

/// A link to a file of root's that could be a table; the link itself is not root's.
fn foreign_link(tree: &Tree) -> PathBuf {
    let link = tree.path("cron.d/job");
    symlink("/etc/passwd", &link).unwrap();
    if my_uid() == 0 {
        std::os::unix::fs::lchown(&link, Some(4242), Some(4242)).unwrap();
    }
    link
}

#[test]
fn a_link_of_somebody_elses_among_the_drop_ins_is_refused_where_debians_cron_refuses_it() {
    let tree = Tree::new();
    let link = foreign_link(&tree);
    let kind = |profile: &'static Profile| match tree.finder(profile).scan_path(&link, &mut Me) {
        ScanOutcome::Table(found) => found.content.map(drop).map_err(|refusal| refusal.kind),
        other => panic!("{other:?}"),
    };
    assert_eq!(kind(&DEBIAN), Err(RefusalKind::WrongLinkOwner));
    assert_eq!(kind(&CRONIE), Ok(()));
    let found = scan(&tree.finder(&DEBIAN));
    assert_eq!(found, rows(&[("job", "(*system*job) WRONG SYMLINK OWNER")]));
}

/// The user `me` with a uid that changes.
struct Renumbered(u32);

impl Users for Renumbered {
    fn uid(&mut self, _: &str) -> Lookup {
        Lookup::Known(self.0)
    }
}

/// Has loaded every table in its present state. Compares the states of known tables if the directory need not be listed.
struct Loaded {
    knows_names: bool,
    unchanged: Vec<String>,
    refused: Vec<RefusalKind>,
}

impl Visitor for Loaded {
    fn knows(&self, _: &str) -> bool {
        true
    }
    fn has(&mut self, path: &str, _: &Stamp) -> bool {
        self.unchanged.push(path.to_owned());
        true
    }
    fn found(&mut self, found: Found) {
        self.refused.extend(found.content.err().map(|refusal| refusal.kind));
    }
    fn changed_tables(&mut self, directory: &str, _: &Stamp, state: &mut StateOf<'_>) -> Option<Vec<String>> {
        (self.knows_names && directory.ends_with("spool/"))
            .then(|| if state("me").is_some() { Vec::new() } else { vec!["me".to_owned()] })
    }
}

#[test]
fn a_known_table_is_judged_again_when_the_uid_of_its_user_has_changed() {
    let tree = Tree::new();
    tree.file("spool/me", "mine", 0o600);
    let uid = if my_uid() == 0 { 4242 } else { my_uid() };
    std::os::unix::fs::chown(tree.path("spool/me"), Some(uid), None).unwrap();
    for profile in [&DEBIAN, &CRONIE] {
        for knows_names in [false, true] {
            let look = |uid: u32| {
                let mut visitor = Loaded { knows_names, unchanged: Vec::new(), refused: Vec::new() };
                assert!(tree.finder(profile).scan(&mut Renumbered(uid), &mut visitor).is_empty());
                (visitor.unchanged.len(), visitor.refused)
            };
            assert_eq!(look(uid), (usize::from(!knows_names), Vec::new()));
            assert_eq!(look(uid + 1), (0, vec![RefusalKind::WrongOwner]), "knows_names: {knows_names}");
        }
    }
}
