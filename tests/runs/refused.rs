//! Requests that get no event stream.

use futures_util::stream;
use tower_sse::{Event, runs::Runs};

use crate::*;

/// Passing it on would leave the answer unrecorded, which its client would learn after a cut.
#[tokio::test(start_paused = true)]
async fn key_that_is_invalid_is_a_bad_request() {
    let long = "x".repeat(513);
    for (owner, path, text) in [
        ("ann", &*format!("/{long}"), "run name has 514 bytes, and the maximum is 512"),
        ("", "/turn", "run owner is empty"),
        (&long, "/turn", "run owner has 513 bytes, and the maximum is 512"),
    ] {
        for mut request in Requester::ALL.into_iter().flat_map(|by_| [by(by_), after("7", by(by_))])
        {
            let rig = Rig::new(Runs::new());
            *request.uri_mut() = path.parse().unwrap();
            request.headers_mut().insert("owner", owner.parse().unwrap());
            let mut client = rig.send(request).client().await;
            assert_eq!(client.status, 400, "{text}");
            assert_eq!(client.headers["content-type"], "text/plain; charset=utf-8");
            assert_eq!(client.headers["cache-control"], "no-store");
            client.read().await;
            assert_eq!(String::from_utf8(client.bytes).unwrap(), text);
            assert_eq!((rig.handler.calls(), rig.runs.stats().started()), (0, 0));
        }
    }
}

/// The run is cancelled or replaced before its call answers, or before its first event. Nothing
/// tells an empty success from an answer without words.
#[tokio::test(start_paused = true)]
async fn answer_that_was_stopped_before_its_first_event_is_no_success() {
    for requester in Requester::ALL {
        let expected = if requester == Requester::EventSource { 204 } else { 404 };
        for replaces in [false, true] {
            let rig = Rig::new(Runs::new());
            let first = rig.call(by(requester)).await;
            let mut waiting = rig.send(by(requester));
            let asking = tokio::spawn({
                let rig = rig.clone();
                async move { rig.answer(by(requester)).await.status() }
            });
            settle().await;
            if replaces {
                _ = rig.runs.replace(&turn(), None, stream::pending::<Event>).await.unwrap();
            } else {
                assert!(rig.runs.cancel(&turn(), None).await);
            }
            let first = first.client().await;
            assert_eq!(first.status, expected, "{requester:?} {replaces}");
            // Clients that only wait get the new run.
            let waiting = waiting.now().await.expect("an answer").unwrap();
            assert_eq!(waiting.status(), if replaces { 200 } else { expected });
            assert_eq!(asking.await.unwrap(), if replaces { 418 } else { expected });
        }
        let runs = Runs::new();
        let run = runs.start(&turn(), None, stream::pending::<Event>).await.unwrap();
        run.cancel().await;
        let rig = Rig::new(runs);
        assert_eq!(Client::new(rig.answer(by(requester)).await).status, expected);
    }
}
