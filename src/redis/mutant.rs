//! Deliberate faults of the protocol, compiled with `--cfg tower_sse_mutants` and selected by
//! `TOWER_SSE_MUTANT`. `.ci/slow mutants` checks that a test fails with each of them.

/// Returns whether the reader continues after the last entry without checking that it still exists.
pub(super) fn reads_exclusively() -> bool {
    is("exclusive")
}

/// Returns whether the reader reports a loss only in this process, without a marker for the others.
pub(super) fn writes_no_marker() -> bool {
    is("no-marker")
}

/// Returns whether the reader assumes that the last entry still exists, as long as the connection
/// lasts.
pub(super) fn trusts_every_answer() -> bool {
    is("no-proof") || publishes_into_a_missing_stream() || reads_exclusively()
}

/// Returns whether publishing creates a missing stream, which hides its loss from readers that
/// [trust every answer](trusts_every_answer).
pub(super) fn publishes_into_a_missing_stream() -> bool {
    is("mkstream")
}

/// Returns whether the reader skips the check that acknowledged events still exist after a break.
pub(super) fn ignores_acknowledgements() -> bool {
    is("acks")
}

/// Returns whether publishers may continue before the reader has caught up.
pub(super) fn opens_the_gate_early() -> bool {
    is("gate")
}

/// Returns whether an acknowledged event no longer counts once the reader has met a newer one.
pub(super) fn forgets_what_it_passes() -> bool {
    is("passed")
}

/// Returns whether any event with the id of an acknowledged one counts as that event.
pub(super) fn compares_only_ids() -> bool {
    is("id")
}

/// Returns whether ids whose sequence numbers overflow, or break the order, are accepted.
pub(super) fn accepts_every_id() -> bool {
    is("range")
}

/// Returns whether ids that are ahead of the server's clock continue where this process knows them
/// to end.
pub(super) fn assigns_ids_again() -> bool {
    is("ahead")
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
