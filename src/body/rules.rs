use std::{
    error::Error,
    mem,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use tokio::time::Instant;

use super::{Drain, Heartbeat, OnClose, Retry, Silence, StreamOptions};
use crate::{
    BoxError,
    connection::{Client, is_cancellation},
    event::Encoded,
};

/// What holds for a stream once the layer and the response have had their say.
#[derive(Clone)]
pub(crate) struct Rules {
    options: StreamOptions,
    is_benign: Option<Arc<IsBenign>>,
    grid: Instant,
}

pub(crate) type IsBenign = dyn Fn(&(dyn Error + 'static)) -> bool + Send + Sync;

impl Rules {
    pub(crate) fn new() -> Self {
        Self {
            options: StreamOptions::new().heartbeat(Heartbeat::default()),
            is_benign: None,
            grid: Instant::now(),
        }
    }

    /// The same rules, but `options` go before what they say.
    pub(crate) fn with(&self, options: StreamOptions) -> Self {
        Self { options: options.or(&self.options), ..self.clone() }
    }

    /// The same rules, but errors that `is_benign` says only say that somebody left, too.
    pub(crate) fn with_classification(&self, is_benign: Arc<IsBenign>) -> Self {
        let is_benign: Arc<IsBenign> = match self.is_benign.clone() {
            None => is_benign,
            Some(earlier) => Arc::new(move |error| {
                without_panic(|| earlier(error)).unwrap_or(false) || is_benign(error)
            }),
        };
        Self { is_benign: Some(is_benign), ..self.clone() }
    }

    pub(crate) const fn options(&self) -> &StreamOptions {
        &self.options
    }

    pub(super) fn heartbeat(&self) -> Option<&Heartbeat> {
        self.options.heartbeat.as_ref()
    }

    pub(super) fn silence(&self) -> Option<Silence> {
        let interval = self.heartbeat()?.interval()?;
        Some(Silence::new(interval, self.grid))
    }

    /// The lines that the stream starts with, empty for none.
    pub(super) fn preamble(&self) -> Bytes {
        let padding = self.options.padding.clone().unwrap_or_default();
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

    /// Does `error` only say that somebody left?
    pub(super) fn is_benign(&self, error: &BoxError) -> bool {
        let error: &(dyn Error + 'static) = &**error;
        is_cancellation(error)
            || self
                .is_benign
                .as_ref()
                .is_some_and(|is_benign| without_panic(|| is_benign(error)).unwrap_or(false))
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
            // To drop it could panic again.
            mem::forget(payload);
            None
        }
    }
}
