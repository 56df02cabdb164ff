//! The RPM spec. (What is in `contrib/debian` makes the package that `tests/package` installs.)

use crate::{contrib, lacks, read, run};
use std::path::Path;
use std::process::Command;

#[test]
fn rpm_understands_the_spec_and_all_that_it_installs_is_there() {
    if lacks("rpm_understands_the_spec_and_all_that_it_installs_is_there", &["rpmspec"]) {
        return;
    }
    let spec = contrib().join("rpm/cronwheel.spec");
    run(Command::new("rpmspec").arg("--parse").arg(&spec));
    let named = run(Command::new("rpmspec").args(["-q", "--qf", "%{name} %{version}"]).arg(&spec));
    assert_eq!(named, format!("cronwheel {}", env!("CARGO_PKG_VERSION")));
    // `install -D -m 0644 FROM TO`; the programs are built before, pages come from a loop.
    let text = read("rpm/cronwheel.spec");
    let commands = text.lines().flat_map(|line| line.split(';')).map(str::trim);
    let words = commands.filter_map(|line| line.strip_prefix("do ").unwrap_or(line).strip_prefix("install -D -m "));
    let sources: Vec<&str> = words.filter_map(|words| words.split(' ').nth(1)).collect();
    assert!(sources.len() > 8, "{sources:?}");
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    for source in sources.iter().filter(|source| !source.starts_with("target/release/") && !source.contains('$')) {
        assert!(top.join(source).exists(), "{source}");
    }
    for page in
        text.split("for page in ").skip(1).filter_map(|rest| rest.split(';').next()).flat_map(str::split_whitespace)
    {
        assert!(top.join("man").join(page).exists(), "{page}");
    }
}
