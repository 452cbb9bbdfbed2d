use std::time::Duration;

use bytes::Bytes;

use super::{Retry, max_age::GRACE};
use crate::connection::Client;

/// What happens to the streams that are open when the [shutdown](crate::SseLayer::shutdown) begins. New
/// ones are [refused](crate::Refusal) from then on.
///
/// | | streams end |
/// |---|---|
/// | [`per_client`](Self::per_client), the default | at once; but the answer to any method other than `GET` may go on to its own end for 30 seconds |
/// | [`at_once`](Self::at_once) | at once |
/// | [`spread_over`](Self::spread_over) | each at its own time within a window |
/// | [`after`](Self::after) | at their own end, and those that are still open after a time, then |
/// | [`never`](Self::never) | at their own end |
///
/// Streams end between events, in the way after which the [client](crate::operating#who-is-asking) comes
/// back: cleanly for an `EventSource` and for every other `GET`; for `fetch` in a browser, which takes a
/// clean end for the last, and for other methods, which would take half of an answer for the whole, the
/// body fails. Before the end the client is told when to come back, by a `retry` line, and what
/// [`farewell`](crate::SseLayer::farewell) says.
///
/// If the source is amid an event that nobody ends, the body fails after 5 seconds, with `at_once` after
/// half a second, and nothing but a `retry` line is written. A stream with a content coding fails without
/// a word. A body that fails takes up to a second more, until the server has taken its last bytes.
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

/// How long a source that is amid an event may take to end it, when the stream has to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_AT_ONCE: Duration = Duration::from_millis(500);

impl Drain {
    const fn new(when: When) -> Self {
        Self { when, retry: Some(Retry::later()) }
    }

    /// Streams end at once, but what is the answer to a call, a request by any method other than `GET`,
    /// may go on to its own end for 30 seconds.
    pub const fn per_client() -> Self {
        Self::new(When::PerClient)
    }

    /// Streams end at once.
    pub const fn at_once() -> Self {
        Self::new(When::AtOnce)
    }

    /// Streams end one after another, each at a time drawn from the `window`: the clients do not come
    /// back in one wave.
    pub const fn spread_over(window: Duration) -> Self {
        Self::new(When::SpreadOver(window))
    }

    /// Streams may go on to their own end for as long as `grace`.
    pub const fn after(grace: Duration) -> Self {
        Self::new(When::After(grace))
    }

    /// Streams go on to their own end, however long that takes. A graceful shutdown of the server waits
    /// for them.
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

    /// How long one stream goes on, `None` for ever.
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

    /// How long a source that is amid an event may take to end it.
    pub(crate) const fn patience(&self) -> Duration {
        match self.when {
            When::AtOnce => PATIENCE_AT_ONCE,
            _ => PATIENCE,
        }
    }

    /// The line that tells one client when to come back, empty for none.
    pub(crate) fn retry_line(&self) -> Bytes {
        self.retry.as_ref().map(Retry::line).unwrap_or_default()
    }
}

impl Default for Drain {
    /// [`Drain::per_client`].
    fn default() -> Self {
        Self::per_client()
    }
}
