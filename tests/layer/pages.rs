//! What the pages and the examples show, which people copy.

use crate::documented;

fn pages() -> Vec<(String, String)> {
    let pages = documented::pages(&["src", "docs/guide", "examples", "README.md"]);
    assert!(pages.len() > 150, "{} files", pages.len());
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
    assert_eq!(programs, 9, "three hosts, chat, runs, MCP, three pages");
}
