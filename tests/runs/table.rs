//! The table of answers, cell by cell.

use crate::*;

/// What a client got: the status, the events, and how the body ended if it did.
type Got = (u16, Vec<String>, Option<End>);

fn got(status: u16, events: &[&str], end: impl Into<Option<End>>) -> Got {
    (status, events.iter().map(|event| (*event).to_owned()).collect(), end.into())
}

async fn read(mut client: Client) -> Got {
    let read = client.read().await;
    if matches!(client.status.as_u16(), 204 | 404) {
        assert_eq!(client.headers["cache-control"], "no-store");
    }
    (client.status.as_u16(), read, client.end)
}

/// Sends a request with an id, and asserts that the layer answers like handlers that start or
/// replace the run.
async fn repeat(rig: &Rig, request: Request<()>) -> Got {
    let got = read(rig.send(request.clone()).client().await).await;
    for handler in Handler::ALL {
        let client = handler.repeat(rig, request.clone()).await;
        assert_eq!(read(client).await, got, "{handler:?}");
    }
    got
}

/// Like [`repeat`], and asserts the same of a handler that only uses `answer`.
async fn ask_all(rig: &Rig, request: Request<()>) -> Got {
    let got = repeat(rig, request.clone()).await;
    assert_eq!(read(Client::new(rig.answer(request).await)).await, got);
    got
}

async fn running() -> (Rig, Feed, Client, String) {
    let (rig, feed, mut first) = Rig::new(Runs::new()).running().await;
    let id = first.last.clone();
    feed.data("data: b\n\n");
    assert_eq!(first.read().await, ["b"]);
    (rig, feed, first, id)
}

/// Returns a rig with a run of two events that ended with `outcome`, and the ids of its first and
/// of its last event.
async fn ended(outcome: Outcome) -> (Rig, String, String) {
    let (rig, feed, client, first) = running().await;
    let last = client.last.clone();
    let _client = (outcome != Outcome::Abandoned).then_some(client);
    rig.end(outcome, &feed).await;
    (rig, first, last)
}

const OUTCOMES: [Outcome; 5] = [
    Outcome::Completed,
    Outcome::Failed,
    Outcome::Cancelled,
    Outcome::Abandoned,
    Outcome::Interrupted,
];

/// What an `EventSource` whose answer is incomplete receives.
const TOLD: &str = "<interrupted>";

/// Returns the last events of an attachment after this outcome, and how its body ends.
fn end_of(outcome: Outcome, requester: Requester) -> (&'static [&'static str], End) {
    match (outcome, requester) {
        (Outcome::Completed, _) => (&["[DONE]"], End::Clean),
        (Outcome::Cancelled, _) => (&[], End::Clean),
        (_, Requester::EventSource) => (&[TOLD], End::Clean),
        _ => (&[], End::Failed),
    }
}

/// Returns what a client gets with an id that cannot be resumed.
fn not_found(requester: Requester, id: &str) -> Got {
    // The id is of the run but of no event that it has, or nothing is known of the id.
    let event = if id.ends_with("-99") { TOLD } else { r#"{"run":"unknown"}"# };
    match requester {
        Requester::EventSource => got(200, &[event], End::Clean),
        _ => got(404, &[], End::Clean),
    }
}

fn ids(own: &str) -> [String; 4] {
    let own = sibling(own, 0);
    ["nonsense".into(), "4fzo8gk0o2yl-1".into(), sibling(&own, 99), format!("{own}07")]
}

#[tokio::test(start_paused = true)]
async fn unknown_run_calls_the_service_only_without_an_id() {
    let rig = Rig::new(Runs::new());
    for requester in Requester::ALL {
        let answer = repeat(&rig, after("4fzo8gk0o2yl-1", by(requester))).await;
        assert_eq!(answer, not_found(requester, ""), "{requester:?}");
        let answer = Client::new(rig.answer(by(requester)).await);
        assert_eq!(answer.status, 418, "{requester:?}");
        let answer = Client::new(rig.answer(after("4fzo8gk0o2yl-1", by(requester))).await);
        let expected = if requester == Requester::EventSource { 200 } else { 418 };
        assert_eq!(answer.status, expected, "{requester:?}");
    }
    assert_eq!(rig.handler.calls(), 0);
    let mut first = rig.send(post());
    assert!(first.now().await.is_none());
    assert_eq!(rig.handler.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn starting_run_lets_clients_wait_but_for_those_with_an_id() {
    for requester in Requester::ALL {
        let rig = Rig::new(Runs::new());
        let first = rig.send(post());
        let mut second = rig.send(by(requester));
        assert!(second.now().await.is_none(), "{requester:?}");
        let third = tokio::spawn({
            let rig = rig.clone();
            async move { rig.answer(by(requester)).await }
        });
        for request in [after("4fzo8gk0o2yl-1", by(requester)), after("7", by(requester))] {
            assert_eq!(ask_all(&rig, request).await, not_found(requester, ""), "{requester:?}");
        }
        assert!(!third.is_finished());
        let feed = rig.handler.stream();
        feed.data("data: a\n\n");
        feed.end();
        for client in
            [first.client().await, second.client().await, Client::new(third.await.unwrap())]
        {
            assert_eq!(read(client).await, got(200, &["a", "[DONE]"], End::Clean));
        }
        assert_eq!(rig.handler.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn running_run_continues_after_the_id() {
    for requester in Requester::ALL {
        let (rig, feed, mut first, id) = running().await;
        let last = first.last.clone();
        for (request, expected) in [
            (by(requester), &["a", "b"][..]),
            (after(&sibling(&id, 0), by(requester)), &["a", "b"]),
            (after(&id, by(requester)), &["b"]),
            (after(&last, by(requester)), &[]),
        ] {
            let client = rig.send(request.clone()).client().await;
            assert_eq!(read(client).await, got(200, expected, None), "{requester:?}");
            if request.headers().contains_key("last-event-id") {
                let repeated = repeat(&rig, request.clone()).await;
                assert_eq!(repeated, got(200, expected, None), "{requester:?}");
            }
            let client = Client::new(rig.answer(request).await);
            assert_eq!(read(client).await, got(200, expected, None), "{requester:?}");
        }
        for unknown in ids(&id) {
            let answer = ask_all(&rig, after(&unknown, by(requester))).await;
            assert_eq!(answer, not_found(requester, &unknown), "{unknown}");
        }
        let late = rig.send(after(&last, by(requester))).client().await;
        feed.data("data: c\n\n");
        feed.end();
        assert_eq!(read(late).await, got(200, &["c", "[DONE]"], End::Clean), "{requester:?}");
        assert_eq!(first.read().await, ["c", "[DONE]"]);
        assert_eq!(rig.handler.calls(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn ended_run_sends_the_rest_and_then_what_stops_the_client() {
    for outcome in OUTCOMES {
        let (rig, id, last) = ended(outcome).await;
        for requester in Requester::ALL {
            let (tail, end) = end_of(outcome, requester);
            let rest = got(200, &[&["b"], tail].concat(), end);
            let nothing = match (requester, outcome) {
                (
                    Requester::EventSource | Requester::Library,
                    Outcome::Completed | Outcome::Cancelled,
                ) => got(204, &[], End::Clean),
                (Requester::EventSource, _) => got(200, &[TOLD], End::Clean),
                (_, Outcome::Completed | Outcome::Cancelled) => got(200, tail, End::Clean),
                _ => got(404, &[], End::Clean),
            };
            for (id, expected) in [(&id, &rest), (&last, &nothing)] {
                let label = format!("{outcome:?} {requester:?} {id}");
                assert_eq!(&ask_all(&rig, after(id, by(requester))).await, expected, "{label}");
            }
            for unknown in ids(&id) {
                let answer = repeat(&rig, after(&unknown, by(requester))).await;
                assert_eq!(answer, not_found(requester, &unknown), "{outcome:?} {unknown}");
            }
            let whole = got(200, &[&["a", "b"], tail].concat(), end);
            let client = Client::new(rig.answer(by(requester)).await);
            assert_eq!(read(client).await, whole, "{outcome:?} {requester:?}");
        }
        assert_eq!(rig.handler.calls(), 1, "{outcome:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn request_without_an_id_replays_a_completed_run_and_retries_any_other() {
    for outcome in [Outcome::Failed, Outcome::Cancelled, Outcome::Abandoned] {
        let (rig, id, _) = ended(outcome).await;
        let mut again = rig.send(post());
        assert!(again.now().await.is_none(), "{outcome:?}");
        assert_eq!(rig.handler.calls(), 2, "{outcome:?}");
        let stale = repeat(&rig, after(&id, post())).await;
        assert_eq!(stale, got(404, &[], End::Clean), "before the call has answered");
        rig.handler.stream().data("data: new\n\n");
        let mut again = again.client().await;
        assert_eq!(again.read().await, ["new"], "{outcome:?}");
        let stale = rig.send(after(&id, post())).client().await;
        assert_eq!(stale.status, 404, "an id of the run before");
    }
    let (rig, _, _) = ended(Outcome::Completed).await;
    let client = rig.send(post()).client().await;
    assert_eq!(read(client).await, got(200, &["a", "b", "[DONE]"], End::Clean));
    assert_eq!(rig.handler.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn request_without_an_id_is_refused_during_a_shutdown() {
    let (rig, _, _) = ended(Outcome::Interrupted).await;
    for requester in Requester::ALL {
        let client = rig.send(by(requester)).client().await;
        let (status, header, expected) = match requester {
            Requester::EventSource => (200, "content-type", &[][..]),
            Requester::Library => (200, "content-type", &["<retry>"][..]),
            _ => (503, "retry-after", &[][..]),
        };
        assert_eq!(client.status, status, "{requester:?}");
        assert!(client.headers.contains_key(header), "{requester:?}");
        let mut client = client;
        assert_eq!(client.read().await, expected);
        assert_eq!(client.bytes.starts_with(b"retry: "), status == 200);
    }
    assert_eq!(rig.handler.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn run_without_events_stops_an_event_source() {
    let rig = Rig::new(Runs::new());
    let first = rig.call(by(Requester::EventSource)).await;
    rig.handler.stream().end();
    assert_eq!(read(first.client().await).await, got(200, &["[DONE]"], End::Clean));
    // Without a `204`, the `EventSource` would reconnect forever, as it has no id.
    let again = rig.send(by(Requester::EventSource)).client().await;
    assert_eq!(read(again).await, got(204, &[], End::Clean));
    let other = rig.send(post()).client().await;
    assert_eq!(read(other).await, got(200, &["[DONE]"], End::Clean));
}

#[tokio::test(start_paused = true)]
async fn run_is_unknown_after_its_retention() {
    let (rig, id, _) = ended(Outcome::Completed).await;
    tokio::time::advance(Duration::from_secs(299)).await;
    assert_eq!(rig.send(after(&id, post())).client().await.status, 200);
    tokio::time::advance(Duration::from_secs(2)).await;
    settle().await;
    assert_eq!(rig.runs.stats().kept, 0);
    assert_eq!(rig.runs.stats().memory, 0);
    assert_eq!(rig.send(after(&id, post())).client().await.status, 404);
    let mut again = rig.send(post());
    assert!(again.now().await.is_none());
    assert_eq!(rig.handler.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn methods_without_an_answer_pass() {
    let (rig, _, _, id) = running().await;
    for method in ["HEAD", "OPTIONS"] {
        for mut request in [post(), after(&id, post())] {
            *request.method_mut() = method.parse().unwrap();
            let calls = rig.handler.calls();
            let pending = rig.call(request).await;
            assert_eq!(rig.handler.calls(), calls + 1, "{method}");
            rig.handler.json();
            assert_eq!(pending.answer().await.headers()["content-type"], "application/json");
        }
    }
    let without_key = Request::post("/turn").body(()).unwrap();
    let calls = rig.handler.calls();
    let pending = rig.call(after(&id, without_key)).await;
    assert_eq!(rig.handler.calls(), calls + 1);
    rig.handler.json();
    _ = pending.answer().await;
}

// Clients that reconnect by repeating their `POST`, whose handler starts or replaces the run.

#[derive(Clone, Copy, Debug)]
pub(crate) enum Handler {
    Starts,
    Replaces,
}

impl Handler {
    pub(crate) const ALL: [Self; 2] = [Self::Starts, Self::Replaces];

    pub(crate) async fn ask<S>(
        self,
        rig: &Rig,
        request: Request<()>,
        source: impl FnOnce() -> S,
    ) -> Client
    where
        S: Stream<Item = Event> + Send + 'static,
    {
        let key = key(&request).unwrap().unwrap();
        let (parts, ()) = request.into_parts();
        let run = match self {
            Self::Starts => rig.runs.start(&key, &parts, source).await,
            Self::Replaces => rig.runs.replace(&key, &parts, source).await,
        };
        let answer = match run {
            Ok(run) => run.answer(&parts).await,
            Err(error) => error.answer(&parts),
        };
        let answer = answer.map(BodyExt::boxed_unsync);
        Client::new(rig.pass(Request::from_parts(parts, ()), answer).await)
    }

    /// Sends a request that must not call its source.
    pub(crate) async fn repeat(self, rig: &Rig, request: Request<()>) -> Client {
        self.ask(rig, request, || -> stream::Pending<Event> { panic!("the source was called") })
            .await
    }
}

fn two_events() -> impl Stream<Item = Event> + Send + 'static {
    stream::iter(["a", "b"].map(Event::from)).chain(stream::pending())
}

/// The id is of the earlier run, so the client asks for an answer that is no longer there.
#[tokio::test(start_paused = true)]
async fn repeated_post_of_an_earlier_turn_leaves_the_current_one_alone() {
    let rig = Rig::new(Runs::new());
    let mut earlier = Handler::Replaces.ask(&rig, post(), two_events).await;
    assert_eq!(earlier.read().await, ["a", "b"]);
    let mut current = Handler::Replaces.ask(&rig, post(), two_events).await;
    assert_eq!((earlier.read().await, earlier.end), (vec![], Some(End::Clean)));
    for handler in Handler::ALL {
        let stale = handler.repeat(&rig, after(&earlier.last, post())).await;
        assert_eq!(stale.status, 404, "{handler:?}");
    }
    assert_eq!((current.read().await, current.end), (vec!["a".into(), "b".into()], None));
    assert_eq!(ended_as(&rig.runs.stats(), Outcome::Cancelled), 1);
}

#[tokio::test(start_paused = true)]
async fn id_of_a_process_before_starts_nothing() {
    let runs = Runs::builder().max_running(1).build();
    let (parts, ()) = after("4fzo8gk0o2yl-1", post()).into_parts();
    let source = || -> stream::Pending<Event> { panic!("the source was called") };
    assert_eq!(runs.start(&turn(), &parts, source).await.unwrap_err(), StartError::NotFound);
    assert_eq!(runs.replace(&turn(), &parts, source).await.unwrap_err(), StartError::NotFound);
    let call = || -> Ready<Result<stream::Pending<Event>, ()>> { panic!("called") };
    assert_eq!(runs.start_with(&turn(), &parts, call).await.unwrap_err(), StartError::NotFound);
    // Neither a limit nor a shutdown changes the `404` to a refusal, after which the client would
    // retry.
    let other = RunKey::new("ann", "/other").unwrap();
    _ = runs.start(&other, None, two_events).await.unwrap();
    assert_eq!(runs.start(&turn(), &parts, source).await.unwrap_err(), StartError::NotFound);
    runs.drain(std::time::Duration::ZERO).await;
    assert_eq!(runs.replace(&turn(), &parts, source).await.unwrap_err(), StartError::NotFound);
    assert_eq!((runs.stats().started, runs.stats().refused), (1, 0));
}

/// An outer layer may have read the id from the query.
#[tokio::test(start_paused = true)]
async fn id_in_the_extensions_counts_and_an_empty_one_does_not() {
    let rig = Rig::new(Runs::new());
    let mut first = Handler::Replaces.ask(&rig, post(), two_events).await;
    assert_eq!(first.read().await, ["a", "b"]);
    let mut request = post();
    let id = LastEventId::try_from(sibling(&first.last, 1)).unwrap();
    request.extensions_mut().insert(id);
    assert_eq!(Handler::Replaces.repeat(&rig, request).await.read().await, ["b"]);
    let mut request = after("", by(Requester::Get));
    request.extensions_mut().insert(LastEventId::default());
    let mut anew = Handler::Replaces.ask(&rig, request, two_events).await;
    assert_eq!(anew.read().await, ["a", "b"]);
    settle().await;
    assert_eq!((first.read().await, first.end), (vec![], Some(End::Clean)));
}
