use std::time::Duration;

use bytes::Bytes;

use crate::event::{Encoded, Event, IntoEventName, IntoText};

/// What is sent when a stream has been silent for a while, so that proxies and load balancers do
/// not cut it, and a peer that has vanished is noticed.
///
/// By default that is the bare comment line `:` after 15 seconds without a byte, which the
/// [HTML standard suggests][html]; the [layer](crate::SseLayer) does it unclassified. It never writes a
/// comment as a block of its own (`:`, then an empty line): several clients take one for an empty
/// event.
///
/// IdleTimer lasts for the interval at least and a sixteenth of it more at most: deadlines are
/// rounded up to a common grid, so that the heartbeats of thousands of idle streams come in few
/// turns of the runtime.
///
/// ```
/// use std::time::Duration;
/// use tower_sse::{Heartbeat, SseLayer};
///
/// # let layer: SseLayer =
/// SseLayer::new().heartbeat(Heartbeat::every(Duration::from_secs(20)).comment("still here"));
/// # let layer: SseLayer =
/// SseLayer::new().without_heartbeat();
/// ```
///
/// Page code does not see comments. For a watchdog in page code there is
/// [`Heartbeat::event`].
///
/// [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#authoring-notes
#[derive(Clone, Debug, PartialEq, Eq)]
#[doc(alias = "keep_alive")]
#[doc(alias = "KeepAlive")]
#[doc(alias = "ping")]
#[must_use]
pub struct Heartbeat {
    interval: Duration,
    comment: Bytes,
    event: Option<Bytes>,
}

impl Heartbeat {
    /// A heartbeat after `interval` without a byte.
    ///
    /// Choose less than the shortest idle timeout on the way: 60 seconds for nginx and AWS load
    /// balancers, 100 for Cloudflare, 45 for some polyfills of `EventSource`.
    ///
    /// # Panics
    ///
    /// If `interval` is zero.
    #[track_caller]
    pub fn every(interval: Duration) -> Self {
        assert!(!interval.is_zero(), "the interval of heartbeats cannot be zero");
        Self { interval, comment: Bytes::from_static(b":\n"), event: None }
    }

    /// Sends this text as the comment. Every line of it becomes a comment line.
    pub fn comment(mut self, text: impl IntoText) -> Self {
        self.comment = Encoded::from(Event::new().comment(text)).into();
        self
    }

    /// Sends an event with this name and data, and without an id, so that page code can tell a
    /// silent source from a broken connection. The interval is best told in the data, or in page
    /// code that knows it.
    ///
    /// While an event of the source is still open, a comment is sent instead.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tower_sse::{Heartbeat, SseLayer};
    ///
    /// # let layer: SseLayer =
    /// SseLayer::new().heartbeat(Heartbeat::every(Duration::from_secs(10)).event("heartbeat", "10"));
    /// ```
    ///
    /// # Panics
    ///
    /// If a literal name has a line feed, a carriage return or U+0000.
    #[track_caller]
    pub fn event(mut self, name: impl IntoEventName, data: impl IntoText) -> Self {
        self.event = Some(Encoded::from(Event::new().event(name).data(data)).into());
        self
    }

    pub(crate) const fn interval(&self) -> Duration {
        self.interval
    }

    /// Comment lines, which fit wherever a line starts.
    pub(crate) const fn lines(&self) -> &Bytes {
        &self.comment
    }

    /// What is sent between events.
    pub(crate) fn between_events(&self) -> &Bytes {
        self.event.as_ref().unwrap_or(&self.comment)
    }
}

impl Default for Heartbeat {
    /// A bare comment line after 15 seconds.
    fn default() -> Self {
        Self::every(Duration::from_secs(15))
    }
}
