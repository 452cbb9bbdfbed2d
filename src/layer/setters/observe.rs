use std::sync::Arc;

use http::request::Parts;

use super::SseLayer;
use crate::{
    callback::Opaque,
    connection::{CloseReport, Label},
    options::StreamOptions,
    stats::Stats,
};

/// Options that report what streams do.
impl<M> SseLayer<M> {
    /// Calls a closure when a stream opens.
    ///
    /// A stream opens when its response head is known or, with a service that returns a bare
    /// stream, when the service is called. [Refused](crate::Refusal#what-is-refused) streams and
    /// the answers to `HEAD` requests do not open.
    ///
    /// The closure runs in the server's task, so it must not block. A panic in it is caught and
    /// logged.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().on_open(|| println!("a stream opened"));
    /// ```
    #[must_use]
    pub fn on_open<F>(mut self, callback: F) -> Self
    where
        F: Fn() + Send + Sync + 'static,
    {
        self.config_mut().on_open.push(Opaque(Arc::new(callback)));
        self
    }

    /// Calls a closure with a [`CloseReport`] when a stream has closed, exactly once for each
    /// stream that was opened.
    ///
    /// It is called on every exit path, even if the client disconnects before the response head,
    /// the body is never polled or the source panics. Before the call, the source is dropped and
    /// the permit of [`max_streams`](Self::max_streams) is freed.
    ///
    /// The closure must not block. It runs in the server's task, or on the thread that drops the
    /// body, even while that thread unwinds from a panic. A panic in it is caught and logged. With
    /// feature `tracing`, it is called in the request's span, and every close is logged at DEBUG.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().on_close(|report| {
    ///     println!("{} after {:?}, {} bytes", report.reason, report.age, report.bytes);
    /// });
    /// ```
    #[must_use]
    pub fn on_close<F>(self, callback: F) -> Self
    where
        F: Fn(&CloseReport) + Send + Sync + 'static,
    {
        self.options(StreamOptions::new().on_close(callback))
    }

    /// Counts streams in `stats`. Several layers can share one value. By default a layer counts in
    /// a value of its own, which cannot be read.
    ///
    /// ```
    /// use tower_sse::{SseLayer, Stats};
    ///
    /// let stats = Stats::new();
    /// # let layer: SseLayer =
    /// SseLayer::new().stats(&stats);
    /// assert_eq!(stats.snapshot().open, 0);
    /// ```
    #[must_use]
    pub fn stats(mut self, stats: &Stats) -> Self {
        self.config_mut().stats = stats.clone();
        self
    }

    /// Inserts a [`Disconnect`](crate::Disconnect) into every request's extensions. It signals to
    /// the tasks of a handler that the response is over.
    ///
    /// Off by default, because it costs five to seven allocations for each request. For services
    /// that return a bare stream, it is always inserted.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().track_disconnects(true);
    /// ```
    #[must_use]
    pub fn track_disconnects(mut self, tracked: bool) -> Self {
        let config = self.config_mut();
        config.track_disconnects = tracked;
        config.update_tracking();
        self
    }

    /// Measures the times from the request to the [head](CloseReport::time_to_head) and to the
    /// [first event](CloseReport::time_to_first_event) of each stream, for its [`CloseReport`].
    ///
    /// Off by default, because it reads the clock when a request arrives, and allocates twice for
    /// each.
    ///
    /// ```
    /// use tower_sse::SseLayer;
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().timings(true).on_close(|report| {
    ///     println!("first event after {:?}", report.time_to_first_event);
    /// });
    /// ```
    #[must_use]
    pub fn timings(mut self, noted: bool) -> Self {
        let config = self.config_mut();
        config.timings = noted;
        config.update_tracking();
        self
    }

    /// Gives each stream a label, such as the path of its route: `/events` and `/chat` are then
    /// counted separately. By default streams have no label.
    ///
    /// The label is in the [`CloseReport`], and [`Stats`] count the streams of each one. The closure is
    /// called when a request arrives, so it must be cheap and must not block. If it panics, the panic is
    /// caught and logged, and the stream has no label.
    ///
    /// With axum, the route is known inside of `Router::layer` (the type is [`Label`]):
    ///
    /// ```
    /// use axum::extract::MatchedPath;
    /// use http::request::Parts;
    /// use tower_sse::{Label, SseLayer};
    ///
    /// fn route(parts: &Parts) -> Label {
    ///     parts.extensions.get().map_or("other".into(), |path: &MatchedPath| path.as_str().to_owned().into())
    /// }
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().label(route);
    /// ```
    ///
    /// A label must have few values, and nothing that clients choose: `Stats` count the first 100, and
    /// all further ones as `other`.
    #[must_use]
    pub fn label<F, L>(mut self, label: F) -> Self
    where
        F: Fn(&Parts) -> L + Send + Sync + 'static,
        L: Into<Label>,
    {
        let config = self.config_mut();
        config.label = Some(Opaque(Arc::new(move |parts: &Parts| label(parts).into())));
        config.update_tracking();
        self
    }
}
