use std::{error::Error, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Drain, Heartbeat, Retry, StreamOptions,
    callbacks::{CancellationIf, OnClose},
};
use crate::{
    BoxError,
    callback::catch_panic,
    connection::{Client, is_cancelled_task},
    event::Encoded,
};

/// What holds for a stream once the layer and the response have had their say.
#[derive(Clone)]
pub(crate) struct ResolvedOptions {
    options: StreamOptions,
    cancellation_if: Option<Arc<CancellationIf>>,
    grid: Instant,
}

/// How long a stream may be idle before a heartbeat is due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IdleInterval {
    pub(crate) length: Duration,
    /// Deadlines are rounded up to a grid that begins here.
    pub(crate) grid: Instant,
}

impl ResolvedOptions {
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
                catch_panic(|| earlier(error)).unwrap_or(false) || predicate(error)
            }),
        };
        Self { cancellation_if: Some(predicate), ..self.clone() }
    }

    pub(crate) const fn options(&self) -> &StreamOptions {
        &self.options
    }

    pub(crate) fn heartbeat(&self) -> Option<&Heartbeat> {
        self.options.heartbeat.as_ref()
    }

    /// How long the stream may be silent before a heartbeat is due.
    pub(crate) fn heartbeat_interval(&self) -> Option<IdleInterval> {
        let length = self.heartbeat()?.interval()?;
        Some(IdleInterval { length, grid: self.grid })
    }

    /// Returns whether streams start with a `retry` line.
    pub(crate) fn has_retry(&self) -> bool {
        self.options.retry.as_ref().is_some_and(Retry::is_some)
    }

    /// The comment line that streams start with, empty for none.
    pub(crate) fn padding(&self) -> Bytes {
        self.options.padding.clone().unwrap_or_default()
    }

    /// The lines that the stream starts with, empty for none.
    pub(crate) fn preamble(&self) -> Bytes {
        let padding = self.padding();
        let retry = self.options.retry.as_ref().map(Retry::line).unwrap_or_default();
        match (retry.is_empty(), padding.is_empty()) {
            (true, _) => padding,
            (_, true) => retry,
            (false, false) => [retry, padding].concat().into(),
        }
    }

    pub(crate) fn terminator(&self) -> Option<&Bytes> {
        self.options.terminator.as_ref()?.as_ref()
    }

    /// Was anything said of a greatest age, be it that there is none?
    pub(crate) const fn mentions_max_age(&self) -> bool {
        self.options.max_age.is_some()
    }

    /// The greatest age of one stream.
    pub(crate) fn draw_max_age(&self, client: Client) -> Option<Duration> {
        self.options.max_age.as_ref()?.draw(client)
    }

    pub(crate) fn drain(&self) -> Drain {
        self.options.drain.clone().unwrap_or_default()
    }

    /// What a client is told at the shutdown: when to come back, and the farewell.
    pub(crate) fn goodbye(&self) -> Bytes {
        let retry = self.reconnection_time();
        match self.options.farewell.as_ref().and_then(Option::as_ref) {
            Some(farewell) if retry.is_empty() => farewell.clone(),
            Some(farewell) => [retry, farewell.clone()].concat().into(),
            None => retry,
        }
    }

    /// When a client is to come back after the shutdown, as a line; empty for nothing.
    pub(crate) fn reconnection_time(&self) -> Bytes {
        let drain = self.options.drain.as_ref();
        drain.map_or_else(|| Drain::default().retry_line(), Drain::retry_line)
    }

    pub(crate) fn on_close(&self) -> Option<Arc<OnClose>> {
        self.options.on_close.callback.clone()
    }

    /// Returns whether `error` says that the program itself cancelled the source.
    pub(crate) fn is_cancellation(&self, error: &BoxError) -> bool {
        let error: &(dyn Error + 'static) = &**error;
        let named = |predicate: &Arc<CancellationIf>| catch_panic(|| predicate(error));
        is_cancelled_task(error)
            || self.cancellation_if.as_ref().and_then(named).unwrap_or_default()
    }

    /// What is sent in place of `error`; nothing if nobody said, or the one who said panicked.
    pub(crate) fn event_for(&self, error: &BoxError) -> Option<Bytes> {
        let to_event = self.options.on_error.as_ref()?.as_ref()?;
        let event = catch_panic(|| to_event(&**error))?;
        Some(Encoded::from(event).into())
    }
}
