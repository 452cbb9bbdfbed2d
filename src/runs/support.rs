//! What a crate needs that shares runs between processes, such as `tower-sse-redis`. Exempt from
//! semantic versioning.

pub use super::process::{Claim, EndedRuns, Hooks, Mark, Process, Producer, Purpose};
pub use super::record::{LastEvent, Mirror, Mirrored, Phase, Record};
pub use super::shared::{Connected, Pending, SharedRuns};
pub use super::spawn::{spawn, until};
pub use super::{key::random, options::Options};
pub use crate::callback::{caught, without_panic};
pub use crate::history::{ENTRY_OVERHEAD, Epoch, seen};
pub use crate::lock::lock;
