use std::fmt;

use bytes::Bytes;

use super::{StreamOptions, callbacks::CloseCallbacks};

/// Merging the options of a layer and a response.
impl StreamOptions {
    /// Returns the options that apply to every client of one source: all but the maximum age,
    /// `end_when` and `on_close`, which concern only the client for which they were set.
    pub(crate) fn for_other_clients(&self) -> Self {
        Self { max_age: None, end_when: None, on_close: CloseCallbacks::NONE, ..self.clone() }
    }

    /// Returns these options, with `defaults` for those that are not set.
    pub(crate) fn or(self, defaults: &Self) -> Self {
        Self {
            heartbeat: self.heartbeat.or_else(|| defaults.heartbeat.clone()),
            retry: self.retry.or_else(|| defaults.retry.clone()),
            padding: self.padding.or_else(|| defaults.padding.clone()),
            max_age: self.max_age.or_else(|| defaults.max_age.clone()),
            end_when: self.end_when.or_else(|| defaults.end_when.clone()),
            drain: self.drain.or_else(|| defaults.drain.clone()),
            farewell: self.farewell.or_else(|| defaults.farewell.clone()),
            terminator: self.terminator.or_else(|| defaults.terminator.clone()),
            on_error: self.on_error.or_else(|| defaults.on_error.clone()),
            on_close: self.on_close.after(&defaults.on_close),
        }
    }
}

impl fmt::Debug for StreamOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamOptions")
            .field("heartbeat", &self.heartbeat)
            .field("retry", &self.retry)
            .field("padding", &self.padding.as_ref().map(Bytes::len))
            .field("max_age", &self.max_age)
            .field("end_when", &self.end_when)
            .field("drain", &self.drain)
            .field("farewell", &self.farewell)
            .field("terminator", &self.terminator)
            .field("on_error", &self.on_error.as_ref().map(Option::is_some))
            .field("on_close", &self.on_close.callback.is_some())
            .finish()
    }
}
