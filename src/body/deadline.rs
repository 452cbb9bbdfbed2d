use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll},
    time::Duration,
};

use pin_project_lite::pin_project;
use tokio::{
    runtime::Handle,
    task::coop,
    time::{Instant, Sleep, sleep_until},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::idle_timer::is_within_reach;
use crate::{
    connection::{Client, CloseReason},
    options::{Drain, PATIENCE, ResolvedOptions},
};

pin_project! {
    /// The time at which a stream must end although its source continues: at its maximum age or
    /// during a shutdown.
    pub(crate) struct Deadline {
        // `None` once cancelled.
        shutdown: Option<CancellationToken>,
        #[pin]
        cancelled: Option<WaitForCancellationFutureOwned>,
        #[pin]
        sleep: Option<Sleep>,
        stage: Stage,
        drain: Drain,
        client: Client,
    }
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The stream has not been polled yet.
    New { max_age: Option<Duration> },
    /// The stream may continue, but not beyond `until`.
    Open { until: Option<(Instant, CloseReason)> },
    /// The stream must end at the next point between events, or at `give_up` if that is earlier.
    Due { reason: CloseReason, give_up: Option<Instant> },
    /// The stream must end now, even mid-event.
    Overdue { reason: CloseReason },
}

/// The requirement of a [`Deadline`] on its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Continue,
    EndBetweenEvents(CloseReason),
    EndNow(CloseReason),
}

impl Deadline {
    /// Creates the deadline of a stream, or returns `None` if only the source can end the stream.
    pub(super) fn new(
        options: &ResolvedOptions,
        shutdown: Option<CancellationToken>,
        client: Client,
    ) -> Option<Self> {
        let max_age = options.draw_max_age(client);
        if max_age.is_none() && shutdown.is_none() {
            return None;
        }
        Some(Self {
            cancelled: shutdown.clone().map(CancellationToken::cancelled_owned),
            shutdown,
            sleep: None,
            stage: Stage::New { max_age },
            drain: options.drain(),
            client,
        })
    }

    /// Returns what the stream must do now.
    ///
    /// It is called for every frame, so it does not poll the timer.
    pub(super) fn check(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Verdict {
        if let Stage::New { max_age } = self.stage {
            let until = max_age.and_then(|age| Instant::now().checked_add(age));
            let until = until.map(|until| (until, CloseReason::Expired));
            if max_age.is_some_and(|age| age.is_zero()) {
                // A timer would not elapse before the next millisecond.
                *self.as_mut().project().stage = Stage::Open { until };
                self.as_mut().advance(cx);
            } else {
                self.as_mut().enter(cx, Stage::Open { until });
            }
        }
        if self.shutdown.as_ref().is_some_and(CancellationToken::is_cancelled) {
            self.as_mut().begin_drain(cx);
        }
        if self.sleep.as_ref().is_some_and(Sleep::is_elapsed) {
            self.as_mut().advance(cx);
        }
        match self.stage {
            Stage::New { .. } | Stage::Open { .. } => Verdict::Continue,
            Stage::Due { reason, .. } => Verdict::EndBetweenEvents(reason),
            Stage::Overdue { reason } => Verdict::EndNow(reason),
        }
    }

    /// Waits until the result of [`check`](Self::check) may have changed.
    pub(super) fn poll_change(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // The source may have spent tokio's budget. Without budget, neither future is ever ready.
        if let Some(cancelled) = self.as_mut().project().cancelled.as_pin_mut()
            && pin!(coop::unconstrained(cancelled)).poll(cx).is_ready()
        {
            return Poll::Ready(());
        }
        match self.project().sleep.as_pin_mut() {
            Some(sleep) => pin!(coop::unconstrained(sleep)).poll(cx),
            None => Poll::Pending,
        }
    }

    /// Moves the deadline to the time at which the shutdown ends this stream.
    fn begin_drain(mut self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let mut this = self.as_mut().project();
        this.cancelled.set(None);
        *this.shutdown = None;
        let Some(delay) = this.drain.draw_delay(*this.client) else {
            return;
        };
        let now = Instant::now();
        // Without a runtime no timer can delay the end.
        let has_no_timer = Handle::try_current().is_err();
        if delay.is_zero() || has_no_timer {
            let patience = now.checked_add(this.drain.patience()).filter(|_| !has_no_timer);
            let give_up = match *this.stage {
                Stage::Due { give_up, .. } => earlier(give_up, patience),
                Stage::Overdue { .. } => return,
                Stage::New { .. } | Stage::Open { .. } => patience,
            };
            self.enter(cx, Stage::Due { reason: CloseReason::Drained, give_up });
            return;
        }
        // A stream that reaches its maximum age during the delay counts as drained, because its
        // client cannot reconnect to this server.
        let stage = match *this.stage {
            Stage::Open { until } => {
                let until = earlier(until.map(|(until, _)| until), now.checked_add(delay));
                Stage::Open { until: until.map(|until| (until, CloseReason::Drained)) }
            }
            Stage::Due { give_up, .. } => Stage::Due { reason: CloseReason::Drained, give_up },
            stage @ (Stage::New { .. } | Stage::Overdue { .. }) => stage,
        };
        self.enter(cx, stage);
    }

    /// Enters the stage that follows when the timer has elapsed.
    fn advance(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let next = match self.stage {
            Stage::Open { until: Some((_, reason)) } => {
                let give_up = Instant::now().checked_add(PATIENCE);
                Stage::Due { reason, give_up }
            }
            Stage::Due { reason, .. } => Stage::Overdue { reason },
            stage => stage,
        };
        self.enter(cx, next);
    }

    /// Enters `stage` and sets the timer for its end.
    fn enter(self: Pin<&mut Self>, cx: &mut Context<'_>, stage: Stage) {
        let mut this = self.project();
        *this.stage = stage;
        let deadline = match stage {
            Stage::New { .. } | Stage::Overdue { .. } => None,
            Stage::Open { until } => until.map(|(until, _)| until),
            Stage::Due { give_up, .. } => give_up,
        };
        let Some(deadline) = deadline else {
            this.sleep.set(None);
            return;
        };
        if Handle::try_current().is_err() {
            warn!("no maximum age: the event stream is not polled within a tokio runtime");
            return;
        }
        this.sleep.set(is_within_reach(deadline).then(|| sleep_until(deadline)));
        if let Some(sleep) = this.sleep.as_pin_mut() {
            // A timer is registered by its first poll.
            _ = pin!(coop::unconstrained(sleep)).poll(cx);
        }
    }
}

/// Returns the earlier of two times. `None` is later than any time.
fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
