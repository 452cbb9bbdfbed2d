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

/// Holds a failure back until what was sent before is on its way: a server that is told of a failure
/// drops what it has not written yet, the head included.
///
/// The stream's last bytes, if there are any, tell when the server lets go of them. On HTTP/2 to write them
/// is another task's work, which may come to it late when many streams are cut at once. (An empty frame
/// after the rest would tell as much, but peers count empty frames of a connection as an attack.)
#[derive(Debug)]
pub(super) enum FlushWait {
    Begin { taken: Option<oneshot::Receiver<Infallible>> },
    Taking { taken: oneshot::Receiver<Infallible>, give_up: Pin<Box<Sleep>> },
    Resting(Pin<Box<Sleep>>),
    Over,
}

/// A server that keeps the bytes for longer may keep them for ever.
const GIVE_UP: Duration = Duration::from_secs(1);
/// One more turn of the runtime is enough on HTTP/1, not always on HTTP/2. And browsers drop what a `fetch`
/// body had queued when it fails: what was read last and the failure must not arrive together.
const REST: Duration = Duration::from_millis(20);

impl FlushWait {
    /// What is to be sent as the last bytes, and what waits for them.
    pub(super) fn after(last: Bytes) -> (Bytes, Self) {
        if last.is_empty() {
            return (last, Self::Begin { taken: None });
        }
        let (held, taken) = oneshot::channel();
        (Bytes::from_owner(Held { bytes: last, _held: held }), Self::Begin { taken: Some(taken) })
    }

    /// Ready when the failure may be told.
    pub(super) fn poll_over(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            // Without a runtime there is no timer, nor hyper's connection task.
            if Handle::try_current().is_err() {
                *self = Self::Over;
            }
            match self {
                Self::Begin { taken } => match taken.take() {
                    Some(taken) => {
                        *self = Self::Taking { taken, give_up: Box::pin(sleep(GIVE_UP)) };
                    }
                    None => return self.poll_rest(cx),
                },
                Self::Taking { taken, give_up } => {
                    if pin!(coop::unconstrained(taken)).poll(cx).is_pending() {
                        ready!(pin!(coop::unconstrained(give_up)).poll(cx));
                    }
                    return self.poll_rest(cx);
                }
                Self::Resting(rest) => {
                    ready!(pin!(coop::unconstrained(rest)).poll(cx));
                    *self = Self::Over;
                }
                Self::Over => return Poll::Ready(()),
            }
        }
    }

    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut rest = Box::pin(sleep(REST));
        // A thread that was kept from running finds its timer elapsed already. But on HTTP/1 it is our being
        // pending that makes hyper write.
        while pin!(coop::unconstrained(&mut rest)).poll(cx).is_ready() {
            rest.as_mut().reset(Instant::now() + REST);
        }
        *self = Self::Resting(rest);
        Poll::Pending
    }
}

/// Bytes that tell when they are dropped.
struct Held {
    bytes: Bytes,
    _held: oneshot::Sender<Infallible>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
