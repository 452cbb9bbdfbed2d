//! Requests that get no event stream.

use crate::*;

/// If the service answered the request, the answer would not be recorded, which the client would
/// learn only after a cut.
#[tokio::test(start_paused = true)]
async fn key_that_is_invalid_is_a_bad_request() {
    let long = "x".repeat(513);
    for (owner, path, text) in [
        ("ann", &*format!("/{long}"), "run name has 514 bytes, not 1 to 512"),
        ("", "/turn", "run owner has 0 bytes, not 1 to 512"),
        (&long, "/turn", "run owner has 513 bytes, not 1 to 512"),
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

/// The run is cancelled or replaced before its call answers, or before its first event. A client
/// could not tell an empty success from an answer without words.
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
            // If the run is replaced, a request that waits in the layer gets the new run, and
            // `Runs::answer` returns `None`.
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
            let events = first.read().await;
            assert_eq!(!events.is_empty(), requester == Requester::Library, "{events:?}");
            assert_eq!(first.bytes.starts_with(b"retry: "), status == 200);
            assert_eq!(rig.runs.stats().kept, 0);

            _ = rig.call(by(requester)).await;
            assert_eq!(rig.handler.calls(), 2, "{requester:?} {refusal:?}");
        }
    }
}

/// The request's headers can hide the kind of client, for example behind a proxy.
#[tokio::test(start_paused = true)]
async fn refusal_by_the_service_suits_the_kind_that_is_set() {
    for (sender, kind, status) in [
        (Requester::Get, ClientKind::EventSource, 200),
        (Requester::EventSource, ClientKind::Other, 503),
    ] {
        for is_in_request in [false, true] {
            let (mut rig, mut request) = (Rig::new(Runs::new()), by(sender));
            let options = StreamOptions::new().client_kind(kind);
            if is_in_request {
                options.merge_into_extensions(request.extensions_mut());
            } else {
                rig.layer = rig.layer.options(options);
            }
            let pending = rig.call(request).await;
            let (mut parts, ()) = by(sender).into_parts();
            parts.extensions = rig.handler.extensions();
            let answer = Refusal::per_client().answer(&parts);
            rig.handler.reply(Ok(answer.map(BodyExt::boxed_unsync)));
            let client = pending.client().await;
            assert_eq!(client.status, status, "{kind:?}, in the request: {is_in_request}");
        }
    }
}

// A client that is not the owner learns nothing, not even that there is a run.

const METHODS: [&str; 8] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "PROPFIND"];

fn stranger(method: &str, id: Option<&str>) -> Request<()> {
    let mut request = post();
    *request.method_mut() = method.parse().unwrap();
    request.headers_mut().insert("owner", "bob".parse().unwrap());
    match id {
        Some(id) => after(id, request),
        None => request,
    }
}

/// Returns what a stranger gets through the layer and by `answer`, whether it can cancel the run,
/// and how many calls it makes.
async fn probe(rig: &Rig, method: &str, id: Option<&str>) -> String {
    let calls = rig.handler.calls();
    let mut pending = rig.send(stranger(method, id));
    let layered = match pending.now().await {
        Some(answer) => answer.unwrap(),
        None => {
            // The request waits for a call of its own.
            rig.handler.reply_newest_with_json();
            pending.answer().await
        }
    };
    let mut described = Vec::new();
    for answer in [layered, rig.answer(stranger(method, id)).await] {
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        described.push(format!("{:?} {:?} {body:?}", parts.status, parts.headers));
    }
    let stopped = rig.runs.cancel(&key(&stranger(method, id)).unwrap().unwrap(), None).await;
    format!("{described:?} {stopped} {}", rig.handler.calls() - calls)
}

#[tokio::test(start_paused = true)]
async fn stranger_with_name_and_id_gets_what_an_unknown_run_gives() {
    for (state, outcome) in [
        ("starting", None),
        ("running", None),
        ("completed", Some(Outcome::Completed)),
        ("failed", Some(Outcome::Failed)),
        ("cancelled", Some(Outcome::Cancelled)),
        ("abandoned", Some(Outcome::Abandoned)),
    ] {
        let rig = Rig::new(Runs::new());
        let first = rig.call(post()).await;
        let mut ids = vec![None];
        if state != "starting" {
            let feed = rig.handler.stream();
            let mut client = first.client().await;
            feed.data("data: secret\n\ndata: more\n\n");
            client.read().await;
            ids.extend([1, 2].map(|n| Some(sibling(&client.last, n))));
            // The client stays, unless the run is to be abandoned.
            let client = (outcome != Some(Outcome::Abandoned)).then_some(client);
            if let Some(outcome) = outcome {
                rig.end(outcome, &feed).await;
            }
            std::mem::forget(client);
        }
        for method in METHODS {
            for id in &ids {
                let unknown = Rig::new(Runs::new());
                let expected = probe(&unknown, method, id.as_deref()).await;
                let got = probe(&rig, method, id.as_deref()).await;
                assert_eq!(got, expected, "{state} {method} {id:?}");
            }
        }
    }
}
