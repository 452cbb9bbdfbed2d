//! What upstreams send to keep a stream open, which clients take for an event, and a filter that
//! the page on filters shows.

use axum::routing::post;

use crate::*;

/// What axum, OpenRouter and llama.cpp send between events, and a reconnection time. No client may
/// see them as events.
const BLOCKS: [&str; 4] =
    [":\n\n", ": OPENROUTER PROCESSING\n\n", ": ping\r\n\r\n", "retry: 1000\n\n"];
/// Events without data, which a browser doesn't dispatch. Clients of language models do.
const WITHOUT_DATA: [&str; 2] = ["event: ping\n\n", "id: 7\n\n"];
/// An event of Vertex AI, which is not JSON.
const OF_VERTEX: [&str; 1] = ["data: : keepalive\n\n"];

const WORDS: usize = 12;

/// An answer that has one of the blocks in front of each chunk. A reconnection time comes only
/// once.
fn upstream(blocks: Vec<&'static str>) -> Response {
    let chunk = move |at: usize| {
        let delta = json!({ "index": 0, "delta": { "content": format!("{at} ") } });
        let chunk = json!({ "id": "c", "object": "chat.completion.chunk", "choices": [delta] });
        let block = blocks[at % blocks.len()];
        let block = if block.starts_with("retry") && at >= blocks.len() { "" } else { block };
        [block.to_owned(), format!("id: {at}\ndata: {chunk}\n\n")]
    };
    let frames = (0..WORDS).flat_map(chunk).chain(["data: [DONE]\n\n".to_owned()]);
    let body = Body::from_stream(stream::iter(frames).then(async |frame| {
        // Each block is a frame of its own.
        tokio::task::yield_now().await;
        Ok::<_, Infallible>(frame)
    }));
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

async fn serve() -> String {
    let runs = Runs::new();
    let all = || [&BLOCKS[..], &WITHOUT_DATA, &OF_VERTEX].concat();
    let answer = |blocks: Vec<&'static str>| post(async move || upstream(blocks));
    let pass = FilterLayer::new(|_: &Request| Some(filter::from_fn(|_| Verdict::Pass)));
    let drops = FilterLayer::new(|_: &Request| {
        let without_keep_alives =
            filter::from_fn(|event| match event.data().starts_with(':') || !event.has_data() {
                true => Verdict::Drop,
                false => Verdict::Pass,
            });
        Some(without_keep_alives)
    });
    let run = runs.layer(|_: &Request| Some(RunKey::new("ann", "answer")));
    let app = Router::new()
        .route("/bytes/chat/completions", answer(BLOCKS.to_vec()))
        .route("/passed/chat/completions", answer(BLOCKS.to_vec()).layer(pass))
        .route("/filtered/chat/completions", answer(all()).layer(drops))
        .route("/run/chat/completions", answer([&BLOCKS[..], &WITHOUT_DATA].concat()).layer(run))
        .layer(SseLayer::new());
    format!("http://{}", serve_axum(app).await)
}

/// Returns the text that a client receives, and how its answer ends.
async fn ask(client: Option<Client>) -> Option<(String, String)> {
    let mut client = client?;
    let end = client.end().await;
    Some((client.text, end))
}

#[tokio::test]
async fn keep_alives_of_an_upstream_are_no_events_for_openai() {
    let (url, whole) = (serve().await, (0..WORDS).map(|at| format!("{at} ")).collect::<String>());
    for way in ["bytes", "passed", "filtered", "run"] {
        let url = format!("{url}/{way}");
        let node = Client::node(Packages::Few, "openai", "openai.mjs", &[&url]);
        let python = Client::few_python("openai", "openai_client.py", &[&url]);
        for (name, client) in [("npm", node), ("PyPI", python)] {
            let Some((text, end)) = ask(client).await else { continue };
            if (way, name) == ("bytes", "PyPI") {
                // The trap is still there.
                assert_ne!(text, whole);
                assert!(end.starts_with("JSONDecodeError"), "{end}");
                continue;
            }
            assert_eq!((text, &*end), (whole.clone(), "complete"), "{way}, {name}");
        }
    }
}
