//! A gateway whose filter changes events, read by clients that are not in `line_ends.rs`.

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
    for name in ["langgraph", "langgraph-python", "tanstack", "fetch", "ai-6"] {
        let client = Client::of(name, Packages::All, &gateway().await);
        let mut client = client.expect("the clients");
        assert_eq!(client.end().await, "complete", "{name}");
        let text = PACE.text(0);
        assert!(text.contains('ö'));
        assert_eq!(client.text, text.replace('ö', "o"), "{name}");
    }
}
