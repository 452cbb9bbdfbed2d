use std::{sync::Arc, task::Waker};

use super::{
    close_log::Ticket,
    limits::Place,
    member::{Member, Revocation},
    open_streams::OpenStreams,
};

/// An open stream in the lists of its subjects, which it leaves when this is dropped.
#[derive(Debug)]
pub(crate) struct Membership {
    open_streams: Arc<OpenStreams>,
    member: Arc<Member>,
    /// Free again once the stream has left its lists.
    _places: Box<[Place]>,
}

impl Membership {
    /// Opens a stream of these subjects, which is closed at once if one of them was closed after
    /// the ticket was taken.
    pub(super) fn open(
        open_streams: &Arc<OpenStreams>,
        ticket: Ticket,
        subjects: &[Arc<str>],
        places: Vec<Place>,
    ) -> Self {
        let member = open_streams.member(subjects);
        // Before it is in a list, which it leaves when it is dropped.
        let membership =
            Self { open_streams: Arc::clone(open_streams), member, _places: places.into() };
        open_streams.open(ticket, &membership.member);
        membership
    }

    /// Notes that the body has seen that the stream was closed, and is about to end. The stream keeps
    /// its places until it has ended.
    pub(crate) fn set_ending(&self) {
        self.member.set_ending();
    }

    /// Returns whether the stream was closed, and how, unless the body has seen it.
    #[inline]
    pub(crate) fn revocation(&self) -> Option<Revocation> {
        self.member.revocation()
    }

    /// Returns whether the stream was closed. If it was not, the close will wake `waker`.
    pub(crate) fn poll_revoked(&self, waker: &Waker) -> bool {
        self.member.poll_revoked(waker)
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        self.open_streams.leave(&self.member);
        self.member.forget_waker();
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        task::{Wake, Waker},
    };

    use super::{Membership, OpenStreams};
    use crate::streams::Closing;

    /// The waker of an earlier poll. It is dropped once a later one is registered, and closes the
    /// stream then, as another thread can.
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
}
