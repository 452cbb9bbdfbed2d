use std::{
    future::Future,
    pin::{Pin, pin},
    task::Context,
};

use pin_project_lite::pin_project;
use tokio::task::coop;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

pin_project! {
    /// A token of this stream alone, and the wait for it.
    pub(super) struct Cancellation {
        token: CancellationToken,
        #[pin]
        cancelled: WaitForCancellationFutureOwned,
    }
}

impl Cancellation {
    pub(super) fn of(token: CancellationToken) -> Pin<Box<Self>> {
        Box::pin(Self { cancelled: token.clone().cancelled_owned(), token })
    }

    pub(super) fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Returns whether the token is cancelled, or registers the waker.
    pub(super) fn poll_cancelled(self: Pin<&mut Self>, cx: &mut Context<'_>) -> bool {
        // The source may have spent tokio's budget, without which the future is never ready.
        pin!(coop::unconstrained(self.project().cancelled)).poll(cx).is_ready()
    }
}
