//! Closing thousands of streams of one subject except some, while others open and leave.

use std::sync::Barrier;

use tower_sse::streams::Streams;

use super::rig::now;
use crate::*;

/// Several times as many as a close visits at a time.
const STREAMS: usize = 5_000;

type Body = SseBody<EventBody<stream::Pending<Event>>>;

fn layer(streams: &Streams) -> SseLayer {
    SseLayer::new().without_heartbeat().streams(streams)
}

/// Returns a request whose subjects were taken now. Every tenth one is kept.
fn request(streams: &Streams, number: usize) -> Request<()> {
    let mut request = Requester::EventSource.request("/");
    let subjects = streams.subjects_of(&mut request);
    subjects.add("user:42");
    if is_kept(number) {
        subjects.add("session:kept");
    }
    request
}

const fn is_kept(number: usize) -> bool {
    number.is_multiple_of(10)
}

fn open(layer: &SseLayer, request: Request<()>) -> Body {
    answer_to(request, layer, tower_sse::response(stream::pending::<Event>())).into_body()
}

fn assert_ended_except_kept(bodies: &mut [(usize, Body)]) {
    for (number, body) in bodies {
        let expected = if is_kept(*number) { Polled::Pending } else { Polled::End };
        assert_eq!(poll_frame(body), expected, "stream {number}");
    }
}

#[tokio::test(start_paused = true)]
async fn all_but_the_kept_streams_end() {
    let streams = Streams::new();
    let layer = layer(&streams);
    let mut bodies: Vec<_> =
        (0..STREAMS).map(|number| (number, open(&layer, request(&streams, number)))).collect();
    assert_eq!(now(streams.close_except("user:42", "session:kept")), STREAMS - STREAMS / 10);
    assert_eq!(streams.count("user:42"), STREAMS / 10);
    assert_ended_except_kept(&mut bodies);
    assert_eq!(now(streams.close_except("user:42", "session:kept")), 0);
    assert_eq!(now(streams.close_except("user:42", "another")), STREAMS / 10);
    assert_eq!(streams.subjects(), []);
}

#[tokio::test(start_paused = true)]
async fn all_but_the_kept_streams_end_while_others_open_and_leave() {
    for _ in 0..8 {
        let streams = Streams::new();
        let layer = layer(&streams);
        let (mut stay, mut leave) = (Vec::new(), Vec::new());
        for number in 0..STREAMS {
            let body = open(&layer, request(&streams, number));
            // So that streams leave at positions all over the list.
            if number % 7 < 3 { leave.push(body) } else { stay.push((number, body)) }
        }
        // These requests arrive before the close, and are answered during or after it.
        let early: Vec<_> =
            (0..STREAMS / 10).map(|number| (number, request(&streams, number))).collect();
        let start = Barrier::new(3);
        let (mut early, mut late) = thread::scope(|threads| {
            threads.spawn(|| {
                start.wait();
                drop(leave);
            });
            let opener = threads.spawn(|| {
                start.wait();
                let early = early.into_iter().map(|(number, early)| (number, open(&layer, early)));
                let early: Vec<_> = early.collect();
                let late = (0..STREAMS / 10).map(|number| open(&layer, request(&streams, number)));
                (early, late.collect::<Vec<_>>())
            });
            start.wait();
            now(streams.close_except("user:42", "session:kept"));
            opener.join().unwrap()
        });
        assert_ended_except_kept(&mut stay);
        assert_ended_except_kept(&mut early);
        let is_open = |body: &mut Body| poll_frame(body) == Polled::Pending;
        let kept = stay.iter().chain(&early).filter(|(number, _)| is_kept(*number)).count();
        let late_open = late.iter_mut().filter_map(|body| is_open(body).then_some(())).count();
        assert_eq!(streams.count("user:42"), kept + late_open);
        drop((stay, early, late));
        assert_eq!(streams.subjects(), []);
    }
}
