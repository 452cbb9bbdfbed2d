use std::time::Duration;

use super::{GRACE, Retry};
use crate::connection::ClientKind;

/// When and how open streams end after the [shutdown](crate::SseLayer::shutdown) has begun. The
/// default is [`per_client`](Self::per_client). With thousands of streams, choose between
/// [`spread_over`](Self::spread_over) and [`retry`](Self::retry), [by how you
/// deploy](crate::guide::shutdown#reconnection-storms).
///
/// # How a stream ends
///
/// When a stream's time is up, the layer sends the rest of an event that has begun, then a `retry`
/// line and, if set, the [`farewell`](crate::SseLayer::farewell). Later events are dropped, even if
/// they are ready: a client can get them only by resuming after it reconnects. Whether the body
/// ends cleanly or fails [depends on the client](crate::guide::clients#how-clients-reconnect).
///
/// If the source doesn't finish the event it has begun, the body fails after 5 seconds. With
/// `at_once`, it fails after half a second. In both cases, the farewell isn't sent. A body with a
/// content coding fails as soon as its time is up and gets neither farewell nor `retry` line.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Drain {
    pub(crate) when: When,
    pub(crate) grace: Duration,
    pub(crate) retry: Retry,
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
        Self { when, grace: GRACE, retry: Retry::LATER }
    }

    /// Ends streams at once, but lets the answers to calls (anything but a `GET`) continue for the
    /// [grace period](Self::grace).
    pub const fn per_client() -> Self {
        Self::new(When::PerClient)
    }

    /// Sets how long [`per_client`](Self::per_client) lets the answer to a call continue. The
    /// default is 30 seconds. Other drains ignore this period.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Drain, SseLayer};
    /// // An answer gets 10 seconds, and 5 more to finish an event that it has begun. By default,
    /// // Kubernetes kills a process after 30 seconds.
    /// let drain = Drain::per_client().grace(Duration::from_secs(10));
    /// let layer: SseLayer = SseLayer::new().drain(drain);
    /// ```
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Ends streams at once.
    pub const fn at_once() -> Self {
        Self::new(When::AtOnce)
    }

    /// Ends each stream at a random time within `window`, so clients don't all reconnect at once.
    ///
    /// Use this drain only if other processes serve while this one shuts down, as on Kubernetes. If
    /// the process is restarted in place, clients would reconnect in vain until the whole window is
    /// over: set a longer [`retry`](Self::retry) instead.
    ///
    /// Set the server's [deadline](crate::guide::shutdown#the-deadline) 10 seconds above `window`,
    /// for example to 30 seconds for a window of 20. At the deadline, all streams that are still
    /// open are cut together, without the [reconnection time](Self::retry).
    ///
    /// Answers to calls are cut too: set [`after`](Self::after) in their responses.
    pub const fn spread_over(window: Duration) -> Self {
        Self::new(When::SpreadOver(window))
    }

    /// Gives each stream up to `grace` to end by itself.
    ///
    /// Use this drain for [responses](crate::StreamOptions::drain) that end by themselves, such as
    /// a language model's answers. On a layer, it would keep a hub's streams open for all of
    /// `grace`.
    pub const fn after(grace: Duration) -> Self {
        Self::new(When::After(grace))
    }

    /// Lets each stream end by itself. A graceful shutdown waits for all of them.
    pub const fn never() -> Self {
        Self::new(When::Never)
    }

    /// Sets the reconnection time for clients whose streams the shutdown ends. By default, each
    /// client gets a random time from 2 to 10 seconds. This time replaces the time from
    /// [`SseLayer::retry`](crate::SseLayer::retry) until the client's next stream starts.
    pub fn retry(mut self, retry: impl Into<Retry>) -> Self {
        self.retry = retry.into();
        self
    }

    /// Returns whether this kind of drain ends the client's stream as soon as the stream is between
    /// events.
    pub(crate) const fn is_immediate(&self, client: ClientKind) -> bool {
        match self.when {
            When::PerClient => !client.is_call(),
            When::AtOnce => true,
            When::SpreadOver(_) | When::After(_) | When::Never => false,
        }
    }

    /// Draws how long one stream may continue. `None` means that the shutdown does not end it.
    pub(crate) fn draw_delay(&self, client: ClientKind) -> Option<Duration> {
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

    pub(crate) const fn patience(&self) -> Duration {
        match self.when {
            When::AtOnce => PATIENCE_AT_ONCE,
            _ => PATIENCE,
        }
    }
}

impl Default for Drain {
    /// Returns [`Drain::per_client`].
    fn default() -> Self {
        Self::per_client()
    }
}
