//! The project's source files as the laws see them: the code without comments, texts and tests.

use std::fs;
use std::path::{Path, PathBuf};

/// One Rust file.
pub struct Source {
    /// Path from the project's top, `src/table/parse.rs`.
    pub path: String,
    /// The file as it is.
    pub text: String,
    /// Comments gone, texts emptied, tests cut off; lines are where they were.
    pub code: String,
}

impl Source {
    pub fn new(path: &str, text: &str) -> Source {
        Source { path: path.to_owned(), text: text.to_owned(), code: without_tests(&bare(text)) }
    }

    /// The room a file of `src` is in: `table`, `site`, `bin`; none for `src/lib.rs`, the build script and
    /// files elsewhere.
    pub fn room(&self) -> Option<&str> {
        let inside = self.path.strip_prefix("src/")?;
        let first = inside.split('/').next()?;
        let room = first.strip_suffix(".rs").unwrap_or(first);
        (!matches!(room, "lib" | "build")).then_some(room)
    }

    /// How deep in the module tree the file's module is: 1 for a room's own module.
    pub fn depth(&self) -> usize {
        let inside = self.path.trim_start_matches("src/").trim_end_matches(".rs").trim_end_matches("/mod");
        inside.split('/').count()
    }

    /// The words of the code, with their line numbers.
    pub fn words(&self) -> impl Iterator<Item = (usize, &str)> {
        self.code.lines().enumerate().flat_map(|(at, line)| {
            line.split(|c: char| !c.is_alphanumeric() && c != '_')
                .filter(|word| !word.is_empty())
                .map(move |w| (at + 1, w))
        })
    }

    /// Lines of the code that contain one of these.
    pub fn lines_with<'a>(&'a self, needles: &'a [&'a str]) -> impl Iterator<Item = String> + 'a {
        self.code.lines().enumerate().flat_map(move |(at, line)| {
            needles
                .iter()
                .filter(move |needle| line.contains(**needle))
                .map(move |needle| format!("{}:{}: {needle}", self.path, at + 1))
        })
    }
}

/// The project's top folder.
pub fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All Rust files of a folder of the project, in order. Files that are only modules of tests are left out.
pub fn read(folder: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    collect(&top().join(folder), &mut paths);
    paths.sort();
    let all: Vec<Source> = paths
        .iter()
        .map(|path| {
            let name = path.strip_prefix(top()).expect("inside the project").to_string_lossy().into_owned();
            Source::new(&name, &fs::read_to_string(path).expect("a source file can be read"))
        })
        .collect();
    let tests: Vec<String> = all.iter().flat_map(test_modules).collect();
    all.into_iter().filter(|file| !tests.iter().any(|test| file.path.starts_with(test))).collect()
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder of the project can be read") {
        let path = entry.expect("a folder of the project can be read").path();
        if path.is_dir() && path.file_name().is_some_and(|name| name != "target") {
            collect(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

/// Where the files of a file's `#[cfg(test)] mod NAME;` are: the beginnings of their paths.
fn test_modules(file: &Source) -> Vec<String> {
    let own = file.path.trim_end_matches(".rs");
    let folder = own.strip_suffix("/mod").or(own.strip_suffix("/lib")).unwrap_or(own);
    let text = bare(&file.text);
    text.match_indices("#[cfg(test)]")
        .filter_map(|(at, attribute)| {
            let rest = text[at + attribute.len()..].trim_start().strip_prefix("mod ")?;
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_')?;
            rest[end..].starts_with(';').then(|| &rest[..end])
        })
        .flat_map(|name| [format!("{folder}/{name}.rs"), format!("{folder}/{name}/")])
        .collect()
}

/// The code up to its module of tests, which by custom is the last thing in a file.
fn without_tests(code: &str) -> String {
    let end = code.match_indices("#[cfg(test)]").find(|(at, attribute)| {
        let rest = code[at + attribute.len()..].trim_start();
        rest.strip_prefix("mod ").is_some_and(|rest| {
            rest.split_once(['{', ';']).is_some_and(|(name, _)| rest[name.len()..].starts_with('{'))
        })
    });
    code[..end.map_or(code.len(), |(at, _)| at)].to_owned()
}

/// The code without comments and with empty texts, line by line where it was.
pub fn bare(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < chars.len() {
        let rest = &chars[at..];
        let len = match rest {
            ['/', '/', ..] => rest.iter().position(|&c| c == '\n').unwrap_or(rest.len()),
            ['/', '*', ..] => block_comment(rest),
            ['"', ..] => text_literal(rest),
            ['r', '"' | '#', ..] if at == 0 || !is_word(chars[at - 1]) => raw_text(rest),
            ['\'', '\\', ..] => 2 + rest[3..].iter().position(|&c| c == '\'').map_or(0, |end| end + 2),
            ['\'', _, '\'', ..] => 3,
            _ => 0,
        };
        if len == 0 {
            out.push(chars[at]);
            at += 1;
            continue;
        }
        if matches!(rest[0], '"' | 'r') {
            out.push_str("\"\"");
        }
        out.extend(rest[..len].iter().filter(|&&c| c == '\n'));
        at += len;
    }
    out
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0;
    let mut at = 0;
    while at + 1 < rest.len() {
        match (rest[at], rest[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    rest.len()
}

fn text_literal(rest: &[char]) -> usize {
    let mut escaped = false;
    for (at, &c) in rest.iter().enumerate().skip(1) {
        if c == '"' && !escaped {
            return at + 1;
        }
        escaped = c == '\\' && !escaped;
    }
    rest.len()
}

/// Length of `r"..."` or `r#"..."#`; 0 where it is something else, such as `r#type`.
fn raw_text(rest: &[char]) -> usize {
    let hashes = rest[1..].iter().take_while(|&&c| c == '#').count();
    if rest.get(1 + hashes) != Some(&'"') {
        return 0;
    }
    let end: Vec<char> = std::iter::once('"').chain(std::iter::repeat_n('#', hashes)).collect();
    let body = &rest[2 + hashes..];
    body.windows(end.len()).position(|window| window == end).map_or(rest.len(), |at| 2 + hashes + at + end.len())
}
