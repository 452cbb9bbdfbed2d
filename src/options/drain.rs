use std::time::Duration;

use bytes::Bytes;

use super::{Retry, max_age::GRACE};
use crate::connection::Client;

/// The policy by which open streams end when the [shutdown](crate::SseLayer::shutdown) begins.
///
/// New streams are [refused](crate::Refusal) from then on.
///
/// Streams end
///
/// - with [`per_client`](Self::per_client), the default: at once, but the answer to any method
///   except `GET` may take up to 30 more seconds to end by itself;
/// - with [`at_once`](Self::at_once): at once;
/// - with [`spread_over`](Self::spread_over): each at a random time within a window;
/// - with [`after`](Self::after): when they end by themselves, but at the latest after a grace
///   period;
/// - with [`never`](Self::never): when they end by themselves.
///
/// The layer ends a stream between events where possible, and [in the way that makes its client
/// reconnect](crate::guide::clients#how-clients-reconnect): cleanly, or by a body that fails.
///
/// An event that has begun is completed. Later events are dropped, even if they are ready, because
/// the client resumes after the last event that it received. The last bytes are a `retry` line and
/// the [`farewell`](crate::SseLayer::farewell), if one is set.
///
/// If the source stays mid-event, the body fails after 5 seconds, or after half a second with
/// `at_once`. It then sends only the `retry` line, and nothing if the source is mid-line. A stream
/// with a content coding fails without last bytes. [Before a body
/// fails](crate::guide::errors#timing), it waits up to a second.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Drain, Retry, SseLayer};
///
/// let second = Duration::from_secs(1);
/// # let layer: SseLayer =
/// SseLayer::new().drain(Drain::spread_over(20 * second).retry(Retry::between(second, 3 *
/// second)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Drain {
    pub(crate) when: When,
    /// How much longer a call may take than other requests.
    pub(crate) grace: Duration,
    pub(crate) retry: Option<Retry>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum When {
    PerClient,
    AtOnce,
    SpreadOver(Duration),
    After(Duration),
    Never,
}

/// How long a source that is mid-event may take to complete the event once the stream has to end.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);
pub(crate) const PATIENCE_AT_ONCE: Duration = Duration::from_millis(500);

impl Drain {
    const fn new(when: When) -> Self {
        Self { when, grace: GRACE, retry: Some(Retry::later()) }
    }

    /// Ends streams at once, but gives the answer to a call (a request by any method except `GET`)
    /// up to 30 more seconds to end by itself. [`grace`](Self::grace) sets another time.
    pub const fn per_client() -> Self {
        Self::new(When::PerClient)
    }

    /// Sets how long [`per_client`](Self::per_client) lets the answer to a call continue. The other
    /// drains treat all clients alike, and ignore it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Drain, SseLayer};
    ///
    /// // For a process that has 30 seconds to stop, as on Kubernetes by default.
    /// # let layer: SseLayer =
    /// SseLayer::new().drain(Drain::per_client().grace(Duration::from_secs(15)));
    /// ```
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Ends streams at once.
    pub const fn at_once() -> Self {
        Self::new(When::AtOnce)
    }

    /// Ends each stream at a random time within `window`, so that the clients do not all reconnect
    /// at the same time.
    pub const fn spread_over(window: Duration) -> Self {
        Self::new(When::SpreadOver(window))
    }

    /// Gives each stream up to `grace` to end by itself, then ends it.
    ///
    /// Set it in the responses of streams that end by themselves, such as answers. On a layer, it
    /// would also keep the streams of a hub open for the whole of `grace`.
    ///
    /// ```
    /// use std::time::Duration;
    /// use http::Response;
    /// use tower_sse::{Drain, StreamOptions};
    ///
    /// fn with_time_to_end<B>(mut answer: Response<B>) -> Response<B> {
    ///     let drain = Drain::after(Duration::from_secs(15));
    ///     StreamOptions::new().drain(drain).merge_into(&mut answer);
    ///     answer
    /// }
    /// # with_time_to_end(Response::new(()));
    /// ```
    pub const fn after(grace: Duration) -> Self {
        Self::new(When::After(grace))
    }

    /// Lets each stream end by itself, however long that takes. A graceful shutdown of the server
    /// waits for all of them.
    pub const fn never() -> Self {
        Self::new(When::Never)
    }

    /// Sets the reconnection time that is sent to clients. The default is drawn for each client
    /// from 2 to 10 seconds. [`without_retry`](Self::without_retry) turns it off.
    ///
    /// It replaces the time of [`SseLayer::retry`](crate::SseLayer::retry), which clients use again
    /// after the next stream has begun.
    pub fn retry(mut self, retry: impl Into<Retry>) -> Self {
        self.retry = Some(retry.into());
        self
    }

    /// Sends clients no reconnection time.
    pub fn without_retry(mut self) -> Self {
        self.retry = None;
        self
    }

    /// Draws how long one stream may continue. `None` means that the shutdown does not end it.
    pub(crate) fn draw_delay(&self, client: Client) -> Option<Duration> {
        match self.when {
            When::PerClient if client.is_call() => Some(self.grace),
            When::PerClient | When::AtOnce => Some(Duration::ZERO),
            When::SpreadOver(window) => {
                let delay = window.as_secs_f64() * fastrand::f64();
                Some(Duration::try_from_secs_f64(delay).unwrap_or(window))
            }
            When::After(grace) => Some(grace),
            When::Never => None,
        }
    }

    /// Returns how long a source that is mid-event may take to complete the event.
    pub(crate) const fn patience(&self) -> Duration {
        match self.when {
            When::AtOnce => PATIENCE_AT_ONCE,
            _ => PATIENCE,
        }
    }

    /// Draws the reconnection time for one client and returns its `retry` line, or no bytes if
    /// there is none.
    pub(crate) fn retry_line(&self) -> Bytes {
        self.retry.map(Retry::line).unwrap_or_default()
    }
}

impl Default for Drain {
    /// Returns [`Drain::per_client`].
    fn default() -> Self {
        Self::per_client()
    }
}
