//! The compiler's errors name the mistake.

use std::{env, fs, path::PathBuf, process::Command};

const FORGOTTEN_RESUME: &str = r#"
    pub fn events(hub: &tower_sse::hub::Hub) {
        _ = tower_sse::response(hub.subscribe(["news"]));
    }
"#;

/// Compiles a snippet with the build of the crate that is newest, and therefore that of this test,
/// and returns what the compiler prints.
fn compile(name: &str, snippet: &str) -> String {
    let test = env::current_exe().unwrap();
    let builds = test.parent().unwrap();
    let mut crates: Vec<PathBuf> = fs::read_dir(builds)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rlib"))
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with("libtower_sse-"))
        .collect();
    crates.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    let source = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name).with_extension("rs");
    fs::write(&source, snippet).unwrap();
    for crate_ in crates.iter().rev() {
        let output = Command::new("rustc")
            .args(["--edition=2024", "--crate-type=lib", "--emit=metadata"])
            .arg(format!("-Ldependency={}", builds.display()))
            .arg(format!("--extern=tower_sse={}", crate_.display()))
            .arg(format!("--out-dir={}", env!("CARGO_TARGET_TMPDIR")))
            .arg(&source)
            .output()
            .unwrap();
        let printed = String::from_utf8(output.stderr).unwrap();
        // E0433: a build without feature `hub`. E0514: one by another compiler.
        if !printed.contains("E0433") && !printed.contains("E0514") {
            return printed;
        }
    }
    panic!("no build of the crate among {crates:?}");
}

#[test]
fn the_error_of_a_forgotten_resume_names_it() {
    let printed = compile("forgotten_resume", FORGOTTEN_RESUME);
    assert!(printed.contains("`Subscribe` is not a stream of events"), "{printed}");
    assert!(printed.contains("resume(last_event_id)"), "{printed}");
}

#[test]
fn a_started_subscription_compiles() {
    let started = FORGOTTEN_RESUME.replace("])", "]).resume(None)");
    assert_eq!(compile("started", &started), "");
}
