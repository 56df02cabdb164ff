//! Any bytes as cron.allow and cron.deny: a user is allowed exactly if the lists, compared line by line, say so, and a name with a newline never is
//! found.

use super::input::Input;
use cronwheel::spool::access::{AccessDecision, Lists, may_use};
use std::fs;
use std::sync::LazyLock;
use tempfile::TempDir;

static DIRECTORY: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir().unwrap());

pub fn run(input: &[u8]) {
    let mut input = Input(input);
    let bits = input.byte();
    let name = String::from_utf8_lossy(input.until(b'\n')).into_owned();
    let (allow, deny) = (input.until(0), input.0);
    // Tests run side by side.
    let own = DIRECTORY.path().join(format!("{:?}", std::thread::current().id()));
    fs::create_dir_all(&own).unwrap();
    let lists = Lists { allow: own.join("allow"), deny: own.join("deny") };
    for (path, text, bit) in [(&lists.allow, allow, 1), (&lists.deny, deny, 2)] {
        if bits & bit != 0 {
            fs::write(path, text).unwrap();
        } else {
            let _ = fs::remove_file(path);
        }
    }
    let has = |text: &[u8]| {
        let mut lines: Vec<Vec<u8>> = vec![Vec::new()];
        for byte in text {
            match byte {
                b'\n' => lines.push(Vec::new()),
                other => lines.last_mut().unwrap().push(*other),
            }
        }
        lines.iter().any(|line| line == name.as_bytes())
    };
    for open_to_all in [false, true] {
        let wanted = match (bits & 1 != 0, bits & 2 != 0) {
            (true, _) => has(allow),
            (false, true) => !has(deny),
            (false, false) => open_to_all,
        };
        let ruling = may_use(&name, &lists, open_to_all);
        assert_eq!(matches!(ruling, AccessDecision::Allowed), wanted, "{name:?} {ruling:?}");
        assert!(matches!(ruling, AccessDecision::Allowed | AccessDecision::Denied));
    }
}
