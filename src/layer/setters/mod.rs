//! The options of [`SseLayer`], in a file for each heading of its page.

mod end;
mod limit;
mod observe;
mod resume;
mod shut_down;
mod stay_open;

use std::sync::Arc;

use super::{Refusal, SseLayer};
use crate::options::StreamOptions;

/// Several options at once. See [what setting an option again
/// does](crate::StreamOptions#setting-and-turning-off-options).
impl<M> SseLayer<M> {
    /// Sets several options of streams at once. Options that are not set in `options` keep their
    /// values.
    ///
    /// [`StreamOptions`] of a request or a response [override](StreamOptions#precedence) the layer's.
    ///
    /// ```
    /// use tower_sse::{SseLayer, StreamOptions};
    ///
    /// let options = StreamOptions::new().without_heartbeat().terminator("[END]");
    /// # let layer: SseLayer =
    /// SseLayer::new().padding(2048).options(options);
    /// ```
    #[must_use]
    pub fn options(mut self, options: StreamOptions) -> Self {
        let config = self.config_mut();
        config.options = Arc::new(config.options.with(options));
        self
    }
}
