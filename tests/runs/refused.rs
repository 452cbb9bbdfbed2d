//! Requests that get no event stream.

use tower_sse::Refusal;

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
            assert_eq!((rig.handler.calls(), rig.runs.stats().started), (0, 0));
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

/// A refusal can look like an event stream, but a record of it would pass for the whole answer.
#[tokio::test(start_paused = true)]
async fn refusal_of_the_service_is_passed_on_and_frees_the_key() {
    for requester in Requester::ALL {
        for refusal in [Refusal::per_client(), Refusal::retry_later()] {
            let rig = Rig::new(Runs::new());
            let first = rig.call(by(requester)).await;
            let (parts, ()) = by(requester).into_parts();
            let answer = refusal.answer(&parts);
            let (status, head) = (answer.status(), answer.headers().clone());
            rig.handler.reply(Ok(answer.map(BodyExt::boxed_unsync)));
            let mut first = first.client().await;
            assert_eq!((first.status, &first.headers), (status, &head), "{requester:?}");
            assert!(first.read().await.is_empty());
            assert_eq!(first.bytes.starts_with(b"retry: "), status == 200);
            assert_eq!(rig.runs.stats().kept, 0);

            _ = rig.call(by(requester)).await;
            assert_eq!(rig.handler.calls(), 2, "{requester:?} {refusal:?}");
        }
    }
}
