use std::time::Duration;

use bytes::Bytes;

use crate::connection::Client;
use crate::event::{Encoded, Event, IntoEventName, whole_milliseconds};

/// The heartbeat of an idle stream. It keeps proxies and load balancers from closing an idle
/// connection, and lets the server notice a peer that has vanished.
///
/// By default, it's the comment line `:` after 15 seconds without a byte. It's late by at most a
/// sixteenth of the interval, because its time is rounded up.
///
/// - A comment fits between two lines of an event. A heartbeat that is an [event](Self::event)
///   doesn't, so mid-event the comment is sent instead. Mid-line, heartbeats are skipped.
/// - A stream with a content coding has no heartbeats.
/// - The layer doesn't send an empty line after the comment. After an empty line, several clients
///   would return an empty event.
/// - A heartbeat within an event has the line ending of the event's previous line. All other lines
///   that the layer or a [filter](crate::filter) inserts end in LF.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Heartbeat, SseLayer};
/// let heartbeat = Heartbeat::every(Duration::from_secs(20)).comment("still here");
/// let layer: SseLayer = SseLayer::new().heartbeat(heartbeat);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "keep_alive")]
#[doc(alias = "KeepAlive")]
#[doc(alias = "ping")]
#[must_use]
pub struct Heartbeat {
    pub(crate) interval: Duration,
    /// Comment lines, which can be written wherever a line starts.
    pub(crate) comment: Bytes,
    pub(crate) event: Option<Bytes>,
}

impl Heartbeat {
    /// Creates a heartbeat that is sent after each `interval` without a byte.
    ///
    /// Choose an interval at least a tenth shorter than every [idle
    /// timeout](crate::guide::proxies#idle-timeouts) between client and server, because heartbeats
    /// can be a sixteenth late. Some `EventSource` polyfills reconnect after 45 idle seconds.
    ///
    /// # Panics
    ///
    /// Panics if `interval` is zero.
    #[track_caller]
    pub fn every(interval: Duration) -> Self {
        assert!(!interval.is_zero(), "the interval of heartbeats cannot be zero");
        Self { interval, comment: Bytes::from_static(b":\n"), event: None }
    }

    /// Sets the text of the comment. Every line of the text becomes a comment line.
    pub fn comment(mut self, text: impl Into<String>) -> Self {
        self.comment = Encoded::from(Event::new().comment(text)).into();
        self
    }

    /// Sends an event instead of the comment, so a [watchdog](crate::guide::clients#a-watchdog) in
    /// the page can tell an idle source from a broken connection. The event has no id. Mid-event,
    /// the comment is still sent.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Heartbeat, SseLayer};
    /// let heartbeat = Heartbeat::every(Duration::from_secs(10)).event("heartbeat", "10");
    /// let layer: SseLayer = SseLayer::new().heartbeat(heartbeat);
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `name` is a string literal that contains a line feed, a carriage return or U+0000.
    #[track_caller]
    pub fn event(mut self, name: impl IntoEventName, data: impl Into<String>) -> Self {
        self.event = Some(Encoded::from(Event::new().event(name).data(data)).into());
        self
    }

    pub(crate) fn between_events(&self) -> &Bytes {
        self.event.as_ref().unwrap_or(&self.comment)
    }
}

impl From<Duration> for Heartbeat {
    /// Calls [`Heartbeat::every`].
    fn from(interval: Duration) -> Self {
        Self::every(interval)
    }
}

impl Default for Heartbeat {
    /// Returns the comment line `:` after 15 seconds without a byte.
    fn default() -> Self {
        Self::every(Duration::from_secs(15))
    }
}

/// The time that clients wait before they reconnect.
///
/// - [`SseLayer::retry`](crate::SseLayer::retry) sends it at the start of a stream.
/// - [`Drain::retry`](crate::Drain::retry) sends it when the server shuts down.
/// - [`Refusal::retry`](crate::Refusal::retry) sends it to a refused client, in some cases as
///   `Retry-After`.
///
/// The time is sent as a `retry` line ([HTML][html]). An `EventSource` uses the last one that it
/// has received.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Retry, SseLayer};
/// let retry = Retry::between(Duration::from_secs(1), Duration::from_secs(5));
/// let layer: SseLayer = SseLayer::new().retry(retry);
/// ```
///
/// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#event-stream-interpretation
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[doc(alias = "reconnect")]
#[must_use]
pub struct Retry {
    /// The bounds, both inclusive.
    pub(crate) milliseconds: (u64, u64),
}

/// The maximum reconnection time, in milliseconds. JavaScript's `setTimeout` fires at once if the
/// delay is longer.
const MAX: u64 = i32::MAX as u64;

impl Retry {
    /// Creates a fixed reconnection time for all clients, in whole milliseconds. A time above 2³¹−1
    /// milliseconds (24.8 days) is reduced to this maximum.
    pub fn fixed(reconnection_time: Duration) -> Self {
        Self::between(reconnection_time, reconnection_time)
    }

    /// Creates a random reconnection time from `min` to `max` inclusive, in whole milliseconds.
    /// Each connection gets its own. A bound above 2³¹−1 milliseconds (24.8 days) is reduced to
    /// this maximum.
    ///
    /// # Panics
    ///
    /// Panics if `min` is greater than `max`.
    #[track_caller]
    pub fn between(min: Duration, max: Duration) -> Self {
        assert!(min <= max, "the minimum reconnection time is greater than the maximum");
        let milliseconds = |time| whole_milliseconds(time).min(MAX);
        Self { milliseconds: (milliseconds(min), milliseconds(max)) }
    }

    pub(crate) const SOON: Self = Self { milliseconds: (1_000, 5_000) };
    pub(crate) const LATER: Self = Self { milliseconds: (2_000, 10_000) };
    pub(crate) const MUCH_LATER: Self = Self { milliseconds: (30_000, 60_000) };

    pub(crate) fn draw(self) -> Duration {
        let (min, max) = self.milliseconds;
        Duration::from_millis(fastrand::u64(min..=max))
    }

    pub(crate) fn line(self) -> Bytes {
        // An `Event` would take more allocations, and a shutdown makes one line for each stream.
        let mut digits = itoa::Buffer::new();
        let time = digits.format(self.draw().as_millis() as u64);
        [b"retry: ", time.as_bytes(), b"\n"].concat().into()
    }
}

impl From<Duration> for Retry {
    /// Calls [`Retry::fixed`].
    fn from(reconnection_time: Duration) -> Self {
        Self::fixed(reconnection_time)
    }
}

/// Returns whether one of these lines, which this crate has encoded, is a `retry` line.
pub(crate) fn has_retry_line(lines: &[u8]) -> bool {
    lines.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"retry:"))
}

/// The maximum age of a stream.
///
/// A stream that has reached this age ends between two events, and its client has to reconnect.
/// Whether the body ends cleanly or fails [depends on the
/// client](crate::guide::clients#how-clients-reconnect). The answer to a call (anything but a
/// `GET`) may continue for a [grace period](Self::grace), by default 30 seconds.
///
/// If the source doesn't finish the event it has begun, the body fails after 5 seconds. A body with
/// a content coding always fails. If the [client doesn't
/// read](crate::guide::proxies#http2-clients-that-grant-no-window), its stream can outlive the
/// maximum age.
#[derive(Clone, Debug, PartialEq)]
#[doc(alias = "timeout")]
#[must_use]
pub struct MaxAge {
    age: Duration,
    jitter: f64,
    grace: Duration,
    /// Another maximum age of the same stream: the shorter one counts.
    other: Option<Box<Self>>,
}

pub(crate) const GRACE: Duration = Duration::from_secs(30);

impl MaxAge {
    /// Creates a maximum age, counted from the first poll of the body.
    ///
    /// If `age` is zero, for example because a token has expired, the stream ends before its source
    /// is polled. This also holds for the answer to a call.
    pub const fn new(age: Duration) -> Self {
        Self { age, jitter: 0.0, grace: GRACE, other: None }
    }

    /// Varies the age of each stream at random by up to `fraction`, so clients don't all reconnect
    /// at the same time. With 0.1, streams end at 90 to 110 percent of the age. The default is
    /// zero.
    ///
    /// # Panics
    ///
    /// Panics if `fraction` is not between 0 and 1.
    #[track_caller]
    pub const fn jitter(mut self, fraction: f64) -> Self {
        assert!(fraction >= 0.0 && fraction <= 1.0, "a fraction is between 0 and 1");
        self.jitter = fraction;
        self
    }

    /// Sets how long the answer to a call (anything but a `GET`) may continue beyond the maximum
    /// age. The default is 30 seconds. Set it to zero if no call may outlive the maximum age.
    pub const fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// Returns the maximum age of a stream that has both: the one that ends it first, with its own
    /// grace.
    pub(super) fn and(mut self, other: Self) -> Self {
        self.other = Some(Box::new(match self.other.take() {
            Some(earlier) => earlier.and(other),
            None => other,
        }));
        self
    }

    pub(crate) fn draw(&self, client: Client) -> Duration {
        let age = self.draw_own(client);
        self.other.as_ref().map_or(age, |other| age.min(other.draw(client)))
    }

    fn draw_own(&self, client: Client) -> Duration {
        if self.age.is_zero() {
            return self.age;
        }
        let factor = 1.0 + self.jitter * (2.0 * fastrand::f64() - 1.0);
        let age = Duration::try_from_secs_f64(self.age.as_secs_f64() * factor).unwrap_or(self.age);
        if client.is_call() { age.saturating_add(self.grace) } else { age }
    }
}

impl From<Duration> for MaxAge {
    /// Calls [`MaxAge::new`].
    fn from(age: Duration) -> Self {
        Self::new(age)
    }
}

/// When and how open streams end after the [shutdown](crate::SseLayer::shutdown) has begun. The
/// default is [`per_client`](Self::per_client).
///
/// If an event has begun, the layer sends the rest of it. Later events are dropped, even if they
/// are ready, because the client resumes after the last event that it received. The stream's last
/// bytes are a `retry` line and, if set, the [`farewell`](crate::SseLayer::farewell). Whether the
/// body then ends cleanly or fails [depends on the
/// client](crate::guide::clients#how-clients-reconnect).
///
/// If the source doesn't finish the event it has begun, the body fails after 5 seconds. With
/// `at_once`, it fails after half a second. The layer then adds only the `retry` line, or nothing
/// if the source stopped mid-line. If the stream has a content coding, it fails, and the layer adds
/// nothing. Before the body fails, the layer [waits](crate::guide::errors#timing) up to about a
/// second for the server to send what the layer has written.
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use]
pub struct Drain {
    pub(crate) when: When,
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
        Self { when, grace: GRACE, retry: Some(Retry::LATER) }
    }

    /// Ends streams at once, but lets the answers to calls (anything but a `GET`) continue for the
    /// [grace period](Self::grace).
    pub const fn per_client() -> Self {
        Self::new(When::PerClient)
    }

    /// Sets how long [`per_client`](Self::per_client) lets the answer to a call continue. The
    /// default is 30 seconds. Other drains ignore it.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Drain, SseLayer};
    /// // For a process that has 30 seconds to stop, as on Kubernetes by default: it takes up to 16.
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
    pub const fn spread_over(window: Duration) -> Self {
        Self::new(When::SpreadOver(window))
    }

    /// Gives each stream up to `grace` to end by itself.
    ///
    /// Set it on [responses](crate::StreamOptions::drain) that end by themselves, such as a
    /// language model's answers. On a layer, it would keep a hub's streams open for the whole of
    /// `grace`.
    pub const fn after(grace: Duration) -> Self {
        Self::new(When::After(grace))
    }

    /// Lets each stream end by itself, however long that takes. A graceful shutdown waits for all
    /// of them.
    pub const fn never() -> Self {
        Self::new(When::Never)
    }

    /// Sets the reconnection time for clients whose streams the shutdown ends. By default, each
    /// client gets a random time from 2 to 10 seconds. It replaces the time from
    /// [`SseLayer::retry`](crate::SseLayer::retry) until the client receives another one.
    pub fn retry(mut self, retry: impl Into<Retry>) -> Self {
        self.retry = Some(retry.into());
        self
    }

    /// Sends no reconnection time when the shutdown ends the stream.
    pub fn without_retry(mut self) -> Self {
        self.retry = None;
        self
    }

    /// Returns whether the client's stream ends as soon as it is between events.
    pub(crate) const fn is_immediate(&self, client: Client) -> bool {
        match self.when {
            When::PerClient => !client.is_call(),
            When::AtOnce => true,
            When::SpreadOver(_) | When::After(_) | When::Never => false,
        }
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

    pub(crate) const fn patience(&self) -> Duration {
        match self.when {
            When::AtOnce => PATIENCE_AT_ONCE,
            _ => PATIENCE,
        }
    }

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

#[cfg(test)]
mod tests {
    use super::{Duration, MaxAge};

    #[test]
    #[should_panic = "a fraction is between 0 and 1"]
    fn fraction_that_is_no_number_is_none() {
        _ = MaxAge::new(Duration::ZERO).jitter(f64::NAN);
    }
}
