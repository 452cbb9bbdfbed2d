use std::{error::Error, sync::Arc};

use super::{StreamOptions, closures::both};
use crate::{callback::Opaque, connection::CloseReport, event::Event};

/// Closures that are called when the stream fails or has closed.
impl StreamOptions {
    /// Turns an error of the source into a last event; see
    /// [`SseLayer::on_error`](crate::SseLayer::on_error).
    pub fn on_error<F>(mut self, to_event: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> Event + Send + Sync + 'static,
    {
        self.on_error = Some(Opaque(Arc::new(to_event)));
        self
    }

    /// Calls a closure once when the stream has closed; see
    /// [`SseLayer::on_close`](crate::SseLayer::on_close). It can capture what the handler knows,
    /// such as the user.
    ///
    /// The layer's closures are called before this one.
    ///
    /// The closure is not called if the response opens no stream: it is refused or not acceptable,
    /// answers a `HEAD` request, or is served without a layer. To release a resource in these cases
    /// too, let the stream own a guard.
    ///
    /// ```
    /// use tower_sse::StreamOptions;
    ///
    /// # fn options(user: String) -> StreamOptions {
    /// StreamOptions::new().on_close(move |report| {
    ///     println!("{user} left after {:?}: {}", report.age, report.reason);
    /// })
    /// # }
    /// # _ = options(String::new());
    /// ```
    pub fn on_close<F>(mut self, callback: F) -> Self
    where
        F: Fn(&CloseReport) + Send + Sync + 'static,
    {
        self.on_close = both(self.on_close.take(), Some(Opaque(Arc::new(callback))));
        self
    }
}
