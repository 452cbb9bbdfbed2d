use std::{future::ready, mem, sync::Arc};

use futures_util::{FutureExt, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tower::{Layer, ServiceExt, service_fn};
use tower_sse::{BoxError, filter::FilterLayer};

use super::naive_filter::{Choice, Expected, OF_SOURCE, Plan, filtered};
use super::planned::{Logged, Planned, done};
use crate::*;

/// A filter sends what its verdicts say, for any stream in any chunks.
pub fn filter(data: &[u8]) {
    let Some((plan, data)) = plan(data) else { return };
    let pieces = pieces(data);
    let chunks: Vec<_> = pieces.iter().map(|piece| Bytes::copy_from_slice(piece)).collect();
    assert_eq!(run(&chunks, &plan).comparable(), filtered(&pieces.concat(), &plan).comparable());
}

/// Passes the chunks of a stream through a filter whose verdicts follow this plan.
fn run(chunks: &[Bytes], plan: &Plan) -> Expected {
    let log = Logged::default();
    let make = |_: &Request<()>| Some(Planned { plan: plan.clone(), log: Arc::clone(&log) });
    let layer = FilterLayer::new(make).max_event_size(plan.max_event_size);
    let error = plan.fails.then(|| Err(BoxError::from(OF_SOURCE)));
    let mut frames: Vec<_> =
        chunks.iter().map(|chunk| Ok(Frame::data(chunk.clone()))).chain(error).collect();
    let service = layer.layer(service_fn(|_| {
        let source = StreamBody::new(stream::iter(mem::take(&mut frames)));
        let answer = Response::builder().header("content-type", "text/event-stream").body(source);
        ready(answer)
    }));
    let answer = service.oneshot(Request::new(())).now_or_never().expect("it is ready").unwrap();
    let (mut body, mut sent, mut error) = (answer.into_body(), Vec::new(), None);
    // The body may be pending while it discards many chunks, but is then ready again.
    while let Some(frame) =
        body.frame().now_or_never().unwrap_or_else(|| Some(Ok(Frame::data(Bytes::new()))))
    {
        match frame {
            Ok(frame) => sent.extend(frame.into_data().unwrap()),
            Err(failed) => error = Some(failed.to_string()),
        }
    }
    done(&log, sent, error)
}

/// Reads a plan from the first bytes. Returns the plan and the other bytes.
fn plan(data: &[u8]) -> Option<(Plan, &[u8])> {
    let (&[mode, limit, end, count], rest) = data.split_first_chunk()?;
    let (choices, rest) = rest.split_at_checked(usize::from(count % 16))?;
    let choice = |byte: &u8| Choice::ALL[usize::from(*byte) % Choice::ALL.len()];
    // At the start, two bytes of a possible byte order mark are kept even above the limit, so
    // limits below three are not tried.
    let max_event_size = if limit == 255 { usize::MAX } else { usize::from(limit.max(3)) };
    let plan = Plan {
        events: choices.iter().map(choice).collect(),
        source_end: choice(&end),
        max_event_size,
        fails: mode & 2 == 2,
    };
    Some((plan, rest))
}
