//! The rules of the module map in `src/lib.rs`, read off the `use` paths: imports go to lower layers, and no two files of a module import
//! each other in a circle. Other paths to files than those of `use` are not allowed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its files has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// A source file: its module path (`["spool", "scan"]`), and its code without comments and unit tests.
struct SourceFile {
    path: PathBuf,
    module: Vec<String>,
    code: String,
}

fn sources() -> Vec<SourceFile> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut directories, mut files) = (vec![root.clone()], Vec::new());
    while let Some(directory) = directories.pop() {
        for path in fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()) {
            let module = path.strip_prefix(&root).unwrap().with_extension("");
            let mut module: Vec<String> = module.iter().map(|name| name.to_str().unwrap().to_owned()).collect();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs")
                && !module.last().unwrap().ends_with("tests")
            {
                module.retain(|name| name != "mod" && name != "lib");
                let text = fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]\nmod ").next().unwrap();
                let code = code.lines().map(|line| line.split("//").next().unwrap()).collect::<Vec<_>>().join("\n");
                files.push(SourceFile { path, module, code });
            }
        }
    }
    files
}

/// The paths from the root of the crate that the `use` declarations of a file name, re-exports included.
fn imports(file: &SourceFile) -> Vec<Vec<String>> {
    declarations(file).into_iter().map(|(_, path)| path).collect()
}

/// The same, each with whether it is re-exported.
fn declarations(file: &SourceFile) -> Vec<(bool, Vec<String>)> {
    let trees = file.code.split(';').filter_map(|part| {
        let begins = |line: &&str| line.starts_with("use ") || (line.starts_with("pub") && line.contains(" use "));
        let (before, tree) = part[part.find(part.lines().find(begins)?)?..].split_once("use ")?;
        Some((!before.is_empty(), tree.split_whitespace().collect::<String>()))
    });
    let paths = trees.flat_map(|(is_public, tree)| expand(&tree).into_iter().map(move |path| (is_public, path)));
    paths.map(|(is_public, path)| (is_public, absolute(&path, file))).collect()
}

/// The code of a file without its `use` declarations.
fn without_use(file: &SourceFile) -> String {
    let mut is_use = false;
    let mut lines = Vec::new();
    for line in file.code.lines() {
        let trimmed = line.trim_start();
        is_use |= trimmed.starts_with("use ") || (trimmed.starts_with("pub") && trimmed.contains(" use "));
        if !is_use {
            lines.push(line);
        }
        is_use &= !line.contains(';');
    }
    lines.join("\n")
}

/// Whether a text has a path that begins with that name, as `jobs` in `jobs::list()`.
fn begins_a_path(text: &str, name: &str) -> bool {
    let is_part_of_another = |before: char| before.is_alphanumeric() || before == '_' || before == ':';
    text.match_indices(&format!("{name}::")).any(|(at, _)| !text[..at].ends_with(is_part_of_another))
}

/// The single paths of a tree: `a::{b,c::{d,e}}` has `a::b`, `a::c::d` and `a::c::e`.
fn expand(tree: &str) -> Vec<String> {
    let (mut prefixes, mut path, mut paths) = (Vec::new(), String::new(), Vec::new());
    for letter in tree.chars().chain([',']) {
        match letter {
            '{' => prefixes.push(path.clone()),
            ',' | '}' => {
                if !path.is_empty() && !path.ends_with("::") {
                    paths.push(path);
                }
                if letter == '}' {
                    prefixes.pop();
                }
                path = prefixes.last().cloned().unwrap_or_default();
            }
            _ => path.push(letter),
        }
    }
    paths
}

fn absolute(path: &str, file: &SourceFile) -> Vec<String> {
    let parts: Vec<String> = path.split("::").map(str::to_owned).collect();
    let supers = parts.iter().take_while(|part| *part == "super").count();
    match parts[0].as_str() {
        "crate" | "cronwheel" => parts[1..].to_vec(),
        "self" => [&file.module, &parts[1..]].concat(),
        // Another crate, or a module of this file's own.
        _ => [&file.module[..file.module.len() - supers], &parts[supers..]].concat(),
    }
}

#[test]
fn imports_go_to_lower_layers() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let rows = page.lines().filter_map(|line| line.strip_prefix("//! | ")?.split_once(" | "));
    let layers: BTreeMap<&str, usize> = rows
        .filter_map(|(layer, rest)| {
            Some((rest.split(" | ").next()?.trim_matches(['[', ']', '`']), layer.parse().ok()?))
        })
        .collect();
    let (files, mut wrong) = (sources(), BTreeSet::new());
    for file in files.iter().filter(|file| !file.module.is_empty()) {
        let own = file.module[0].as_str();
        let layer = layers.get(own).unwrap_or_else(|| panic!("{own} is not in the table of src/lib.rs"));
        for other in imports(file).iter().map(|path| path[0].as_str()).filter(|other| *other != own) {
            if layers.get(other).is_some_and(|below| below >= layer) {
                wrong.insert(format!("{}: {own} (layer {layer}) imports {other}", file.path.display()));
            }
        }
    }
    assert!(layers.len() > 9 && files.len() > 100 && wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn items_of_other_files_are_named_by_use() {
    // The other tests read nothing else.
    let mut wrong = BTreeSet::new();
    for file in sources() {
        let code = without_use(&file).replace("pub(in crate::", "pub(in ").replace("pub(in super::", "pub(in ");
        if ["crate", "super"].iter().any(|root| begins_a_path(&code, root)) {
            wrong.insert(file.path);
        }
    }
    assert!(wrong.is_empty(), "these have paths like crate::module::item: import the item {wrong:#?}");
}

#[test]
fn files_of_a_module_do_not_import_each_other_in_a_circle() {
    let files = sources();
    let is_mod = |file: &SourceFile| file.path.ends_with("mod.rs");
    let modules: BTreeSet<&[String]> = files.iter().map(|file| &file.module[..]).collect();
    let module_of = |path: &[String]| {
        (1..=path.len())
            .rev()
            .find_map(|length| modules.get(&path[..length]).copied())
            .filter(|module| !module.is_empty())
    };
    // An import through a mod.rs that re-exports the name is one of the file where it is defined.
    let exports: BTreeMap<(&[String], String), Vec<String>> = files
        .iter()
        .filter(|file| is_mod(file))
        .flat_map(|file| declarations(file).into_iter().map(move |declared| (file, declared)))
        .filter(|(_, (is_public, _))| *is_public)
        .filter_map(|(file, (_, path))| Some(((&file.module[..], path.last()?.clone()), path)))
        .collect();
    let target = |mut path: Vec<String>| loop {
        let module = module_of(&path)?;
        let name = path.get(module.len()).cloned().unwrap_or_default();
        match exports.get(&(module, name)).filter(|exported| **exported != path) {
            Some(exported) => path = [&exported[..], &path[module.len() + 1..]].concat(),
            None => return Some(module),
        }
    };
    let mut importing: BTreeMap<&[String], BTreeSet<&[String]>> = BTreeMap::new();
    for file in &files {
        // What a mod.rs re-exports is no import of its own.
        let own = declarations(file).into_iter().filter(|(is_public, _)| !(*is_public && is_mod(file)));
        let targets = own.filter_map(|(_, path)| target(path)).filter(|other| *other != file.module);
        let mut targets: BTreeSet<&[String]> = targets.collect();
        // A module calls the files below it without importing them.
        let code = without_use(file);
        let is_below = |other: &[String]| other.split_last().is_some_and(|(_, above)| above == file.module);
        targets.extend(modules.iter().copied().filter(|other| {
            !file.module.is_empty() && is_below(other) && begins_a_path(&code, &other[file.module.len()])
        }));
        importing.insert(&file.module, targets);
    }
    assert!(importing.values().map(BTreeSet::len).sum::<usize>() > 1000, "{importing:?}");
    // Takes away the files that import none of the others or that none of them imports, until no more can be taken away.
    let mut left = 0;
    while importing.len() != left {
        left = importing.len();
        let modules: BTreeSet<&[String]> = importing.keys().copied().collect();
        let imported: BTreeSet<&[String]> = importing.values().flatten().copied().collect();
        importing.retain(|module, targets| imported.contains(module) && !targets.is_disjoint(&modules));
    }
    let circle: Vec<String> = importing
        .iter()
        .map(|(module, targets)| {
            let targets: Vec<String> =
                targets.iter().filter(|other| importing.contains_key(**other)).map(|other| other.join("::")).collect();
            format!("{} -> {}", module.join("::"), targets.join(", "))
        })
        .collect();
    assert!(circle.is_empty(), "these import each other in a circle: {circle:#?}");
}
