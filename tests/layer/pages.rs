//! What the pages and the examples show, which people copy.

use std::{fs, path::Path};

/// Returns the path and the text of each file of the documentation and the examples, without the
/// marks of comments and the space at the start of lines.
fn pages() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let paths = ["src", "docs/guide", "examples", "README.md"];
    let mut paths = paths.map(|path| root.join(path)).to_vec();
    let mut pages = Vec::new();
    while let Some(path) = paths.pop() {
        if path.ends_with("tests") {
            continue;
        }
        if path.is_dir() {
            paths.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if let Ok(text) = fs::read_to_string(&path) {
            let lines = text.lines().map(|line| {
                let line = line.trim_start();
                let text = line.strip_prefix("//!").or_else(|| line.strip_prefix("///"));
                text.unwrap_or(line).trim_start()
            });
            let path = path.strip_prefix(root).unwrap().to_string_lossy().into_owned();
            pages.push((path, lines.collect::<Vec<_>>().join("\n")));
        }
    }
    assert!(pages.len() > 250, "{} files", pages.len());
    pages
}

/// `Extensions::insert` drops the options that others have set.
#[test]
fn no_page_inserts_options_into_a_response() {
    for (path, text) in pages() {
        let text: String = text.split_whitespace().collect();
        assert!(!text.contains(".insert(StreamOptions"), "{path}");
        assert!(!text.contains(".insert(tower_sse::StreamOptions"), "{path}");
    }
}

/// The part of a program that waits for a signal.
const CANCEL_ON_SIGNAL: &str = "\
async fn cancel_on_signal(shutdown: CancellationToken) {
#[cfg(unix)]
let terminated = async {
use tokio::signal::unix::{SignalKind, signal};
match signal(SignalKind::terminate()) {
Ok(mut terminate) => _ = terminate.recv().await,
Err(_) => std::future::pending().await,
}
};
#[cfg(not(unix))]
let terminated = std::future::pending();
tokio::select! {
Ok(()) = tokio::signal::ctrl_c() => {}
() = terminated => {}
}
println!(\"shutting down\");
shutdown.cancel();
}
";

/// Orchestrators send SIGTERM, which ends a process at once that waits for ctrl-c alone.
#[test]
fn programs_wait_for_the_same_signals_and_have_a_deadline() {
    let mut programs = 0;
    for (path, text) in pages() {
        let waits = text.contains(CANCEL_ON_SIGNAL);
        assert_eq!(waits, text.contains("ctrl_c()"), "{path} waits for signals in its own way");
        if waits {
            programs += 1;
            assert!(text.contains("deadline"), "{path} has no deadline");
        } else if text.contains(".shutdown(shutdown") {
            let is_drill = path.ends_with("dashboard/generation.rs");
            assert!(is_drill || text.contains("guide::shutdown"), "{path} shows no end");
        }
    }
    assert_eq!(programs, 8, "three hosts, chat, runs, MCP, two pages");
}
