//! A client that is not the owner learns nothing, not even that there is a run.

use crate::*;

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

/// All that the client sees of an answer.
async fn described(answer: Answer) -> (http::response::Parts, bytes::Bytes) {
    let (parts, body) = answer.into_parts();
    (parts, body.collect().await.unwrap().to_bytes())
}

/// What a stranger gets through the layer and by `answer`, and how often it reached the service.
async fn probe(rig: &Rig, method: &str, id: Option<&str>) -> String {
    let calls = rig.handler.calls();
    let mut pending = rig.send(stranger(method, id));
    let layered = match pending.now().await {
        Some(answer) => answer.unwrap(),
        None => {
            // It waits for a call of its own.
            rig.handler.reply_newest_with_json();
            pending.answer().await
        }
    };
    let mut described_all = Vec::new();
    for answer in [layered, rig.answer(stranger(method, id)).await] {
        let (parts, body) = described(answer).await;
        described_all.push(format!("{:?} {:?} {body:?}", parts.status, parts.headers));
    }
    let stopped = rig.runs.cancel(&key(&stranger(method, id)).unwrap().unwrap(), None).await;
    format!("{described_all:?} {stopped} {}", rig.handler.calls() - calls)
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
            let (epoch, _) = client.last.split_once('-').unwrap();
            ids.extend([1, 2].map(|n| Some(format!("{epoch}-{n}"))));
            // It stays, unless the run is abandoned.
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
