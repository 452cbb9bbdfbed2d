use std::{fmt, sync::Arc};

use crate::body::Rules;

/// What was set at a layer, shared by its services and their streams.
#[derive(Clone)]
pub(crate) struct Config {
    pub(super) rules: Arc<Rules>,
    pub(super) require_accept: bool,
    pub(super) last_event_id_query: Vec<String>,
}

impl Config {
    pub(super) fn new() -> Self {
        Self {
            rules: Arc::new(Rules::new()),
            require_accept: false,
            last_event_id_query: Vec::new(),
        }
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("options", self.rules.options())
            .field("require_accept", &self.require_accept)
            .field("last_event_id_query", &self.last_event_id_query)
            .finish_non_exhaustive()
    }
}
