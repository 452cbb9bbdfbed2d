use std::sync::{Arc, Weak};
use std::{collections::BTreeMap, fmt::Display, future::Future, pin::Pin};

use http::Request;
use tokio_util::sync::CancellationToken;

use super::{Closing, Subjects, limits::SubjectLimits, open_streams::OpenStreams};
use crate::{BoxError, stats::Metrics};

/// The open streams of each subject. Clones share them. The [module](super) has an overview.
#[derive(Clone, Default)]
pub struct Streams {
    pub(super) open_streams: Arc<OpenStreams>,
    pub(super) relay: Option<Arc<Relay>>,
}

impl Streams {
    /// Creates an empty set of streams, which only this process can close.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the subjects of a request, for middleware outside of the layer, and inserts them
    /// into the request's extensions. Call it before you authenticate the request, so that a logout
    /// during or after the check closes the stream.
    pub fn subjects_of<B>(&self, request: &mut Request<B>) -> Subjects {
        if let Some(subjects) = request.extensions().get::<Subjects>() {
            if subjects.is_of(&self.open_streams) {
                return subjects.clone();
            }
            warn!("a request has the subjects of another `Streams`, which cannot close its stream");
        }
        let subjects = Subjects::new(Arc::clone(&self.open_streams));
        request.extensions_mut().insert(subjects.clone());
        subjects
    }

    /// Closes the streams of a subject and returns how many of this process's streams it closed.
    ///
    /// If a request arrived before the call, its stream is closed as soon as it opens. Streams of
    /// later requests stay open. Other processes close the streams of all requests that they
    /// received before the close reached them. With [several processes](super#many-processes), the
    /// future waits for the broker's acknowledgement.
    ///
    /// # Errors
    ///
    /// Returns an error if other processes might not receive the close event. The streams of this
    /// process are closed in any case. You can call `close` again.
    ///
    /// # Cancel safety
    ///
    /// If you drop the future before its first poll, nothing is closed. If you drop it later, the
    /// streams of other processes may or may not be closed. In axum, call `close` on a [spawned
    /// task](super#log-out).
    pub async fn close(&self, subject: impl AsRef<str>) -> Result<usize, CloseError> {
        self.close_by(Closing { subject: subject.as_ref(), kept: None }).await
    }

    /// Closes the streams of a subject, except those that also have the subject `kept`, such as
    /// `session:abc`.
    ///
    /// # Errors
    ///
    /// The same as for [`close`](Self::close).
    ///
    /// # Cancel safety
    ///
    /// The same as for [`close`](Self::close).
    pub async fn close_except(
        &self,
        subject: impl AsRef<str>,
        kept: impl AsRef<str>,
    ) -> Result<usize, CloseError> {
        self.close_by(Closing { subject: subject.as_ref(), kept: Some(kept.as_ref()) }).await
    }

    /// Adds a subject, such as `tab:abc`, to the stream that answers a request, and closes the
    /// older streams of this subject in all processes. Returns how many streams of this process it
    /// closed.
    ///
    /// When a page is loaded again, a proxy may keep its previous stream open. If you call this
    /// before you add the [limited](super#limits-for-each-subject) subjects, that stream doesn't
    /// count:
    ///
    /// ```
    /// use tower_sse::streams::{CloseError, Streams, Subjects};
    ///
    /// # async fn admit(streams: &Streams, subjects: &Subjects, user: u64, tab: &str)
    /// # -> Result<(), CloseError> {
    /// // Inside of the layer, so that this applies to streams only:
    /// streams.replace(subjects, format!("tab:{user}:{tab}")).await?;
    /// subjects.add(format!("user:{user}"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The stream also gets a random subject, which begins with `newest:`. If two requests arrive
    /// at the same time, or at two processes before the first one's close has reached the other,
    /// both streams may close, and their clients come back.
    ///
    /// # Errors
    ///
    /// The same as for [`close`](Self::close). The subject is added in any case.
    ///
    /// # Cancel safety
    ///
    /// The same as for [`close`](Self::close).
    pub async fn replace(
        &self,
        subjects: &Subjects,
        subject: impl Into<Arc<str>>,
    ) -> Result<usize, CloseError> {
        let (subject, newest) = (subject.into(), format!("newest:{:x}", fastrand::u64(..)));
        subjects.add(newest.as_str());
        subjects.add(Arc::clone(&subject));
        self.close_except(subject, newest).await
    }

    /// Closes all streams of this process that have a subject and returns how many it has closed.
    ///
    /// Their clients usually receive the reconnection time from
    /// [`Drain::retry`](crate::Drain::retry), which is random by default. A request that came
    /// before this call may not have opened its stream yet. That stream is closed as soon as it
    /// opens, and its client doesn't receive this reconnection time.
    // Few callers need the count.
    #[allow(clippy::must_use_candidate)]
    pub fn close_all(&self) -> usize {
        self.open_streams.close_all()
    }

    /// Returns how many streams of a subject are open in this process.
    ///
    /// A stream counts from its response head, or from the time when the subject is added later,
    /// until the stream ends or is closed. For limits, use
    /// [`StreamsBuilder::limit`](super::StreamsBuilder::limit): two requests that read this number
    /// at the same time could both find the last place free.
    #[must_use]
    pub fn count(&self, subject: &str) -> usize {
        self.open_streams.count(subject)
    }

    /// Returns each subject that has open streams in this process, and how many it has, in no
    /// particular order.
    #[must_use]
    pub fn subjects(&self) -> Vec<(Arc<str>, usize)> {
        self.open_streams.subjects()
    }

    /// Returns how many streams were refused in this process because a subject had reached its
    /// [limit](super::StreamsBuilder::limit).
    #[must_use]
    pub fn stats(&self) -> StreamsStats {
        let mut refused_by_prefix: Vec<_> = self.open_streams.limits.refused().collect();
        refused_by_prefix.sort();
        StreamsStats { refused_by_prefix }
    }

    async fn close_by(&self, closing: Closing<&str>) -> Result<usize, CloseError> {
        let count = self.open_streams.close(closing);
        if let Some(relay) = &self.relay {
            relay(closing).await?;
        }
        Ok(count)
    }
}

opaque_debug!(Streams);

impl Streams {
    /// Returns a builder, which can set [limits](super#limits-for-each-subject).
    pub fn builder() -> StreamsBuilder {
        StreamsBuilder::default()
    }
}

/// A builder for [`Streams`] with [limits](super#limits-for-each-subject).
#[derive(Clone, Debug, Default)]
#[must_use = "call `build` or `follow`"]
pub struct StreamsBuilder {
    limits: BTreeMap<Arc<str>, usize>,
}

impl StreamsBuilder {
    /// Limits each subject that begins with `prefix` to `limit` open streams. By default, there is
    /// no limit.
    ///
    /// If several prefixes match a subject, the longest one applies. For the other rules, see [the
    /// module's page](super#limits-for-each-subject).
    ///
    /// # Panics
    ///
    /// Panics if `limit` is zero.
    #[track_caller]
    pub fn limit(mut self, prefix: impl Into<Arc<str>>, limit: usize) -> Self {
        assert!(limit > 0, "the limit of open streams cannot be zero");
        self.limits.insert(prefix.into(), limit);
        self
    }

    /// Creates an empty set of streams, which only this process can close.
    #[must_use]
    pub fn build(self) -> Streams {
        let open_streams = Arc::new(OpenStreams::new(SubjectLimits::new(self.limits), None));
        Streams { open_streams, relay: None }
    }
}

/// The number of streams that were refused because a subject had reached its limit, from
/// [`Streams::stats`](super::Streams::stats).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamsStats {
    /// The number of refused streams for each prefix that has a
    /// [limit](super::StreamsBuilder::limit), including prefixes without refusals:
    /// `sse_streams_limited_total` with the label `prefix`. An open stream
    /// that ends because a [late subject](super::Subjects::add) has no place counts too.
    pub refused_by_prefix: Vec<(Arc<str>, u64)>,
}

impl StreamsStats {
    /// Returns the counters as metrics in Prometheus' text format.
    #[must_use]
    pub fn prometheus(&self) -> impl Display + use<> {
        let refused = self.refused_by_prefix.iter().map(|(prefix, refused)| (&**prefix, *refused));
        let help = "Streams that were refused at the limit of a subject.";
        Metrics::default().labelled("counter", "sse_streams_limited_total", help, "prefix", refused)
    }
}

/// The reason why other processes might not receive the close event of a
/// [`Streams::close`](super::Streams::close) call. Its text includes the cause, which says whether
/// the event may still arrive; [`source`](std::error::Error::source) returns `None`.
#[derive(Debug)]
pub struct CloseError(pub(crate) BoxError);

error_text!(CloseError, |it| "other processes may not have received the close: {}", it.0);

/// The streams of this process, for the task that follows the close events of other processes.
pub(crate) struct Followed {
    open_streams: Weak<OpenStreams>,
    ended: CancellationToken,
}

impl Followed {
    pub(crate) fn relayed_by(relay: Arc<Relay>, builder: StreamsBuilder) -> (Streams, Self) {
        let ended = CancellationToken::new();
        let follower = ended.clone().drop_guard();
        let limits = SubjectLimits::new(builder.limits);
        let open_streams = Arc::new(OpenStreams::new(limits, Some(follower)));
        let followed = Self { open_streams: Arc::downgrade(&open_streams), ended };
        (Streams { open_streams, relay: Some(relay) }, followed)
    }

    pub(crate) async fn while_they_exist(&self, future: impl Future<Output = ()>) {
        _ = self.ended.run_until_cancelled(future).await;
    }

    /// Closes the streams of `closing`, or all streams that have a subject if `closing` is `None`.
    pub(crate) fn close(&self, closing: Option<Closing<&str>>) {
        if let Some(open_streams) = self.open_streams.upgrade() {
            match closing {
                Some(closing) => open_streams.close(closing),
                None => open_streams.close_all(),
            };
        }
    }
}

pub(crate) type Relay = dyn Fn(Closing<&str>) -> Publishing + Send + Sync;

pub(crate) type Publishing = Pin<Box<dyn Future<Output = Result<(), CloseError>> + Send>>;
