//! A gateway that changes the events of model streams, with every kind of line end, cut at each
//! byte of a line end. Real clients read as much, and as early, as without the gateway.

use crate::*;

const HEARTBEAT: Duration = Duration::from_millis(10);
const WORDS: usize = 30;
/// The number of words after which the upstream waits until the client has most of them.
const BEFORE_THE_WAIT: usize = 20;
/// Two words less, because clients that wait for the byte after a CR get events late.
const EXPECTED_BY_THEN: usize = BEFORE_THE_WAIT - 2;

const CLIENTS: [(&str, Protocol); 6] = [
    ("genai", Protocol::Gemini),
    ("openai", Protocol::Completions),
    ("openai-python", Protocol::Completions),
    ("anthropic", Protocol::Messages),
    ("ai-responses", Protocol::Responses),
    ("ai", Protocol::Chat),
];

#[derive(Clone, Copy, PartialEq)]
enum Protocol {
    Gemini,
    Completions,
    Messages,
    Responses,
    Chat,
}

fn word(at: usize) -> String {
    format!("{at}{} ", "ö".repeat(at % 3))
}

fn text(words: usize) -> String {
    (0..words).map(word).collect()
}

/// Returns the text as the filter changes it, with the word that it inserts.
fn changed(text: &str) -> String {
    text.replace('ö', "o").replacen("9 ", "inserted 9 ", 1)
}

fn item() -> Value {
    json!({ "type": "message", "id": "m", "role": "assistant", "content": [] })
}

impl Protocol {
    fn before(self) -> Vec<Value> {
        match self {
            Self::Gemini | Self::Completions => vec![],
            Self::Messages => vec![
                json!({ "type": "message_start", "message": {
                    "id": "m", "type": "message", "role": "assistant", "model": "m", "content": [],
                    "stop_reason": null, "usage": { "input_tokens": 1, "output_tokens": 1 },
                } }),
                json!({ "type": "content_block_start", "index": 0,
                    "content_block": { "type": "text", "text": "" } }),
            ],
            Self::Responses => vec![
                json!({ "type": "response.created",
                    "response": { "id": "r", "created_at": 1, "model": "m" } }),
                json!({ "type": "response.output_item.added", "output_index": 0, "item": item() }),
            ],
            Self::Chat => vec![
                json!({ "type": "start", "messageId": "m" }),
                json!({ "type": "text-start", "id": "t" }),
            ],
        }
    }

    fn of_word(self, text: &str) -> Value {
        match self {
            Self::Gemini => {
                let content = json!({ "role": "model", "parts": [{ "text": text }] });
                json!({ "candidates": [{ "content": content }] })
            }
            Self::Completions => {
                let choice = json!({ "index": 0, "delta": { "content": text } });
                json!({ "id": "c", "object": "chat.completion.chunk", "created": 1, "model": "m",
                    "choices": [choice] })
            }
            Self::Messages => {
                let delta = json!({ "type": "text_delta", "text": text });
                json!({ "type": "content_block_delta", "index": 0, "delta": delta })
            }
            Self::Responses => {
                json!({ "type": "response.output_text.delta", "item_id": "m",
                    "output_index": 0, "content_index": 0, "delta": text })
            }
            Self::Chat => json!({ "type": "text-delta", "id": "t", "delta": text }),
        }
    }

    fn after(self) -> Vec<Value> {
        match self {
            Self::Gemini => vec![],
            Self::Completions => vec![json!("[DONE]")],
            Self::Messages => vec![
                json!({ "type": "content_block_stop", "index": 0 }),
                json!({ "type": "message_delta", "delta": { "stop_reason": "end_turn" },
                    "usage": { "output_tokens": 7 } }),
                json!({ "type": "message_stop" }),
            ],
            Self::Responses => vec![
                json!({ "type": "response.output_item.done", "output_index": 0, "item": item() }),
                // The filter changes this last event too, because it has an `ö`.
                json!({ "type": "response.completed", "response": { "id": "r", "note": "ö",
                    "usage": { "input_tokens": 1, "output_tokens": 7 } } }),
            ],
            Self::Chat => {
                vec![json!({ "type": "text-end", "id": "t" }), json!({ "type": "finish" })]
            }
        }
    }

    /// Returns the event with this data, and with a name if the protocol's events have one.
    fn event(self, data: &Value, end: &str) -> String {
        let data = data.as_str().map_or_else(|| data.to_string(), str::to_owned);
        let name = match self {
            Self::Messages => serde_json::from_str::<Value>(&data).unwrap()["type"].take(),
            _ => Value::Null,
        };
        let name = name.as_str().map(|name| format!("event: {name}{end}")).unwrap_or_default();
        format!("{name}data: {data}{end}{end}")
    }

    /// Returns the frames of an answer before and after the upstream's wait. In both parts, each
    /// frame except the last ends before, within or after the two line ends of an event, at another
    /// of their bytes than the previous frame.
    fn frames(self, end: &str) -> (Vec<Bytes>, Vec<Bytes>) {
        let before = self.before();
        let words = (0..WORDS).map(|at| self.of_word(&word(at)));
        let mut stream = String::new();
        let mut cuts = vec![0];
        let mut wait = 0;
        let waits_at = before.len() + BEFORE_THE_WAIT;
        for (n, data) in before.into_iter().chain(words).chain(self.after()).enumerate() {
            stream += &self.event(&data, end);
            cuts.push(stream.len() - n % (2 * end.len() + 1));
            if n + 1 == waits_at {
                wait = cuts.len();
                *cuts.last_mut().unwrap() = stream.len();
            }
        }
        cuts.push(stream.len());
        let stream = Bytes::from(stream);
        let mut frames: Vec<_> = cuts.windows(2).map(|cut| stream.slice(cut[0]..cut[1])).collect();
        let after = frames.split_off(wait - 1);
        (frames, after)
    }

    /// If the event with this data has the word 9, returns the data of the event that the filter
    /// inserts before it.
    fn inserted(self, data: &str) -> Option<String> {
        data.contains("\"9 \"").then(|| data.replace("\"9 \"", "\"inserted \""))
    }
}

/// Returns an upstream that waits in the middle of its answer.
fn upstream(protocol: Protocol, end: &'static str, go_on: Arc<Notify>) -> Router {
    let answer = move |_: Request| {
        let (before, after) = protocol.frames(end);
        let go_on = Arc::clone(&go_on);
        let wait = stream::once(async move {
            go_on.notified().await;
            Bytes::new()
        });
        let frames = stream::iter(before).chain(wait).chain(stream::iter(after));
        let frames = frames.then(async |frame| {
            tokio::time::sleep(Duration::from_millis(2)).await;
            Ok::<_, Infallible>(frame)
        });
        let response = Response::builder().header("content-type", "text/event-stream");
        let response = match protocol {
            Protocol::Chat => response.header("x-vercel-ai-ui-message-stream", "v1"),
            _ => response,
        };
        std::future::ready(response.body(Body::from_stream(frames)).unwrap())
    };
    Router::new().fallback(answer)
}

/// Puts a filter in front of the upstream. The filter writes `o` for `ö`, inserts a word and drops
/// `[DONE]`, which the layer sends again.
fn gateway(protocol: Protocol, upstream: Router) -> Router {
    let filters = FilterLayer::new(move |_: &Request| {
        Some(filter::from_fn(move |event| {
            let data = event.data();
            if data == "[DONE]" {
                return Verdict::Drop;
            }
            if let Some(inserted) = protocol.inserted(&data) {
                let event = match &*event.name() {
                    "message" => Event::new(),
                    name => Event::new().try_event(name).unwrap(),
                };
                return Verdict::Insert(Encoded::from(event.data(inserted)));
            }
            match data.contains('ö') {
                true => Verdict::Replace(event.with_data(data.replace('ö', "o"))),
                false => Verdict::Pass,
            }
        }))
    });
    let layer = SseLayer::new().heartbeat(HEARTBEAT).retry(Retry::fixed(Duration::from_secs(3)));
    let layer: SseLayer = match protocol {
        // This client loses an event behind a comment or a `retry` line.
        Protocol::Gemini => {
            SseLayer::new().heartbeat(Heartbeat::every(HEARTBEAT).event("heartbeat", "10"))
        }
        Protocol::Completions => layer.terminator("[DONE]"),
        _ => layer,
    };
    upstream.layer(filters).layer(layer)
}

/// Returns the text that a client reads and the end that it reports.
async fn ask(name: &str, app: Router, go_on: Arc<Notify>) -> (String, String) {
    let mut client = client(name, &format!("http://{}", serve_axum(app).await));
    client.until_received(text(EXPECTED_BY_THEN).replace('ö', "o").len()).await;
    go_on.notify_one();
    let end = client.end().await;
    (client.text, end)
}

fn client(name: &str, url: &str) -> Client {
    Client::of(name, Packages::All, url).expect("the clients")
}

#[tokio::test]
async fn clients_read_changed_streams_of_each_line_end_at_once() {
    for (name, protocol) in CLIENTS {
        for end in ["\n", "\r\n", "\r"] {
            let go_on = Arc::new(Notify::new());
            let app = upstream(protocol, end, Arc::clone(&go_on));
            // Some clients wait for the byte after a last CR, so they miss the last event and can
            // report another end.
            let (read, ended) = ask(name, app.clone(), Arc::clone(&go_on)).await;
            println!("{name} {end:?}: {ended}");
            assert_eq!(read, text(WORDS), "{name} {end:?}");
            let behind = ask(name, gateway(protocol, app), go_on).await;
            assert_eq!(behind, (changed(&read), ended), "{name} {end:?} behind the gateway");
        }
    }
}

/// The guide warns of this client's defect. Once this test fails, the client has been fixed.
#[tokio::test]
async fn client_of_gemini_discards_an_event_behind_a_comment() {
    for between in [":\n", ":\r\n", "retry: 3000\n"] {
        let protocol = Protocol::Gemini;
        let events = ["a", "b"].map(|word| protocol.event(&protocol.of_word(word), "\n"));
        let events = events.join(between);
        let head = [("content-type", "text/event-stream")];
        let app = Router::new().fallback(async move || (head, events));
        let mut client = client("genai", &format!("http://{}", serve_axum(app).await));
        assert_eq!(client.end().await, "complete", "{between:?}");
        assert_eq!(client.text, "a", "{between:?}");
    }
}
