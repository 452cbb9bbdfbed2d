//! A gateway that changes each event, around the protocols of real clients.

use crate::*;

const PACE: Pace = Pace::new(60, 5);

/// Serves the service behind a filter that writes `o` for `ö` in the data of each event.
async fn gateway() -> String {
    let service = Service::new(PACE, Duration::ZERO);
    let filters = FilterLayer::new(|_: &Request<Body>| {
        Some(filter::from_fn(|event| {
            let data = event.data();
            if !data.contains('ö') {
                return Verdict::Pass;
            }
            Verdict::Replace(event.with_data(data.replace('ö', "o")))
        }))
    });
    let app = service.app(CancellationToken::new()).layer(filters).layer(SseLayer::new());
    format!("http://{}", serve_axum(app).await)
}

#[tokio::test]
async fn clients_read_the_changed_events_of_a_filter() {
    let node = |package, script, arguments: &[&str]| {
        Client::node(Packages::All, package, script, arguments).expect("Node and its packages")
    };
    let python = |script, arguments: &[&str]| Client::python(script, arguments).expect("Python");
    for name in ["openai", "openai-python", "langgraph", "langgraph-python", "tanstack", "fetch"] {
        let url = gateway().await;
        let [v1, ag_ui, words] = ["v1", "ag-ui", "words/1"].map(|path| format!("{url}/{path}"));
        let mut client = match name {
            "openai" => node("openai", "openai.mjs", &[&v1]),
            "openai-python" => python("openai_client.py", &[&v1]),
            "langgraph" => node("@langchain/langgraph-sdk", "langgraph.mjs", &[&url]),
            "langgraph-python" => python("langgraph_client.py", &[&url]),
            "tanstack" => node("@tanstack/ai-client", "tanstack.mjs", &[&ag_ui]),
            _ => node("@microsoft/fetch-event-source", "fetch_event_source.mjs", &[&words]),
        };
        assert_eq!(client.end().await, "complete", "{name}");
        let text = PACE.text(0);
        assert!(text.contains('ö'));
        assert_eq!(client.text, text.replace('ö', "o"), "{name}");
    }
}

#[tokio::test]
async fn ai_sdk_reads_the_changed_chat_of_a_filter() {
    for package in ["ai", "ai-6"] {
        let chat = format!("{}/chat", gateway().await);
        let arguments = [package, &chat];
        let mut client = Client::node(Packages::All, package, "ai_ask.mjs", &arguments)
            .expect("Node and its packages");
        let end = client.end().await;
        println!("{package}: {end}");
        assert_eq!(end, "complete", "{package}");
        assert_eq!(client.text, PACE.text(0).replace('ö', "o"), "{package}");
    }
}
