use std::sync::Arc;

use http::Request;

use super::{
    CloseError, Closing, StreamsStats, Subjects, open_streams::OpenStreams, outgoing::Relay,
};

/// The open streams of each subject. Clones are cheap and share the streams.
///
/// See the [module](super) for an overview.
#[derive(Clone, Default)]
pub struct Streams {
    pub(super) open_streams: Arc<OpenStreams>,
    /// The way to other processes.
    pub(super) relay: Option<Arc<Relay>>,
}

impl Streams {
    /// Creates a set of streams in this process.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the subjects of a request, for middleware outside of the layer. Handlers and
    /// middleware inside of it find them in the request's extensions.
    ///
    /// Call it before the request is checked, because only later closes count. The layer uses the
    /// same subjects.
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

    /// Closes the streams of a subject, and returns how many streams of this process it has closed.
    ///
    /// Streams whose requests arrived before the call are closed too, when they open. Streams of
    /// later requests are not.
    ///
    /// With several processes, the streams of this one are closed first. The future is ready when the
    /// broker has acknowledged the close.
    ///
    /// # Errors
    ///
    /// Returns an error if other processes may not have received the close. The streams of this
    /// process are closed in any case. Closing again is safe: it closes the streams of the subject
    /// that are open by then.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped before its first poll, nothing is closed. If it is dropped later,
    /// the streams of this process are closed, and those of other processes may be. axum drops the
    /// handler when its client disconnects, so [log out on a task](super#log-out).
    pub async fn close(&self, subject: impl AsRef<str>) -> Result<usize, CloseError> {
        self.close_by(Closing { subject: subject.as_ref(), kept: None }).await
    }

    /// Closes the streams of a subject that do not also have the subject `kept`, and returns how many
    /// streams of this process it has closed. [`close`](Self::close) describes the rest.
    ///
    /// ```
    /// # use tower_sse::streams::{CloseError, Streams};
    /// # async fn log_out_other_devices(streams: &Streams) -> Result<(), CloseError> {
    /// streams.close_except("user:42", "session:abc").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// As for [`close`](Self::close).
    ///
    /// # Cancel safety
    ///
    /// As for [`close`](Self::close).
    pub async fn close_except(
        &self,
        subject: impl AsRef<str>,
        kept: impl AsRef<str>,
    ) -> Result<usize, CloseError> {
        self.close_by(Closing { subject: subject.as_ref(), kept: Some(kept.as_ref()) }).await
    }

    /// Closes all streams of this process that have a subject, and returns how many there were.
    ///
    /// Their clients receive the random reconnection time of the
    /// [drain](crate::SseLayer::drain), so that they do not all return at the same time. Streams whose
    /// requests arrived before the call are closed too, when they open, but without that time.
    ///
    /// Use it when closes of other processes may be missing for longer than the program accepts.
    // Few callers need the count.
    #[allow(clippy::must_use_candidate)]
    pub fn close_all(&self) -> usize {
        self.open_streams.close_all()
    }

    /// Returns how many streams of a subject are open in this process.
    ///
    /// A stream counts from its response head until it ends or is closed, even if its client has
    /// not read the end.
    #[must_use]
    pub fn count(&self, subject: &str) -> usize {
        self.open_streams.count(subject)
    }

    /// Returns the subjects that have open streams in this process, and how many, in no particular
    /// order. They are counted one after another while streams open and close.
    #[must_use]
    pub fn subjects(&self) -> Vec<(Arc<str>, usize)> {
        self.open_streams.subjects()
    }

    /// Returns how many streams were refused at the [limits](super::StreamsBuilder::limit) of their subjects.
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
