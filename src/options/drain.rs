use std::time::Duration;

use bytes::Bytes;

use super::{Retry, max_age::GRACE};
use crate::connection::Client;

/// The way in which open streams end when the [shutdown](crate::SseLayer::shutdown) begins. New streams
/// are [refused](crate::Refusal) from then on.
///
/// | | streams end |
/// |---|---|
/// | [`per_client`](Self::per_client), the default | at once, except that the answer to any method but `GET` may continue to its own end for 30 seconds |
/// | [`at_once`](Self::at_once) | at once |
/// | [`spread_over`](Self::spread_over) | each at a time of its own within a window |
/// | [`after`](Self::after) | at their own end, but after a grace at the latest |
/// | [`never`](Self::never) | at their own end |
///
/// Streams end between events, in whichever way makes the [client](crate::operating#who-is-asking)
/// reconnect:
///
/// - The body fails for `fetch` in a browser, which does not reconnect after a clean end, and for any
///   method but `GET`, whose client would take half of an answer for the whole.
/// - Every other `GET`, that of an `EventSource` included, ends cleanly.
///
/// Before the end the client is sent a `retry` line and the
/// [`farewell`](crate::SseLayer::farewell).
///
/// If the source stays mid-event the body fails after 5 seconds, with `at_once` after half a second, and
/// only a `retry` line is sent. A stream with a content coding fails without any last bytes. A failing
/// body takes up to a second more, until the server has taken its last bytes.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Drain, Retry, SseLayer};
///
/// let second = Duration::from_secs(1);
/// # let layer: SseLayer =
/// SseLayer::new().drain(Drain::spread_over(20 * second).retry(Retry::between(second, 3 * second)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Drain {
    when: When,
    retry: Option<Retry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum When {
    PerClient,
    AtOnce,
    SpreadOver(Duration),
    After(Duration),
    Never,
}

/// How long a source that is mid-event may take to end the event once its stream has to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_AT_ONCE: Duration = Duration::from_millis(500);

impl Drain {
    const fn new(when: When) -> Self {
        Self { when, retry: Some(Retry::later()) }
    }

    /// Ends streams at once, except that the answer to a call, a request by any method but `GET`, may
    /// continue to its own end for 30 seconds.
    pub const fn per_client() -> Self {
        Self::new(When::PerClient)
    }

    /// Ends streams at once.
    pub const fn at_once() -> Self {
        Self::new(When::AtOnce)
    }

    /// Ends streams one after another, each at a time drawn from the `window`, so that the clients do
    /// not return in one wave.
    pub const fn spread_over(window: Duration) -> Self {
        Self::new(When::SpreadOver(window))
    }

    /// Lets streams continue to their own end for at most `grace`.
    pub const fn after(grace: Duration) -> Self {
        Self::new(When::After(grace))
    }

    /// Lets streams continue to their own end, however long that takes. A graceful shutdown of the
    /// server waits for them.
    pub const fn never() -> Self {
        Self::new(When::Never)
    }

    /// Sets the reconnection time that clients are sent: by default 2 to 10 seconds, drawn for each
    /// client. [`without_retry`](Self::without_retry) undoes it.
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = Some(retry);
        self
    }

    /// Sends clients no reconnection time.
    pub fn without_retry(mut self) -> Self {
        self.retry = None;
        self
    }

    /// Draws how long one stream may continue, `None` without end.
    pub(crate) fn draw_delay(&self, client: Client) -> Option<Duration> {
        match self.when {
            When::PerClient if client.is_call() => Some(GRACE),
            When::PerClient | When::AtOnce => Some(Duration::ZERO),
            When::SpreadOver(window) => {
                let delay = window.as_secs_f64() * fastrand::f64();
                Some(Duration::try_from_secs_f64(delay).unwrap_or(window))
            }
            When::After(grace) => Some(grace),
            When::Never => None,
        }
    }

    /// Returns how long a source that is mid-event may take to end the event.
    pub(crate) const fn patience(&self) -> Duration {
        match self.when {
            When::AtOnce => PATIENCE_AT_ONCE,
            _ => PATIENCE,
        }
    }

    /// Draws the `retry` line for one client, empty for none.
    pub(crate) fn retry_line(&self) -> Bytes {
        self.retry.as_ref().map(Retry::line).unwrap_or_default()
    }
}

impl Default for Drain {
    /// Returns [`Drain::per_client`].
    fn default() -> Self {
        Self::per_client()
    }
}
