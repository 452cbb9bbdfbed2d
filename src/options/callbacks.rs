use std::{error::Error, sync::Arc};

use super::{StreamOptions, closures::CloseCallbacks};
use crate::{callback::Opaque, connection::CloseReport, event::Event};

/// Closures that are called when the stream fails or has closed.
impl StreamOptions {
    /// Turns an error of the source into a last event; see
    /// [`SseLayer::on_error`](crate::SseLayer::on_error).
    pub fn on_error<F>(mut self, to_event: F) -> Self
    where
        F: Fn(&(dyn Error + 'static)) -> Event + Send + Sync + 'static,
    {
        self.on_error = Some(Some(Opaque(Arc::new(to_event))));
        self
    }

    /// Makes the body fail if the source fails.
    pub fn without_on_error(mut self) -> Self {
        self.on_error = Some(None);
        self
    }

    /// Calls a closure once when the stream has closed; see
    /// [`SseLayer::on_close`](crate::SseLayer::on_close). It can capture what the handler knows,
    /// such as the user.
    ///
    /// The layer's closures are called before this one. After
    /// [`without_on_close`](Self::without_on_close), only closures that are set later are called.
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
        self.on_close.add(Opaque(Arc::new(callback)));
        self
    }

    /// Calls no closure when the stream has closed, not even the layer's.
    pub fn without_on_close(mut self) -> Self {
        self.on_close = CloseCallbacks::TURNED_OFF;
        self
    }
}
