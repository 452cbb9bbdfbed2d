//! Mutants: wrong protocols, built in under `--cfg tower_sse_mutants`, to prove that the tests see
//! what each step of the right one prevents. `TOWER_SSE_MUTANT` selects one.

/// Continues to read after the last entry without a look whether that is still there.
pub(super) fn reads_exclusively() -> bool {
    is("exclusive")
}

/// Reports a loss in this process only, where others have to learn of it from a marker.
pub(super) fn writes_no_marker() -> bool {
    is("no-marker")
}

/// Publishes into a stream that is missing, and so hides that it was lost.
pub(super) fn publishes_into_a_missing_stream() -> bool {
    is("mkstream")
}

/// Does not look whether events that were acknowledged before a break are still there.
pub(super) fn ignores_acknowledgements() -> bool {
    is("acks")
}

/// Lets publishers go on before the reader has caught up.
pub(super) fn opens_the_gate_early() -> bool {
    is("gate")
}

#[cfg(tower_sse_mutants)]
fn is(name: &str) -> bool {
    use std::sync::OnceLock;
    static SELECTED: OnceLock<Option<String>> = OnceLock::new();
    SELECTED.get_or_init(|| std::env::var("TOWER_SSE_MUTANT").ok()).as_deref() == Some(name)
}

#[cfg(not(tower_sse_mutants))]
const fn is(_name: &str) -> bool {
    false
}
