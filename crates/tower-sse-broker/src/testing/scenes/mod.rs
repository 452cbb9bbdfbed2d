//! The scenes of the kit, grouped by subject. Each scene returns the first problem that it finds.

pub(super) mod breaks;
pub(super) mod closing;
pub(super) mod content;
pub(super) mod ends;
pub(super) mod history;
pub(super) mod losses;
pub(super) mod order;
