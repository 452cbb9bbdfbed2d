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

use super::{Drain, Rules, drain::PATIENCE, silence::is_within_reach};
use crate::connection::{Client, CloseReason};

pin_project! {
    /// Tells when a stream has to end although its source goes on: at its greatest age, or because of
    /// the shutdown.
    pub(crate) struct Lifetime {
        // One token per stream: to poll the shared one takes a lock that all streams share. `None` once
        // it was cancelled.
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

impl Lifetime {
    /// `None` if nothing can end the stream but its source.
    pub(super) fn new(
        rules: &Rules,
        shutdown: Option<&CancellationToken>,
        client: Client,
    ) -> Option<Self> {
        let max_age = rules.draw_max_age();
        if max_age.is_none() && shutdown.is_none() {
            return None;
        }
        let shutdown = shutdown.map(CancellationToken::child_token);
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
            let age = max_age.and_then(|age| age.checked_add(self.client.grace()));
            let until = age.and_then(|age| Instant::now().checked_add(age));
            let until = until.map(|until| (until, CloseReason::Expired));
            self.as_mut().enter(cx, Stage::Open { until });
            // A timer elapses at its next millisecond, and what is left of no time is nothing.
            if age.is_some_and(|age| age.is_zero()) && self.sleep.is_some() {
                self.as_mut().advance(cx);
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
            let (reason, give_up) = match *this.stage {
                Stage::Due { reason, give_up } => (reason, earlier(give_up, patience)),
                Stage::Over { .. } => return,
                Stage::New { .. } | Stage::Open { .. } => (CloseReason::Drained, patience),
            };
            self.enter(cx, Stage::Due { reason, give_up });
        } else if let Stage::Open { until } = *this.stage
            && let Some(end) = now.checked_add(delay)
            && until.is_none_or(|(until, _)| end < until)
        {
            self.enter(cx, Stage::Open { until: Some((end, CloseReason::Drained)) });
        }
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
