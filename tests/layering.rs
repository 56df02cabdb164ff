//! The rules of the module map in `src/lib.rs`, read off the `use` paths: imports go to lower layers, no two files of a module import each
//! other in a circle, the pure modules do no I/O, and owners and modes are changed in one place.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its files has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that only compute.
const PURE: [&str; 5] = ["schedule", "crontab", "varlink", "scheduler", "profile"];

/// What those must not name.
const IO: [&str; 9] =
    ["std::env", "std::fs", "std::process", "std::net", "std::os", "std::thread", "std::time", "nix::", "libc::"];

/// Calls that change an owner or a mode; `sys/created.rs` has types for what this process has created.
const OWNER_OR_MODE: [&str; 8] =
    ["chown(", "lchown(", "fchown(", "fchownat(", "chmod(", "fchmod(", "fchmodat(", "set_permissions("];

/// A source file: its module path (`["spool", "scan"]`), and its code without comments and unit tests.
struct SourceFile {
    path: PathBuf,
    module: Vec<String>,
    code: String,
}

fn sources() -> Vec<SourceFile> {
    let mut files = Vec::new();
    collect(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut Vec::new(), &mut files);
    files
}

fn collect(directory: &Path, module: &mut Vec<String>, files: &mut Vec<SourceFile>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            module.push(name);
            collect(&path, module, files);
            module.pop();
        } else if path.extension().is_some_and(|extension| extension == "rs") && !name.ends_with("tests") {
            let own = if name == "mod" || name == "lib" { vec![] } else { vec![name] };
            let text = fs::read_to_string(&path).unwrap();
            let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
            let code =
                code.lines().map(|line| line.split("//").next().unwrap_or_default()).collect::<Vec<_>>().join("\n");
            files.push(SourceFile { path, module: [module.clone(), own].concat(), code });
        }
    }
}

/// The absolute paths that the `use` declarations of a file name, groups taken apart.
fn imports(file: &SourceFile) -> Vec<Vec<String>> {
    let declarations = file.code.split(';').filter_map(|part| {
        let start = part.find("\nuse ").map(|at| at + 5).or_else(|| part.find("\npub use ").map(|at| at + 9))?;
        Some(part[start..].split_whitespace().collect::<Vec<_>>().join(""))
    });
    let mut paths = Vec::new();
    for declaration in declarations {
        expand(&declaration, Vec::new(), &mut paths);
    }
    paths.into_iter().filter_map(|path| absolute(&path, file)).collect()
}

fn expand(tree: &str, before: Vec<String>, paths: &mut Vec<Vec<String>>) {
    let Some(open) = tree.find('{') else {
        let path = tree.trim_end_matches(',').split("::").map(str::to_owned);
        return paths.push(before.into_iter().chain(path).collect());
    };
    let head: Vec<String> = tree[..open].trim_end_matches("::").split("::").map(str::to_owned).collect();
    let (mut depth, mut from) = (0, open + 1);
    for (at, byte) in tree.bytes().enumerate().skip(open) {
        match byte {
            b'{' => depth += 1,
            b'}' => depth -= 1,
            _ => {}
        }
        if (byte == b',' && depth == 1) || depth == 0 {
            if at > from {
                expand(&tree[from..at], [before.clone(), head.clone()].concat(), paths);
            }
            from = at + 1;
            if depth == 0 {
                return;
            }
        }
    }
}

fn absolute(path: &[String], file: &SourceFile) -> Option<Vec<String>> {
    let supers = path.iter().take_while(|part| *part == "super").count();
    match path.first()?.as_str() {
        "crate" | "cronwheel" => Some(path[1..].to_vec()),
        "super" => Some([&file.module[..file.module.len().checked_sub(supers)?], &path[supers..]].concat()),
        "self" => Some([&file.module, &path[1..]].concat()),
        // A module of this file's own.
        _ => Some([&file.module, path].concat()),
    }
}

/// Layer of each module, from the table in `src/lib.rs`.
fn layers() -> BTreeMap<String, usize> {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("//! | "));
    let cells = rows.map(|row| row.split(" | ").collect::<Vec<_>>());
    cells
        .filter_map(|cells| Some((cells[1].trim_matches(['[', ']', '`']).to_owned(), cells[0].parse().ok()?)))
        .collect()
}

#[test]
fn imports_go_to_lower_layers() {
    let (layers, files) = (layers(), sources());
    let mut wrong = BTreeSet::new();
    for file in &files {
        let Some(own) = file.module.first() else { continue };
        let layer = layers.get(own).unwrap_or_else(|| panic!("{own} is not in the table of src/lib.rs"));
        for other in imports(file).iter().filter_map(|path| path.first()).filter(|other| *other != own) {
            if layers.get(other).is_some_and(|below| below >= layer) {
                wrong.insert(format!("{}: {own} (layer {layer}) imports {other}", file.path.display()));
            }
        }
    }
    assert!(layers.len() > 9 && files.len() > 100 && wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn files_of_a_module_do_not_import_each_other_in_a_circle() {
    let files = sources();
    let modules: BTreeSet<&[String]> = files.iter().map(|file| file.module.as_slice()).collect();
    let mut edges: BTreeMap<&[String], BTreeSet<&[String]>> = BTreeMap::new();
    // What a mod.rs declares and re-exports is no import.
    for file in files.iter().filter(|file| !file.path.ends_with("mod.rs")) {
        for path in imports(file) {
            let target = (1..=path.len()).rev().find_map(|length| modules.get(&path[..length]));
            let is_file = |target: &&&[String]| {
                files.iter().any(|other| other.module == **target && !other.path.ends_with("mod.rs"))
            };
            if let Some(target) = target.filter(|target| ***target != file.module).filter(is_file) {
                edges.entry(&file.module).or_default().insert(target);
            }
        }
    }
    let reaches = |from: &[String], to: &[String]| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
        while let Some(at) = next.pop() {
            next.extend(edges.get(at).into_iter().flatten().copied().filter(|other| seen.insert(*other)));
        }
        seen.contains(to)
    };
    let circles: Vec<String> = edges.keys().filter(|file| reaches(file, file)).map(|file| file.join("/")).collect();
    assert!(circles.is_empty(), "{circles:?} import each other in a circle");
}

#[test]
fn the_pure_modules_do_no_io_and_forbid_unsafe_code() {
    let mut wrong = Vec::new();
    for file in sources().iter().filter(|file| file.module.first().is_some_and(|name| PURE.contains(&name.as_str()))) {
        wrong.extend(IO.iter().filter(|io| file.code.contains(*io)).map(|io| format!("{}: {io}", file.path.display())));
        if file.module.len() == 1
            && !file.code.contains("#![forbid(unsafe_code)]")
            && fs::read_to_string(&file.path).is_ok_and(|text| !text.contains("#![forbid(unsafe_code)]"))
        {
            wrong.push(format!("{}: does not forbid unsafe code", file.path.display()));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn owners_and_modes_are_changed_only_in_the_module_for_what_was_just_created() {
    let files = sources();
    let calls = |file: &SourceFile| OWNER_OR_MODE.iter().filter(|call| file.code.contains(*call)).count();
    let (created, others): (Vec<_>, Vec<_>) = files.iter().partition(|file| file.module == ["sys", "created"]);
    assert!(created.len() == 1 && calls(created[0]) > 0);
    let wrong: Vec<_> = others.iter().filter(|file| calls(file) > 0).map(|file| &file.path).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}
