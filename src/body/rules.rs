use std::{
    error::Error,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Drain, Heartbeat, OnClose, Retry, StreamOptions, silence::Interval};
use crate::{
    BoxError,
    connection::{Client, is_cancelled_task},
    event::Encoded,
};

/// What holds for a stream once the layer and the response have had their say.
#[derive(Clone)]
pub(crate) struct Rules {
    options: StreamOptions,
    cancellation_if: Option<Arc<CancellationIf>>,
    grid: Instant,
}

/// Decides whether an error of the source is a cancellation.
pub(crate) type CancellationIf = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;

impl Rules {
    pub(crate) fn new() -> Self {
        Self {
            options: StreamOptions::new().heartbeat(Heartbeat::default()),
            cancellation_if: None,
            grid: Instant::now(),
        }
    }

    /// The same rules, but `options` go before what they say.
    pub(crate) fn with(&self, options: StreamOptions) -> Self {
        Self { options: options.or(&self.options), ..self.clone() }
    }

    /// The same rules, but errors for which `predicate` returns true are cancellations too.
    pub(crate) fn with_cancellation_if(&self, predicate: Arc<CancellationIf>) -> Self {
        let predicate: Arc<CancellationIf> = match self.cancellation_if.clone() {
            None => predicate,
            Some(earlier) => Arc::new(move |error| {
                without_panic(|| earlier(error)).unwrap_or(false) || predicate(error)
            }),
        };
        Self { cancellation_if: Some(predicate), ..self.clone() }
    }

    pub(crate) const fn options(&self) -> &StreamOptions {
        &self.options
    }

    pub(super) fn heartbeat(&self) -> Option<&Heartbeat> {
        self.options.heartbeat.as_ref()
    }

    /// How long the stream may be silent before a heartbeat is due.
    pub(super) fn heartbeat_interval(&self) -> Option<Interval> {
        let length = self.heartbeat()?.interval()?;
        Some(Interval { length, grid: self.grid })
    }

    /// Returns whether streams start with a `retry` line.
    pub(super) fn has_retry(&self) -> bool {
        self.options.retry.as_ref().is_some_and(Retry::is_some)
    }

    /// The comment line that streams start with, empty for none.
    pub(super) fn padding(&self) -> Bytes {
        self.options.padding.clone().unwrap_or_default()
    }

    /// The lines that the stream starts with, empty for none.
    pub(super) fn preamble(&self) -> Bytes {
        let padding = self.padding();
        let retry = self.options.retry.as_ref().map(Retry::line).unwrap_or_default();
        match (retry.is_empty(), padding.is_empty()) {
            (true, _) => padding,
            (_, true) => retry,
            (false, false) => [retry, padding].concat().into(),
        }
    }

    pub(super) fn terminator(&self) -> Option<&Bytes> {
        self.options.terminator.as_ref()?.as_ref()
    }

    /// Was anything said of a greatest age, be it that there is none?
    pub(crate) const fn mentions_max_age(&self) -> bool {
        self.options.max_age.is_some()
    }

    /// The greatest age of one stream.
    pub(super) fn draw_max_age(&self, client: Client) -> Option<Duration> {
        self.options.max_age.as_ref()?.draw(client)
    }

    pub(super) fn drain(&self) -> Drain {
        self.options.drain.clone().unwrap_or_default()
    }

    /// What a client is told at the shutdown: when to come back, and the farewell.
    pub(super) fn goodbye(&self) -> Bytes {
        let retry = self.reconnection_time();
        match self.options.farewell.as_ref().and_then(Option::as_ref) {
            Some(farewell) if retry.is_empty() => farewell.clone(),
            Some(farewell) => [retry, farewell.clone()].concat().into(),
            None => retry,
        }
    }

    /// When a client is to come back after the shutdown, as a line; empty for nothing.
    pub(super) fn reconnection_time(&self) -> Bytes {
        let drain = self.options.drain.as_ref();
        drain.map_or_else(|| Drain::default().retry_line(), Drain::retry_line)
    }

    pub(crate) fn on_close(&self) -> Option<Arc<OnClose>> {
        self.options.on_close.told.clone()
    }

    /// Returns whether `error` says that the program itself cancelled the source.
    pub(super) fn is_cancellation(&self, error: &BoxError) -> bool {
        let error: &(dyn Error + 'static) = &**error;
        let named = |predicate: &Arc<CancellationIf>| without_panic(|| predicate(error));
        is_cancelled_task(error)
            || self.cancellation_if.as_ref().and_then(named).unwrap_or_default()
    }

    /// What is sent in place of `error`; nothing if nobody said, or the one who said panicked.
    pub(super) fn event_for(&self, error: &BoxError) -> Option<Bytes> {
        let to_event = self.options.on_error.as_ref()?.as_ref()?;
        let event = without_panic(|| to_event(&**error))?;
        Some(Encoded::from(event).into())
    }
}

/// What a callback returns, or `None` if it panics.
pub(super) fn without_panic<T>(callback: impl FnOnce() -> T) -> Option<T> {
    match catch_unwind(AssertUnwindSafe(callback)) {
        Ok(value) => Some(value),
        Err(payload) => {
            warn!("a callback of an event stream panicked");
            // Dropping it could panic again.
            mem::forget(payload);
            None
        }
    }
}
