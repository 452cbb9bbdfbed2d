use std::{
    fmt,
    sync::{Arc, Mutex},
};

use super::{close_log::Ticket, membership::Membership, open_streams::OpenStreams};
use crate::{lock::lock, signals::is_recorded};

/// The subjects of the stream that answers a request.
///
/// [`SseLayer::streams`](crate::SseLayer::streams) inserts it into the request's extensions. With
/// feature `axum` it is also an extractor. Middleware outside of the layer calls
/// [`Streams::subjects_of`](super::Streams::subjects_of) instead, before it checks the request.
///
/// A close counts from the moment at which the request arrived, or `subjects_of` was called.
/// Clones belong to the same request.
#[derive(Clone)]
pub struct Subjects {
    request: Arc<OfRequest>,
}

struct OfRequest {
    open_streams: Arc<OpenStreams>,
    ticket: Ticket,
    names: Mutex<Names>,
}

#[derive(Default)]
struct Names {
    added: Vec<Arc<str>>,
    is_open: bool,
}

impl Subjects {
    pub(super) fn new(open_streams: Arc<OpenStreams>) -> Self {
        let ticket = open_streams.ticket();
        let request = OfRequest { open_streams, ticket, names: Mutex::default() };
        Self { request: Arc::new(request) }
    }

    /// Adds a subject to the stream that answers this request. Adding it again has no effect.
    ///
    /// It has to be called before the response is returned. Later the stream is already open, so the
    /// call has no effect, and a WARN line is logged (feature `tracing`).
    ///
    /// If the request is answered by anything but an event stream, the subjects are dropped with it.
    pub fn add(&self, subject: impl Into<Arc<str>>) {
        let subject = subject.into();
        let mut names = lock(&self.request.names);
        if names.is_open {
            // A subscriber of `tracing` can use these subjects.
            drop(names);
            warn!(
                subject = &*subject,
                "the stream is already open: a subject that is added now has no effect"
            );
        } else if !names.added.contains(&subject) {
            names.added.push(subject);
        }
    }

    /// Opens the stream, if there are subjects. A stream that is recorded for several clients has
    /// none.
    pub(crate) fn open(&self) -> Option<Membership> {
        if is_recorded() {
            return None;
        }
        let mut names = lock(&self.request.names);
        names.is_open = true;
        if names.added.is_empty() {
            return None;
        }
        let added = names.added.clone();
        drop(names);
        Some(Membership::open(&self.request.open_streams, self.request.ticket, &added))
    }

    pub(super) fn is_of(&self, open_streams: &Arc<OpenStreams>) -> bool {
        Arc::ptr_eq(&self.request.open_streams, open_streams)
    }
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&lock(&self.request.names).added).finish()
    }
}
