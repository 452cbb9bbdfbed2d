use std::{future::Future, pin::pin};

use actix_web::body::MessageBody;
use bytes::Buf;

use crate::*;

/// Polls `body` to its end, frame by frame, and returns the number of its bytes.
pub fn drain<B: Body<Error: Debug>>(body: B) -> u64 {
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    let mut bytes = 0;
    loop {
        match body.as_mut().poll_frame(&mut cx) {
            Poll::Ready(Some(frame)) => {
                if let Ok(data) = frame.expect("a body that does not fail").into_data() {
                    bytes += data.remaining() as u64;
                    black_box(data);
                }
            }
            Poll::Ready(None) => return bytes,
            Poll::Pending => panic!("a body that is always ready was pending"),
        }
    }
}

/// Does the same as [`drain`] for a body of actix, which has its own trait.
pub fn drain_actix<B: MessageBody<Error: Debug>>(body: B) -> u64 {
    let mut body = pin!(body);
    let mut cx = Context::from_waker(Waker::noop());
    let mut bytes = 0;
    loop {
        match body.as_mut().poll_next(&mut cx) {
            Poll::Ready(Some(data)) => {
                let data = data.expect("a body that does not fail");
                bytes += data.len() as u64;
                black_box(data);
            }
            Poll::Ready(None) => return bytes,
            Poll::Pending => panic!("a body that is always ready was pending"),
        }
    }
}

/// Returns the output of a future that is ready at once.
pub fn now<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a future that does not wait was pending"),
    }
}
