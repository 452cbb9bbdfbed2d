//! Events and frames of sizes beyond every constant of the code, from bodies of this crate and of
//! others, through a filter, the layer or both: a client receives each event as its source made it.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use tokio::task::coop::unconstrained;
use tower_sse::{decode::MessageStream, event::Encoded};

use crate::naive::{Seen, normalized, seen};
use crate::rig::{PASS, call, filters};
use crate::support::{SECOND, case, event_stream, under_a_paused_clock};
use crate::*;

type AnyBody = UnsyncBoxBody<Bytes, BoxError>;

/// An event, and what a client receives of it.
type Step = (Event, Option<Seen>);

/// Returns a length of up to half a megabyte. Each order of magnitude is as likely as the others.
fn length(random: &mut fastrand::Rng) -> usize {
    let bits = random.u32(..20);
    random.usize(..1 << bits)
}

fn text(random: &mut fastrand::Rng, len: usize) -> String {
    // More lines would be longer than a client accepts.
    let line = (1 + length(random)).max(len / 1_000);
    let letters = (0..len).map(|at| match at % line {
        0 if at > 0 => '\n',
        place => char::from(b'a' + (place % 26) as u8),
    });
    letters.collect()
}

fn step(random: &mut fastrand::Rng) -> Step {
    let len = length(random);
    let data = text(random, len);
    let mut event = Event::new();
    let mut name = "message".to_owned();
    if random.u8(..4) == 0 {
        name = "n".repeat(1 + random.usize(..600));
        event = event.try_event(name.clone()).unwrap();
    }
    if random.u8(..4) == 0 {
        let comment = length(random) / 4;
        event = event.comment(text(random, comment));
    }
    if random.u8(..6) == 0 {
        return (event, None);
    }
    (event.data(data.clone()), Some((name, normalized(&data), String::new())))
}

/// Pauses before some items, so that events come alone or together.
fn paused<T: Send + 'static>(
    items: Vec<T>,
    random: &mut fastrand::Rng,
) -> impl Stream<Item = T> + Send + use<T> {
    let likely = random.u8(..4);
    let pauses: Vec<_> = items.iter().map(|_| random.u8(..4) < likely).collect();
    stream::iter(items.into_iter().zip(pauses)).then(|(item, pauses)| async move {
        if pauses {
            yield_now().await;
        }
        item
    })
}

/// Returns the same bytes in frames of any size.
fn foreign(events: Vec<Event>, random: &mut fastrand::Rng) -> AnyBody {
    let bytes: Encoded = events.into_iter().collect();
    let mut rest = Bytes::from(bytes);
    let mut frames = Vec::new();
    while !rest.is_empty() {
        frames.push(rest.split_to(rest.len().min(1 + length(random))));
    }
    let frames = paused(frames, random).map(|data| Ok::<_, BoxError>(Frame::data(data)));
    StreamBody::new(frames).boxed_unsync()
}

fn own<T>(items: Vec<T>, random: &mut fastrand::Rng) -> AnyBody
where
    T: Send + 'static,
    EventBody<stream::BoxStream<'static, T>>: http_body::Body<Data = Bytes, Error: Into<BoxError>>,
{
    EventBody::new(paused(items, random).boxed()).map_err(Into::into).boxed_unsync()
}

/// Returns a body, and what a client receives of it.
fn source(random: &mut fastrand::Rng) -> (AnyBody, Vec<Seen>) {
    let bits = random.u32(..8);
    let count = 1 + random.usize(..1 << bits);
    if cfg!(feature = "json") && random.u8(..4) == 0 {
        return jsons(random, count.min(40));
    }
    let (mut steps, mut left) = (Vec::new(), 3 << 20);
    match random.u8(..6) {
        0..3 => {
            let len = length(random);
            steps.push((Event::new().comment(text(random, len)), None));
        }
        3 => steps.extend((0..random.usize(..10_000)).map(|_| (Event::new(), None))),
        _ => {}
    }
    for _ in 0..count {
        if left < 0 {
            break;
        }
        let step = step(random);
        left -= step.1.as_ref().map_or(0, |seen| seen.1.len()) as i64;
        steps.push(step);
    }
    let (events, seen): (Vec<_>, Vec<_>) = steps.into_iter().unzip();
    let body = match random.u8(..3) {
        0 => own(events, random),
        1 => own(events.into_iter().map(Encoded::from).collect(), random),
        _ => foreign(events, random),
    };
    (body, seen.into_iter().flatten().collect())
}

#[cfg(feature = "json")]
fn jsons(random: &mut fastrand::Rng, count: usize) -> (AnyBody, Vec<Seen>) {
    let texts: Vec<_> = (0..count).map(|_| "j".repeat(length(random) / 4)).collect();
    let seen = texts.iter().map(|it| ("message".to_owned(), format!("\"{it}\""), String::new()));
    let seen = seen.collect();
    (own(texts.into_iter().map(tower_sse::Json::new).collect(), random), seen)
}

#[cfg(not(feature = "json"))]
fn jsons(random: &mut fastrand::Rng, _: usize) -> (AnyBody, Vec<Seen>) {
    source(random)
}

async fn filtered(body: AnyBody, is_held: bool) -> AnyBody {
    let (layer, _log) = filters(PASS);
    let layer = if is_held { layer.hold_head(60 * SECOND) } else { layer };
    let answer = call(&layer, Request::new(()), ready(Ok(event_stream(body)))).await.unwrap();
    answer.into_body().map_err(Into::into).boxed_unsync()
}

fn layered(body: AnyBody) -> AnyBody {
    let layer = SseLayer::new().without_retry();
    support::through(&layer, event_stream(body)).into_body().map_err(Into::into).boxed_unsync()
}

#[test]
fn events_of_any_size_arrive_in_frames_of_any_size() {
    let mut bytes = 0;
    // `.ci/slow properties` tries others.
    let first = std::env::var("TOWER_SSE_FIRST_SEED").map_or(0, |first| first.parse().unwrap());
    for seed in first..first + 90 {
        let _case = case(seed.to_string());
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut body, expected) = source(&mut random);
        let (is_filtered, is_held, is_layered) = (random.bool(), random.bool(), random.bool());
        let received = async {
            if is_filtered {
                body = filtered(body, is_held).await;
            }
            if is_layered {
                body = layered(body);
            }
            let messages = MessageStream::new(body);
            messages.map(|message| seen(message.unwrap())).collect().await
        };
        // Only tokio's tasks have a budget.
        let received: Vec<_> = match seed % 3 {
            0 => under_a_paused_clock(unconstrained(received)),
            _ => under_a_paused_clock(received),
        };
        assert_eq!(received.len(), expected.len());
        for (received, expected) in received.iter().zip(&expected) {
            assert!(received == expected, "{} bytes", expected.1.len());
            bytes += expected.1.len();
        }
    }
    assert!(bytes > 10 << 20, "{bytes} bytes");
}
