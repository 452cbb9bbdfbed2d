//! What a crate needs that shares runs between processes, such as `tower-sse-redis`. Exempt from
//! semantic versioning.

pub use super::{
    key::random,
    options::Options,
    process::{Claim, EndedRuns, Hooks, Mark, Process, Producer, Purpose},
    record::{LastEvent, Mirror, Mirrored, Phase, Record},
    shared::{Connected, Pending, SharedRuns},
    spawn::{spawn, until},
};
pub use crate::{
    callback::{caught, without_panic},
    history::{ENTRY_OVERHEAD, Epoch, seen},
    lock::lock,
};
