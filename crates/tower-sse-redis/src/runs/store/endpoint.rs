use std::sync::Arc;

use super::{scope::Scope, subscriptions::Subscriptions};
use crate::server::servers::Servers;

/// What sessions of a process connect to, and what they are for.
pub(super) struct Endpoint {
    pub(super) servers: Servers,
    /// The name of the connections in `CLIENT LIST`.
    pub(super) name: String,
    pub(super) scope: Scope,
    pub(super) subscriptions: Arc<Subscriptions>,
}
