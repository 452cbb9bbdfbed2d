use std::sync::{Arc, Mutex};
use std::{fmt, mem, slice, task::Waker};

use super::open_streams::{Member, OpenStreams, Revocation, Ticket};
use super::{Full, limits::LimitPlace};
use crate::{lock::lock, signals::is_recorded};

/// The subjects of a request, such as its user, tenant or address. You can close or limit the
/// streams that share a subject.
///
/// Inside of a layer with [`SseLayer::streams`](crate::SseLayer::streams), take them from the
/// request's extensions, or use the extractor (feature `axum`). Outside of the layer, call
/// [`Streams::subjects_of`](super::Streams::subjects_of). Clones belong to the same request.
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
    places: Vec<LimitPlace>,
    is_open: bool,
    /// The number of layers that have sent their head early, and wait for the answer.
    early: usize,
    /// The number of subjects with which an early stream was opened. They have their places.
    opened: usize,
    /// Whether the response is known to be no stream.
    is_over: bool,
}

/// The subjects of a response that can become a stream. When this is dropped, the reserved places
/// of a response that didn't become one are free, although the program may keep its [`Subjects`].
pub(crate) struct Unopened(Subjects);

#[derive(Clone, Copy, PartialEq, Eq)]
enum OpeningTime {
    Head,
    EarlyHead,
    LateAnswer,
}

/// The subjects of a stream whose head was sent early. The handler can still add some.
pub(crate) struct EarlySubjects(Unopened);

impl Subjects {
    pub(super) fn new(open_streams: Arc<OpenStreams>) -> Self {
        let ticket = open_streams.ticket();
        let request = OfRequest { open_streams, ticket, names: Mutex::default() };
        Self { request: Arc::new(request) }
    }

    /// Adds a subject to the stream that answers this request. Adding it again has no effect.
    ///
    /// Call `add` before the layer receives the response. Afterwards, a call only logs a WARN line
    /// (feature `tracing`). If the response isn't an event stream, the subjects are dropped.
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

    /// Adds a subject to this request's stream, and takes a place within the subject's limit. Call
    /// it at the start of a handler, so that no work is done for a stream that would be refused.
    ///
    /// ```
    /// use http::{Response, request::Parts};
    /// use tower_sse::{Refusal, layer::AnswerBody, streams::Subjects};
    ///
    /// fn admit(subjects: &Subjects, user: u64, parts: &Parts) -> Result<(), Response<AnswerBody>> {
    ///     subjects
    ///         .try_add(format!("user:{user}"))
    ///         .map_err(|_full| Refusal::too_many_requests().answer(parts))
    /// }
    /// ```
    ///
    /// The place is free again once the stream has ended. It's also freed if the response isn't an
    /// event stream, or if the handler fails, panics or is dropped. Once the layer has the
    /// handler's response, `try_add` returns `Ok` without taking a place.
    ///
    /// # Errors
    ///
    /// Returns an error if the subject is at its limit. In that case, the subject isn't added.
    pub fn try_add(&self, subject: impl Into<Arc<str>>) -> Result<(), Full> {
        let subject = subject.into();
        let limits = &self.request.open_streams.limits;
        let mut names = lock(&self.request.names);
        if !names.is_open && !names.is_over && !names.has_place(&subject) {
            match limits.take(slice::from_ref(&subject)) {
                Ok(places) => names.places.extend(places),
                Err(full) => {
                    limits.count_refusal(&full);
                    return Err(full);
                }
            }
        }
        drop(names);
        self.add(subject);
        Ok(())
    }

    pub(super) fn is_of(&self, open_streams: &Arc<OpenStreams>) -> bool {
        Arc::ptr_eq(&self.request.open_streams, open_streams)
    }
}

impl SubjectNames {
    fn has_place(&self, subject: &str) -> bool {
        let mut opened = self.added.iter().take(self.opened);
        self.places.iter().any(|place| place.is_of(subject)) || opened.any(|it| **it == *subject)
    }
}

impl Unopened {
    pub(crate) fn new(subjects: Subjects) -> Self {
        // Middleware outside of the layer can send the request again.
        let mut names = lock(&subjects.request.names);
        (names.is_open, names.is_over) = (false, false);
        // An outer layer may have sent its head early.
        names.opened = if names.early == 0 { 0 } else { names.opened };
        drop(names);
        Self(subjects)
    }

    /// Opens the stream. Returns `None` if it has no subjects, or is recorded for several clients.
    pub(crate) fn open(&self, may_be_refused: bool) -> Result<Option<Membership>, Full> {
        self.open_at(OpeningTime::Head, may_be_refused)
    }

    pub(crate) fn open_early(
        self,
        may_be_refused: bool,
    ) -> Result<(Option<Membership>, EarlySubjects), Full> {
        let membership = self.open_at(OpeningTime::EarlyHead, may_be_refused)?;
        lock(&self.0.request.names).early += 1;
        Ok((membership, EarlySubjects(self)))
    }

    fn open_at(&self, time: OpeningTime, may_be_refused: bool) -> Result<Option<Membership>, Full> {
        if is_recorded() {
            return Ok(None);
        }
        let OfRequest { open_streams, ticket, names } = &*self.0.request;
        let mut names = lock(names);
        let held = match (names.is_open, time) {
            (false, _) => names.opened,
            (true, OpeningTime::Head) => 0,
            // An inner layer has opened the stream, and holds all places.
            (true, _) => usize::MAX,
        };
        names.is_open = time != OpeningTime::EarlyHead;
        if time == OpeningTime::EarlyHead {
            names.opened = names.added.len();
        }
        if names.added.is_empty() {
            return Ok(None);
        }
        let added = names.added.clone();
        let mut places = mem::take(&mut names.places);
        drop(names);
        if !open_streams.limits.is_empty() {
            let has_place = |name: &Arc<str>| places.iter().any(|place| place.is_of(name));
            let others = added.iter().skip(held).filter(|name| !has_place(name));
            let others: Vec<_> = others.cloned().collect();
            match open_streams.limits.take(&others) {
                Ok(taken) => places.extend(taken),
                Err(full) if may_be_refused => {
                    open_streams.limits.count_refusal(&full);
                    return Err(full);
                }
                Err(_) => {}
            }
        }
        Ok(Some(Membership::open(open_streams, *ticket, &added, places)))
    }
}

impl EarlySubjects {
    /// Adds the subjects that the handler added since. They can no longer refuse the stream. If the
    /// answer is the stream of an inner layer that waits for a late answer too, that layer adds
    /// them.
    pub(crate) fn reopen(
        self,
        mut early: Option<Membership>,
        is_inner: bool,
    ) -> Option<Membership> {
        let Self(subjects) = &self;
        if is_inner && lock(&subjects.0.request.names).early > 1 {
            return early;
        }
        if let Some(early) = &mut early {
            lock(&subjects.0.request.names).places.extend(mem::take(&mut early.places));
        }
        // The former membership is dropped last, so that no close comes between the two.
        subjects.open_at(OpeningTime::LateAnswer, false).unwrap_or_default()
    }
}

impl Drop for EarlySubjects {
    fn drop(&mut self) {
        lock(&self.0.0.request.names).early -= 1;
    }
}

impl Drop for Unopened {
    fn drop(&mut self) {
        let mut names = lock(&self.0.request.names);
        // A layer that has sent its head early still waits for the answer.
        if names.early > 0 {
            return;
        }
        names.is_over = true;
        let places = mem::take(&mut names.places);
        drop(names);
        drop(places);
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
    places: Box<[LimitPlace]>,
}

impl Membership {
    pub(super) fn open(
        open_streams: &Arc<OpenStreams>,
        ticket: Ticket,
        subjects: &[Arc<str>],
        places: Vec<LimitPlace>,
    ) -> Self {
        let member = open_streams.member(subjects);
        // Created before the stream is in a list, so that its drop removes it.
        let membership =
            Self { open_streams: Arc::clone(open_streams), member, places: places.into() };
        open_streams.open(ticket, &membership.member);
        membership
    }

    /// Notes that the stream is about to end. It keeps its places until it has ended.
    pub(crate) fn set_ending(&self) {
        self.open_streams.begin_end(&self.member);
    }

    #[inline]
    pub(crate) fn revocation(&self) -> Option<Revocation> {
        self.member.revocation(self.open_streams.generation())
    }

    /// Returns whether the stream was closed. If not, the close will wake `waker`.
    pub(crate) fn poll_revoked(&self, waker: &Waker) -> bool {
        self.open_streams.register(&self.member, waker);
        // Checked after registering: a close first sets the state, and then takes the waker.
        self.revocation().is_some()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.open_streams.end(&self.member);
        self.member.forget_waker();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, atomic::AtomicUsize, atomic::Ordering::SeqCst};
    use std::task::{Wake, Waker};
    use std::{thread, time::Duration, time::Instant};

    use tokio::runtime::Builder;
    use tokio_util::sync::CancellationToken;

    use super::{Membership, OpenStreams};
    use crate::signals::{EndsWith, Shutdown, ShutdownWait};
    use crate::streams::Closing;

    /// The waker of an earlier poll. A later poll drops it, and the drop closes the stream, as
    /// another thread could.
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
            Membership::open(&open_streams, open_streams.ticket(), &["a".into()], Vec::new());
        let earlier = Waker::from(Arc::new(ClosesOnDrop(Arc::clone(&open_streams))));
        assert!(!membership.poll_revoked(&earlier));
        drop(earlier);
        assert!(membership.poll_revoked(Waker::noop()), "the state was read too early");
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    /// More streams than are woken in one turn.
    const MANY: usize = 130_000;

    #[test]
    fn all_streams_are_woken_whichever_runtime_cancels_or_closes() {
        let driven = Builder::new_multi_thread().worker_threads(1).build().unwrap();
        let idle = Builder::new_current_thread().build().unwrap();
        let (open_streams, token) = (Arc::<OpenStreams>::default(), CancellationToken::new());
        let (shutdown, wakes) = (Shutdown::of(token.clone()), Arc::<Wakes>::default());
        let waker = Waker::from(Arc::clone(&wakes));
        let open = |_| {
            let _entered = driven.enter();
            let ticket = open_streams.ticket();
            let member = Membership::open(&open_streams, ticket, &["a".into()], Vec::new());
            let own = EndsWith::Own(Arc::clone(&shutdown));
            let mut wait = ShutdownWait::new(own).unwrap();
            assert!(!member.poll_revoked(&waker) && !wait.poll_begun(&waker));
            (member, wait)
        };
        let _streams: Vec<_> = (0..MANY).map(open).collect();
        for end in [&|| token.cancel(), &|| _ = open_streams.close_all()] as [&dyn Fn(); 2] {
            wakes.0.store(0, SeqCst);
            idle.block_on(async { end() });
            let deadline = Instant::now() + Duration::from_secs(30);
            while wakes.0.load(SeqCst) < MANY {
                assert!(Instant::now() < deadline, "{} of {MANY}", wakes.0.load(SeqCst));
                thread::yield_now();
            }
        }
    }
}
