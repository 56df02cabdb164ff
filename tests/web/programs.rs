//! What is linked into which program.

use crate::common::stage;
use std::process::Command;

#[test]
fn only_cronctl_has_the_web_server_the_sandbox_and_tls_in_it() {
    if let Some(reason) = stage::missing(&["nm"]) {
        stage::skip("only_cronctl_has_the_web_server_the_sandbox_and_tls_in_it", &reason);
        return;
    }
    let has = |program: &str, name: &str| {
        let output = Command::new("nm").args(["--demangle", program]).output().expect("nm, of binutils");
        assert!(output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stdout).contains(name)
    };
    for name in ["axum", "hyper::", "tokio::", "landlock::", "seccompiler::", "rustls::", "ureq::", "fleet::etcd::"] {
        assert!(has(env!("CARGO_BIN_EXE_cronctl"), name), "cronctl: {name}");
        for program in [env!("CARGO_BIN_EXE_crond"), env!("CARGO_BIN_EXE_crontab")] {
            assert!(!has(program, name), "{program}: {name}");
        }
    }
}
