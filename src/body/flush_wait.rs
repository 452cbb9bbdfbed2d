use std::{
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    task::coop,
    time::{Instant, Sleep, sleep},
};

use super::release::Release;

/// The wait between the last bytes of a stream and its failure. When a body fails, the server drops
/// what it has not written yet, including the response head.
///
/// If there are last bytes, the wait ends after the server has dropped them. On HTTP/2 another task
/// writes them, and may run late when many streams are cut at once. An empty frame that the server
/// drops would serve too, but many of them on a connection look like an attack to peers.
#[derive(Debug)]
pub(super) enum FlushWait {
    Writing(Option<Release>),
    Pausing(Pin<Box<Sleep>>),
    Done,
}

/// The maximum wait for the server to drop the last bytes. It may never drop them.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(1);
/// The pause before the failure. On HTTP/2 one more turn of the runtime is not always enough to
/// write the last bytes. Also, when a `fetch` body fails, browsers drop the bytes that page code
/// has not read.
const PAUSE: Duration = Duration::from_millis(20);

impl FlushWait {
    /// Returns the bytes to send in place of `last`, and the wait for them.
    pub(super) fn after(last: Bytes) -> (Bytes, Self) {
        if last.is_empty() {
            return (last, Self::Writing(None));
        }
        let mut release = Release::within(RELEASE_TIMEOUT);
        (release.track(last), Self::Writing(Some(release)))
    }

    /// Waits until the body may fail.
    pub(super) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            match self {
                Self::Writing(release) => {
                    if let Some(release) = release {
                        ready!(release.poll_released(cx));
                    }
                    return self.begin_pause(cx);
                }
                Self::Pausing(pause) => {
                    ready!(pin!(coop::unconstrained(pause)).poll(cx));
                    *self = Self::Done;
                }
                Self::Done => return Poll::Ready(()),
            }
        }
    }

    /// Begins the pause, which is pending at least once: on HTTP/1, hyper writes only when the body
    /// is pending.
    fn begin_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut pause = Box::pin(sleep(PAUSE));
        // On a stalled thread the new timer may have elapsed already.
        while pin!(coop::unconstrained(&mut pause)).poll(cx).is_ready() {
            pause.as_mut().reset(Instant::now() + PAUSE);
        }
        *self = Self::Pausing(pause);
        Poll::Pending
    }
}
