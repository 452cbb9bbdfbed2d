use std::{
    convert::Infallible,
    future::Future,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    task::coop,
    time::{Instant, Sleep, sleep},
};

/// The wait between the last bytes of a stream and its failure. When a body fails, the server drops
/// what it has not written yet, including the response head.
///
/// If there are last bytes, the wait ends after the server has dropped them. On HTTP/2 another task
/// writes them, and may run late when many streams are cut at once. Dropping an empty frame would
/// signal the same, but peers count the empty frames of a connection as an attack.
#[derive(Debug)]
pub(super) enum FlushWait {
    New { released: Option<oneshot::Receiver<Infallible>> },
    AwaitingRelease { released: oneshot::Receiver<Infallible>, timeout: Pin<Box<Sleep>> },
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
            return (last, Self::New { released: None });
        }
        let (release, released) = oneshot::channel();
        let tracked = TrackedBytes { bytes: last, _release: release };
        (Bytes::from_owner(tracked), Self::New { released: Some(released) })
    }

    /// Waits until the body may fail.
    pub(super) fn poll_done(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Without a runtime there is neither a timer nor hyper's connection task.
            if Handle::try_current().is_err() {
                *self = Self::Done;
            }
            match self {
                Self::New { released } => match released.take() {
                    Some(released) => {
                        let timeout = Box::pin(sleep(RELEASE_TIMEOUT));
                        *self = Self::AwaitingRelease { released, timeout };
                    }
                    None => return self.begin_pause(cx),
                },
                Self::AwaitingRelease { released, timeout } => {
                    if pin!(coop::unconstrained(released)).poll(cx).is_pending() {
                        ready!(pin!(coop::unconstrained(timeout)).poll(cx));
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

/// Bytes whose drop closes a channel.
struct TrackedBytes {
    bytes: Bytes,
    _release: oneshot::Sender<Infallible>,
}

impl AsRef<[u8]> for TrackedBytes {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
