use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::{future::Future, time::Duration};

use tokio::task::coop;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::connection::{ClientKind, CloseReason};
use crate::exchange::{Adopted, LateEnd};
use crate::idle_timer::is_within_reach;
use crate::options::{PATIENCE, PATIENCE_AT_ONCE, ResolvedOptions};
use crate::streams::{Membership, Revocation};

/// The time at which a stream must end although its source continues. A maximum age, a long poll, a
/// shutdown, the program or the source can set it.
// The timer is boxed, because many streams never need it.
pub(crate) struct Deadline {
    // `None` if the program can't close the stream.
    membership: Option<Membership>,
    sleep: Option<Pin<Box<Sleep>>>,
    stage: Stage,
    /// When the stage ends at the latest.
    until: Option<Instant>,
    /// The close reason to report if the deadline ends the stream.
    reason: CloseReason,
    client: ClientKind,
    is_long_poll: bool,
    /// Whether a long poll has sent bytes of its source.
    has_answered: bool,
    /// How the stream ends if its answer came late.
    pub(super) late_end: LateEnd,
    /// The early head, until the stream has taken the answer behind it.
    pub(super) early: Option<Adopted>,
    /// Whether the program closed all streams, so that the client gets a reconnection time.
    pub(super) is_for_all: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Open,
    /// The stream must end at the next point between events.
    Due,
    /// The stream must end now, even mid-event.
    Overdue,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeadlineVerdict {
    Continue,
    EndBetweenEvents(CloseReason),
    EndNow(CloseReason),
}

impl Deadline {
    pub(super) fn new(client: ClientKind, membership: Option<Membership>) -> Self {
        Self {
            membership,
            sleep: None,
            stage: Stage::Open,
            until: None,
            reason: CloseReason::Expired,
            client,
            is_long_poll: false,
            has_answered: false,
            late_end: LateEnd::Own,
            early: None,
            is_for_all: false,
        }
    }

    /// Sets the limits from the options: a maximum age, and the longest wait of a long poll.
    /// Returns `before` if there are none.
    pub(super) fn start(
        before: Option<Box<Self>>,
        options: &ResolvedOptions,
        client: ClientKind,
        has_start: bool,
        cx: &mut Context<'_>,
    ) -> Option<Box<Self>> {
        let max_age = options.merged.draw_max_age(client);
        let max_wait = options.max_wait(has_start);
        let Some(limit) = earlier(max_age, max_wait) else {
            return before;
        };
        let mut this = before.unwrap_or_else(|| Box::new(Self::new(client, None)));
        this.is_long_poll = max_wait.is_some();
        if max_wait == Some(limit) {
            this.reason = CloseReason::Answered;
        }
        if limit.is_zero() {
            // A timer would not elapse before the next millisecond.
            this.advance(cx);
        } else {
            this.enter(cx, Stage::Open, earlier(this.until, Instant::now().checked_add(limit)));
        }
        Some(this)
    }

    pub(super) const fn note_data(&mut self) {
        // Only a long poll needs the flag, so the events of other streams don't write it.
        if self.is_long_poll {
            self.has_answered = true;
        }
    }

    /// Returns the rest of a long poll's wait.
    pub(super) fn wait_left(&self) -> Option<Duration> {
        let until = self.until.filter(|_| self.is_long_poll)?;
        Some(until.duration_since(Instant::now()))
    }

    /// Returns whether the stream can take a late answer.
    #[inline]
    pub(super) fn has_late_answer(&self) -> bool {
        self.early.as_ref().is_some_and(|early| early.answer().is_some())
    }

    /// Returns whether a shutdown leaves the stream alone.
    pub(super) fn is_spared(&self) -> bool {
        self.early.as_ref().is_some_and(Adopted::is_spared)
    }

    pub(super) const fn has_answered(&self) -> bool {
        self.has_answered
    }

    /// Returns what the stream must do now. Called for every frame, so it doesn't poll the timer.
    pub(super) fn check(&mut self, cx: &mut Context<'_>) -> DeadlineVerdict {
        if let Some(revocation) = self.revocation() {
            self.begin_revocation(cx, revocation);
        }
        if self.sleep.as_ref().is_some_and(|sleep| sleep.is_elapsed()) {
            self.advance(cx);
        }
        match self.stage {
            Stage::Open => DeadlineVerdict::Continue,
            Stage::Due => DeadlineVerdict::EndBetweenEvents(self.reason),
            Stage::Overdue => DeadlineVerdict::EndNow(self.reason),
        }
    }

    /// Waits until the result of [`check`](Self::check) may have changed.
    pub(super) fn poll_change(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(membership) = &self.membership
            && membership.poll_revoked(cx.waker())
        {
            return Poll::Ready(());
        }
        if let Some(early) = &self.early {
            early.register(cx.waker());
            if early.answer().is_some() {
                return Poll::Ready(());
            }
        }
        match &mut self.sleep {
            Some(sleep) => pin!(coop::unconstrained(sleep)).poll(cx),
            None => Poll::Pending,
        }
    }

    /// Waits until a stream between events must end.
    pub(super) fn poll_due(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while self.check(cx) == DeadlineVerdict::Continue {
            ready!(self.poll_change(cx));
        }
        Poll::Ready(())
    }

    pub(super) fn may_drain(&self) -> bool {
        !self.is_revoked() && self.stage != Stage::Overdue
    }

    pub(super) fn is_revoked(&self) -> bool {
        self.reason == CloseReason::Revoked || self.revocation().is_some()
    }

    /// Returns how the program has closed the stream. Returns `None` if the program hasn't closed
    /// it, or once `begin_revocation` has handled the close.
    fn revocation(&self) -> Option<Revocation> {
        self.membership.as_ref()?.revocation()
    }

    #[cold]
    fn begin_revocation(&mut self, cx: &mut Context<'_>, revocation: Revocation) {
        if let Some(membership) = &self.membership {
            membership.set_ending();
        }
        self.is_for_all = revocation == Revocation::All;
        self.end_soon(cx, CloseReason::Revoked, PATIENCE_AT_ONCE);
    }

    /// Returns the stream's deadline, for a shutdown or an early head to set. Creates one if there is
    /// none.
    #[cold]
    pub(super) fn or_new(this: &mut Option<Box<Self>>, client: ClientKind) -> &mut Self {
        this.get_or_insert_with(|| Box::new(Self::new(client, None)))
    }

    /// Sets the maximum age of a late answer, unless the stream ends before `at`.
    pub(super) fn expire(&mut self, cx: &mut Context<'_>, at: Instant) {
        if self.stage != Stage::Open || self.until.is_some_and(|until| until <= at) {
            return;
        }
        if self.reason != CloseReason::Drained {
            self.reason = CloseReason::Expired;
        }
        self.enter(cx, Stage::Open, Some(at));
        if at <= Instant::now() {
            // A timer would not elapse before the next millisecond.
            self.advance(cx);
        }
    }

    pub(super) fn drain(&mut self, options: &ResolvedOptions, cx: &mut Context<'_>) {
        if !self.may_drain() {
            return;
        }
        let drain = options.drain();
        let Some(delay) = drain.draw_delay(self.client) else {
            return;
        };
        if delay.is_zero() {
            self.end_soon(cx, CloseReason::Drained, drain.patience());
            return;
        }
        let due = Instant::now().checked_add(delay);
        let is_first = self.stage == Stage::Due
            || self.until.is_some_and(|until| due.is_none_or(|due| until <= due));
        if is_first && self.reason == CloseReason::Answered && self.client.is_cut_by_failing() {
            // The poll ends first, without a failure.
            return;
        }
        // A stream that reaches its maximum age during the delay counts as drained, because its
        // client cannot reconnect to this server.
        self.reason = CloseReason::Drained;
        if self.stage == Stage::Open {
            self.enter(cx, Stage::Open, earlier(self.until, due));
        }
    }

    /// Ends the stream between events, or after `patience` even mid-event.
    fn end_soon(&mut self, cx: &mut Context<'_>, reason: CloseReason, patience: Duration) {
        let patience = Instant::now().checked_add(patience);
        let until = match self.stage {
            Stage::Open => patience,
            Stage::Due => earlier(self.until, patience),
            Stage::Overdue => return,
        };
        self.reason = reason;
        self.enter(cx, Stage::Due, until);
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        match self.stage {
            Stage::Open => self.enter(cx, Stage::Due, Instant::now().checked_add(PATIENCE)),
            Stage::Due | Stage::Overdue => self.enter(cx, Stage::Overdue, None),
        }
    }

    fn enter(&mut self, cx: &mut Context<'_>, stage: Stage, until: Option<Instant>) {
        (self.stage, self.until) = (stage, until);
        let Some(until) = until else {
            self.sleep = None;
            return;
        };
        self.sleep = is_within_reach(until).then(|| Box::pin(sleep_until(until)));
        if let Some(sleep) = &mut self.sleep {
            // A timer is registered by its first poll.
            _ = pin!(coop::unconstrained(sleep)).poll(cx);
        }
    }
}

fn earlier<T: Ord>(one: Option<T>, other: Option<T>) -> Option<T> {
    one.into_iter().chain(other).min()
}
