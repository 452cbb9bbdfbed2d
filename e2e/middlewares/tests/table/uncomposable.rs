//! The compiler's errors for the stacks in `examples/uncomposable.rs`.

use std::{collections::BTreeMap, env, path::Path, process::Command};

use crate::quoted::is_like;

const SOURCE: &str = include_str!("../../examples/uncomposable.rs");
const PAGE: &str = include_str!("../../../../docs/middlewares.md");
const TROUBLESHOOTING: &str = include_str!("../../../../docs/guide/troubleshooting.md");

fn function(line: usize) -> &'static str {
    let lines = SOURCE.lines().take(line).filter_map(|line| line.strip_prefix("pub fn "));
    lines.last().and_then(|line| line.split('(').next()).expect("a function")
}

fn errors() -> BTreeMap<&'static str, String> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("the target directory");
    let build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--example", "uncomposable", "--features", "uncomposable"])
        .args(["--message-format", "short", "--target-dir"])
        .arg(target)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let printed = String::from_utf8(build.stderr).unwrap();
    println!("{printed}");
    let mut errors = BTreeMap::new();
    for line in printed.lines().filter_map(|line| line.strip_prefix("examples/uncomposable.rs:")) {
        let [line, _column, error] = line.splitn(3, ':').collect::<Vec<_>>()[..] else { continue };
        if error.starts_with(" error") {
            errors.entry(function(line.parse().unwrap())).or_insert(error.trim().to_owned());
        }
    }
    errors
}

/// This test fails once a stack compiles, because of a new version of its layer.
#[test]
fn compiler_says_what_the_pages_quote() {
    let errors = errors();
    let functions = SOURCE.lines().filter(|line| line.starts_with("pub fn ")).count();
    assert_eq!(errors.len(), functions, "{errors:#?}");
    for (package, error) in &errors {
        let quoted = format!("\n# {package}\n{error}\n");
        assert!(PAGE.contains(&quoted), "docs/middlewares.md has not{quoted}");
    }
    let section =
        TROUBLESHOOTING.split("## A layer that needs another body").nth(1).expect("a section");
    let quoted: Vec<_> =
        section.split("```").nth(1).into_iter().flat_map(str::lines).skip(1).collect();
    assert!(!quoted.is_empty());
    for quoted in quoted {
        // The compiler's short form of an error has more text behind the quoted message.
        let pattern = &format!("{quoted}…");
        assert!(errors.values().any(|error| is_like(error, pattern)), "{pattern}\n{errors:#?}");
    }
}
