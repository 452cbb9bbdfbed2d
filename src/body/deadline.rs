use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, OnceLock},
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

use super::idle::is_within_reach;
use crate::{
    connection::{Client, CloseReason},
    options::{Drain, PATIENCE, ResolvedOptions},
};

/// Where the token comes from that ends a stream. Every stream has one of its own: to poll the shared one
/// takes a lock that all streams share.
pub(crate) enum Shutdown {
    Own(CancellationToken),
    /// From a layer further out, if it has any.
    Inherited(Inherited),
}

/// A place where a layer further out leaves its token, before the body is polled.
pub(crate) type Inherited = Arc<OnceLock<CancellationToken>>;

impl Shutdown {
    /// The layer's own, if it has one.
    pub(crate) fn of(shutdown: Option<&CancellationToken>) -> Self {
        match shutdown {
            Some(shutdown) => Self::Own(shutdown.child_token()),
            None => Self::Inherited(Arc::default()),
        }
    }

    pub(crate) fn inherited(&self) -> Option<Inherited> {
        match self {
            Self::Own(_) => None,
            Self::Inherited(inherited) => Some(Arc::clone(inherited)),
        }
    }

    pub(super) fn into_token(self) -> Option<CancellationToken> {
        match self {
            Self::Own(shutdown) => Some(shutdown),
            Self::Inherited(inherited) => inherited.get().map(CancellationToken::child_token),
        }
    }
}

pin_project! {
    /// Tells when a stream has to end although its source goes on: at its greatest age, or because of
    /// the shutdown.
    pub(crate) struct Deadline {
        // `None` once it was cancelled.
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
    /// Not polled yet.
    New { max_age: Option<Duration> },
    /// It may go on, until then if at all.
    Open { until: Option<(Instant, CloseReason)> },
    /// It has to end between events, and until then in any case.
    Due { reason: CloseReason, give_up: Option<Instant> },
    /// It has to end here and now.
    Over { reason: CloseReason },
}

/// What is to be done with a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    GoOn,
    EndBetweenEvents(CloseReason),
    EndNow(CloseReason),
}

impl Deadline {
    /// `None` if nothing can end the stream but its source.
    pub(super) fn new(
        rules: &ResolvedOptions,
        shutdown: Option<CancellationToken>,
        client: Client,
    ) -> Option<Self> {
        let max_age = rules.draw_max_age(client);
        if max_age.is_none() && shutdown.is_none() {
            return None;
        }
        Some(Self {
            cancelled: shutdown.clone().map(CancellationToken::cancelled_owned),
            shutdown,
            sleep: None,
            stage: Stage::New { max_age },
            drain: rules.drain(),
            client,
        })
    }

    /// What is to be done now. It costs little, for it is asked at every frame: a stream that is always
    /// ready never comes to wait.
    pub(super) fn look(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Verdict {
        if let Stage::New { max_age } = self.stage {
            let until = max_age.and_then(|age| Instant::now().checked_add(age));
            let until = until.map(|until| (until, CloseReason::Expired));
            if max_age.is_some_and(|age| age.is_zero()) {
                // A timer would elapse at its next millisecond only.
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
            Stage::New { .. } | Stage::Open { .. } => Verdict::GoOn,
            Stage::Due { reason, .. } => Verdict::EndBetweenEvents(reason),
            Stage::Over { reason } => Verdict::EndNow(reason),
        }
    }

    /// Ready when [`look`](Self::look) has something new to say.
    pub(super) fn poll_change(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        // Without tokio's budget neither would say anything, and the source may have spent it.
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

    fn begin_drain(mut self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let mut this = self.as_mut().project();
        this.cancelled.set(None);
        *this.shutdown = None;
        let Some(delay) = this.drain.draw_delay(*this.client) else {
            return;
        };
        let now = Instant::now();
        // Without a runtime there is no timer to wait with.
        let timeless = Handle::try_current().is_err();
        if delay.is_zero() || timeless {
            let patience = now.checked_add(this.drain.patience()).filter(|_| !timeless);
            let give_up = match *this.stage {
                Stage::Due { give_up, .. } => earlier(give_up, patience),
                Stage::Over { .. } => return,
                Stage::New { .. } | Stage::Open { .. } => patience,
            };
            self.enter(cx, Stage::Due { reason: CloseReason::Drained, give_up });
            return;
        }
        // One that expires meanwhile is told as much as the others: it cannot come back here.
        let stage = match *this.stage {
            Stage::Open { until } => {
                let until = earlier(until.map(|(until, _)| until), now.checked_add(delay));
                Stage::Open { until: until.map(|until| (until, CloseReason::Drained)) }
            }
            Stage::Due { give_up, .. } => Stage::Due { reason: CloseReason::Drained, give_up },
            stage @ (Stage::New { .. } | Stage::Over { .. }) => stage,
        };
        self.enter(cx, stage);
    }

    /// The time has come that the stage waits for.
    fn advance(self: Pin<&mut Self>, cx: &mut Context<'_>) {
        let next = match self.stage {
            Stage::Open { until: Some((_, reason)) } => {
                let give_up = Instant::now().checked_add(PATIENCE);
                Stage::Due { reason, give_up }
            }
            Stage::Due { reason, .. } => Stage::Over { reason },
            stage => stage,
        };
        self.enter(cx, next);
    }

    fn enter(self: Pin<&mut Self>, cx: &mut Context<'_>, stage: Stage) {
        let mut this = self.project();
        *this.stage = stage;
        let deadline = match stage {
            Stage::New { .. } | Stage::Over { .. } => None,
            Stage::Open { until } => until.map(|(until, _)| until),
            Stage::Due { give_up, .. } => give_up,
        };
        let Some(deadline) = deadline else {
            this.sleep.set(None);
            return;
        };
        if Handle::try_current().is_err() {
            warn!("no greatest age: the event stream is not polled within a tokio runtime");
            return;
        }
        this.sleep.set(is_within_reach(deadline).then(|| sleep_until(deadline)));
        if let Some(sleep) = this.sleep.as_pin_mut() {
            // A timer that was never polled does not run.
            _ = pin!(coop::unconstrained(sleep)).poll(cx);
        }
    }
}

fn earlier(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}
