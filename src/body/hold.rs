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
/// drops what it has not written yet, the head included. On HTTP/2 that is another task's work, which
/// may come to it late when many streams fail at once.
///
/// An empty frame is sent after the rest, which no client sees. When the server lets go of it, it has let
/// go of everything before.
#[derive(Debug, Default)]
pub(super) enum Hold {
    #[default]
    Begin,
    Taking {
        probe: oneshot::Receiver<Infallible>,
        give_up: Pin<Box<Sleep>>,
    },
    Resting(Pin<Box<Sleep>>),
    Over,
}

/// A server that keeps the frame for longer may keep it for ever.
const GIVE_UP: Duration = Duration::from_secs(1);
/// Browsers drop what a `fetch` body had queued when it fails: what was read last and the failure must
/// not arrive together.
const REST: Duration = Duration::from_millis(20);

impl Hold {
    /// An empty frame to be sent, or nothing any more.
    pub(super) fn poll_probe(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            match self {
                // Without a runtime there is no timer, nor hyper's connection task.
                Self::Begin if Handle::try_current().is_err() => *self = Self::Over,
                Self::Begin => {
                    let (held, probe) = oneshot::channel();
                    *self = Self::Taking { probe, give_up: Box::pin(sleep(GIVE_UP)) };
                    return Poll::Ready(Some(Bytes::from_owner(Probe { _held: held })));
                }
                Self::Taking { probe, give_up } => {
                    if pin!(coop::unconstrained(probe)).poll(cx).is_pending() {
                        ready!(pin!(coop::unconstrained(give_up)).poll(cx));
                    }
                    let mut rest = Box::pin(sleep(REST));
                    // A thread that was kept from running finds its timer elapsed already. But on HTTP/1 it
                    // is our being pending that makes hyper write.
                    while pin!(coop::unconstrained(&mut rest)).poll(cx).is_ready() {
                        rest.as_mut().reset(Instant::now() + REST);
                    }
                    *self = Self::Resting(rest);
                    return Poll::Pending;
                }
                Self::Resting(rest) => {
                    ready!(pin!(coop::unconstrained(rest)).poll(cx));
                    *self = Self::Over;
                }
                Self::Over => return Poll::Ready(None),
            }
        }
    }
}

/// The empty bytes that tell when they are dropped.
struct Probe {
    _held: oneshot::Sender<Infallible>,
}

impl AsRef<[u8]> for Probe {
    fn as_ref(&self) -> &[u8] {
        &[]
    }
}
