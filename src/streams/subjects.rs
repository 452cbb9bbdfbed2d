use std::sync::{Arc, Mutex, Weak};
use std::{fmt, slice, task::Waker};

use super::member::{Member, Revocation};
use super::open_streams::{OpenStreams, Ticket};
use crate::exchange::EarlyHead;
use crate::lock::lock;

/// The subjects of a request, such as its user, tenant or address. You can close or limit the
/// streams that share a subject.
///
/// Inside of a layer with [`SseLayer::streams`](crate::SseLayer::streams), take the `Subjects` from
/// the request's extensions, or use the extractor (feature `axum`). Outside of the layer, call
/// [`Streams::subjects_of`](super::Streams::subjects_of). Clones belong to the same request.
#[doc(alias = "group")]
#[derive(Clone)]
pub struct Subjects {
    request: Arc<OfRequest>,
}

struct OfRequest {
    open_streams: Arc<OpenStreams>,
    ticket: Ticket,
    names: Mutex<SubjectNames>,
}

#[derive(Default)]
struct SubjectNames {
    added: Vec<Arc<str>>,
    /// The request's open streams. Two layers open two streams for one request if middleware hides
    /// the inner layer's stream from the outer layer.
    members: Vec<Weak<Member>>,
    /// Whether the open stream was ended because a subject had no place.
    is_refused: bool,
    /// The stream's head, if it was sent before the handler answered.
    head: Option<EarlyHead>,
}

impl Subjects {
    pub(super) fn new(open_streams: Arc<OpenStreams>) -> Self {
        let ticket = open_streams.ticket();
        let request = OfRequest { open_streams, ticket, names: Mutex::default() };
        Self { request: Arc::new(request) }
    }

    /// Adds a subject to the stream that answers this request. Adding it again has no effect.
    ///
    /// Returns whether the subject has a place within its [limit](super#limits-for-each-subject).
    /// Before the stream opens, this only tells whether a place is free now:
    ///
    /// ```
    /// use http::{Response, request::Parts};
    /// use tower_sse::{Refusal, layer::SseBody, streams::Subjects};
    ///
    /// fn admit(subjects: &Subjects, user: u64, parts: &Parts) -> Result<(), Response<SseBody>> {
    ///     if subjects.add(format!("user:{user}")) {
    ///         return Ok(());
    ///     }
    ///     Err(Refusal::too_many_requests().answer(parts))
    /// }
    /// ```
    ///
    /// You can also add a subject to a stream that is open, for example when its client joins a
    /// room. The subject takes a place at once. If no place is free, the stream ends like one that
    /// was [closed](super#how-closed-streams-end), and `add` returns `false` from then on.
    ///
    /// Until the handler has answered, a [`close`](super::Streams::close) call since the request's
    /// arrival closes the stream, even a call that came before `add`. After the answer, only later
    /// calls count: call `add` before you check whether the client may join.
    ///
    /// Behind an [early head](crate::early_head), each subject is checked when you add it. Add
    /// `session:abc` before `user:42`: otherwise, an earlier
    /// [`close_except`](super::Streams::close_except) call that keeps the session closes its
    /// stream.
    ///
    /// If the response isn't an event stream, the subjects are dropped.
    // Few callers have limits and need the result.
    #[allow(clippy::must_use_candidate)]
    pub fn add(&self, subject: impl Into<Arc<str>>) -> bool {
        let (subject, OfRequest { open_streams, ticket, names }) = (subject.into(), &*self.request);
        let mut names = lock(names);
        if names.is_refused {
            return false;
        }
        let is_new = !names.added.contains(&subject);
        let open: Vec<_> = names.members.iter().filter_map(Weak::upgrade).collect();
        let is_answered = names.head.as_ref().is_none_or(EarlyHead::is_answered);
        // Taken under the lock, so that no other call takes an added subject for one with a place.
        if is_new
            && let Some(member) = open.iter().find(|member| member.has_places)
            && let Err(class) = open_streams.limits.take(slice::from_ref(&subject))
        {
            names.is_refused = true;
            drop(names);
            open_streams.refuse(member, class);
            return false;
        }
        if is_new {
            names.added.push(Arc::clone(&subject));
        }
        drop(names);
        let since = if is_answered { open_streams.ticket() } else { *ticket };
        open.iter().filter(|_| is_new).for_each(|it| open_streams.grow(since, it, &subject));
        !open.is_empty() || open_streams.limits.has_place(&subject)
    }

    pub(super) fn is_of(&self, open_streams: &Arc<OpenStreams>) -> bool {
        Arc::ptr_eq(&self.request.open_streams, open_streams)
    }

    /// Opens the stream, with the `head` that was sent early. Returns `None` if the stream has no
    /// subjects and can get none. Returns an error if a subject is at its limit, the stream
    /// `may_be_refused`, and the request has no other open stream.
    pub(crate) fn open(
        &self,
        head: Option<&EarlyHead>,
        may_be_refused: bool,
    ) -> Result<Option<Membership>, ()> {
        let OfRequest { open_streams, ticket, names } = &*self.request;
        let mut names = lock(names);
        if names.added.is_empty() && Arc::strong_count(&self.request) == 1 {
            return Ok(None);
        }
        names.members.retain(|member| member.strong_count() > 0);
        let mut has_places = names.members.is_empty();
        // Middleware can repeat a request whose stream was refused.
        names.is_refused &= !has_places;
        if has_places && let Err(class) = open_streams.limits.take(&names.added) {
            if may_be_refused {
                class.count_refusal();
                return Err(());
            }
            has_places = false;
        }
        if names.members.is_empty() || head.is_some() {
            names.head = head.cloned();
        }
        // Opened under the lock, so that a subject that is added meanwhile enters an open stream.
        let membership = Membership::open(open_streams, *ticket, &names.added, has_places);
        names.members.push(Arc::downgrade(&membership.member));
        Ok(Some(membership))
    }
}

impl fmt::Debug for Subjects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(&lock(&self.request.names).added).finish()
    }
}

#[derive(Debug)]
pub(crate) struct Membership {
    open_streams: Arc<OpenStreams>,
    member: Arc<Member>,
}

impl Membership {
    pub(super) fn open(
        open_streams: &Arc<OpenStreams>,
        ticket: Ticket,
        subjects: &[Arc<str>],
        has_places: bool,
    ) -> Self {
        let member = open_streams.member(subjects, has_places);
        // Created before the stream is in a list: if `open` panics, dropping the `Membership`
        // removes the stream from all lists.
        let membership = Self { open_streams: Arc::clone(open_streams), member };
        open_streams.open(ticket, &membership.member);
        membership
    }

    /// Notes that the stream is about to end. The stream keeps its places until it has ended.
    pub(crate) fn set_ending(&self) {
        self.member.set_ending();
    }

    #[inline]
    pub(crate) fn revocation(&self) -> Option<Revocation> {
        self.member.revocation()
    }

    /// Returns whether the stream was closed. If not, a later close wakes `waker`.
    pub(crate) fn poll_revoked(&self, waker: &Waker) -> bool {
        self.member.register(waker);
        // Checked after registering: a close first sets the state and then takes the waker.
        self.revocation().is_some()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.open_streams.end(&self.member);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::task::{Wake, Waker};

    use super::{Membership, OpenStreams};
    use crate::streams::Closing;

    /// The waker of an earlier poll. A later poll drops it, and the drop closes the stream, as
    /// another thread could do.
    struct ClosesOnDrop(Arc<OpenStreams>);

    impl Wake for ClosesOnDrop {
        fn wake(self: Arc<Self>) {}
    }

    impl Drop for ClosesOnDrop {
        fn drop(&mut self) {
            assert_eq!(self.0.close(Closing { subject: "a", kept: None }), 1);
        }
    }

    #[test]
    fn close_after_the_waker_is_registered_is_seen_by_the_same_poll() {
        let open_streams = Arc::<OpenStreams>::default();
        let membership =
            Membership::open(&open_streams, open_streams.ticket(), &["a".into()], false);
        let earlier = Waker::from(Arc::new(ClosesOnDrop(Arc::clone(&open_streams))));
        assert!(!membership.poll_revoked(&earlier));
        drop(earlier);
        assert!(membership.poll_revoked(Waker::noop()), "the state was read too early");
    }
}
