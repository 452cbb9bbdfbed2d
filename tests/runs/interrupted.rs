//! How the page of an `EventSource` learns that it has only a part of an answer. The `error` event
//! of the `EventSource` does not help, because it is the same for `404` and `204`.

use crate::*;

const INCOMPLETE: [Outcome; 3] = [Outcome::Failed, Outcome::Abandoned, Outcome::Interrupted];

#[derive(Clone, Copy, Debug, PartialEq)]
enum Around {
    Nothing,
    Layer,
    /// A layer that turns the error of a body into a last event.
    OnError,
}

const AROUND: [Around; 3] = [Around::Nothing, Around::Layer, Around::OnError];

/// A page with an `EventSource`, which reconnects until the server stops it.
struct Page {
    rig: Rig,
    around: Around,
    last: String,
    /// The data of each unnamed event, and the name of each other event. An `interrupted` event
    /// also has its data, unless that is `{}`.
    events: Vec<String>,
}

impl Page {
    async fn request(&self) -> Response<Body> {
        let request = after(&self.last, by(Requester::EventSource));
        if self.around != Around::Nothing {
            return self.rig.answer(request).await.map(BodyExt::boxed_unsync);
        }
        let (parts, ()) = request.into_parts();
        self.rig.runs.answer(&turn(), &parts).await.expect("an answer").map(BodyExt::boxed_unsync)
    }

    async fn read(&mut self, mut body: Body) {
        let mut decoder = Decoder::new();
        while let Some(Ok(frame)) = body.frame().await {
            let mut bytes = frame.into_data().unwrap();
            while let Some(message) = decoder.decode(&mut bytes).unwrap() {
                self.last = message.last_event_id.to_string();
                self.events.push(match (&*message.event, &*message.data) {
                    ("message", data) => data.to_owned(),
                    ("interrupted", data) if data != "{}" => format!("interrupted {data}"),
                    (name, _) => name.to_owned(),
                });
            }
        }
    }

    /// Reads an answer, and the answers to all reconnections. Returns the number of connections.
    async fn read_all(&mut self, mut open: Option<Response<Body>>) -> usize {
        for connections in 1..10 {
            let answer = if let Some(answer) = open.take() { answer } else { self.request().await };
            if answer.status() != 200 {
                assert_eq!(answer.status(), 204);
                return connections;
            }
            self.read(answer.into_body()).await;
        }
        panic!("nothing stops the page: {:?}", self.events);
    }
}

async fn running(around: Around) -> (Page, Feed, Client) {
    let mut rig = Rig::new(Runs::new());
    if around == Around::OnError {
        rig.layer = rig.layer.on_error(|_| Event::new().event("failed").data("no"));
    }
    let (feed, client) = rig.stream(post()).await;
    feed.data("data: a\n\ndata: b\n\n");
    settle().await;
    (Page { rig, around, last: String::new(), events: Vec::new() }, feed, client)
}

fn told(around: Around, is_open: bool) -> &'static str {
    if around == Around::OnError && is_open { "failed" } else { "interrupted" }
}

#[tokio::test(start_paused = true)]
async fn open_page_learns_once_that_its_answer_is_incomplete() {
    for (outcome, _) in RunsStats::default().ended_by_outcome() {
        for around in AROUND {
            let (mut page, feed, client) = running(around).await;
            drop(client);
            if outcome == Outcome::Abandoned {
                page.rig.end(outcome, &feed).await;
            }
            let answer = page.request().await;
            if outcome != Outcome::Abandoned {
                page.rig.end(outcome, &feed).await;
            }
            let connections = page.read_all(Some(answer)).await;
            let end: &[&str] = match outcome {
                Outcome::Completed if around != Around::Nothing => &["[DONE]"],
                Outcome::Completed | Outcome::Cancelled => &[],
                _ => &[told(around, true)],
            };
            assert_eq!(page.events, [&["a", "b"], end].concat(), "{outcome} {around:?}");
            // Without an `SseLayer`, the page gets `interrupted` only at its first reconnection.
            let is_late = INCOMPLETE.contains(&outcome) && around == Around::Nothing;
            assert_eq!(connections, 2 + usize::from(is_late), "{outcome} {around:?}");
        }
    }
}

/// In the last case, the page has received an event that the run does not have.
#[tokio::test(start_paused = true)]
async fn page_that_reconnects_learns_once_that_its_answer_is_incomplete() {
    for outcome in INCOMPLETE {
        for around in AROUND {
            for (seen, rest, is_open) in
                [(0, &["a", "b"][..], true), (1, &["b"], true), (2, &[], false), (3, &[], false)]
            {
                let (mut page, feed, mut client) = running(around).await;
                client.read().await;
                page.last = sibling(&client.last, seen);
                drop(client);
                page.rig.end(outcome, &feed).await;
                page.read_all(None).await;
                let expected = [rest, &[told(around, is_open)]].concat();
                assert_eq!(page.events, expected, "{outcome} {around:?} after {seen}");
                assert_eq!(page.last, "interrupted");
            }
        }
    }
}

/// The run's process was restarted, or another run has its key. The page may have the whole answer.
#[tokio::test(start_paused = true)]
async fn page_whose_run_is_unknown_learns_that_it_is() {
    for is_replaced in [false, true] {
        for around in AROUND {
            let (mut page, _feed, _client) = running(around).await;
            if !is_replaced {
                page.rig.runs = Runs::new();
            }
            "4fzo8gk0o2yl-7".clone_into(&mut page.last);
            assert_eq!(page.read_all(None).await, 2);
            assert_eq!(page.events, [r#"interrupted {"run":"unknown"}"#]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn page_whose_next_event_was_evicted_learns_that_its_answer_is_incomplete() {
    for around in AROUND {
        let (mut page, feed, mut client) = running(around).await;
        client.read().await;
        page.last = sibling(&client.last, 0);
        drop(client);
        for _ in 0..5 {
            feed.data(format!("data: {}\n\n", "x".repeat(500_000)));
            settle().await;
        }
        assert_eq!(page.read_all(None).await, 2);
        assert_eq!(page.events, ["interrupted"]);
    }
}

/// The run is interrupted before its first event, and no request starts it again.
#[tokio::test(start_paused = true)]
async fn page_that_only_attaches_learns_that_its_run_was_interrupted() {
    for is_early in [true, false] {
        let rig = Rig::new(Runs::new());
        let (feed, _client) = rig.stream(post()).await;
        let mut page =
            Page { rig, around: Around::Nothing, last: String::new(), events: Vec::new() };
        let answer = if is_early { Some(page.request().await) } else { None };
        page.rig.end(Outcome::Interrupted, &feed).await;
        let (parts, ()) = by(Requester::Fetch).into_parts();
        let fetched = page.rig.runs.answer(&turn(), &parts).await.unwrap();
        assert_eq!(fetched.status(), 404);
        let found = page.rig.runs.get(&turn()).await.unwrap();
        assert_eq!(found.answer(&parts).await.status(), 404);
        page.read_all(answer).await;
        assert_eq!(page.events, ["interrupted"], "{is_early}");
    }
}
