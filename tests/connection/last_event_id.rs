use crate::*;

fn request(uri: &str, headers: &[&[u8]]) -> Request<()> {
    let mut request = Request::get(uri).body(()).unwrap();
    for value in headers {
        let value = HeaderValue::from_bytes(value).unwrap();
        request.headers_mut().append("last-event-id", value);
    }
    request
}

/// Returns the last event ID that a service inside `layer` finds in the request's extensions.
fn found(layer: &SseLayer, uri: &str, headers: &[&[u8]]) -> Option<String> {
    let mut found = None;
    answer_by(request(uri, headers), layer, |request| {
        found = request.extensions().get::<LastEventId>().map(ToString::to_string);
        http::Response::new(Empty::<bytes::Bytes>::new())
    });
    found
}

#[test]
fn header_is_read_for_every_service() {
    let layer = SseLayer::new();
    for (headers, expected) in [
        (&[][..], None),
        (&[&b""[..]], None),
        (&[b"42"], Some("42")),
        (&[b"a b:c"], Some("a b:c")),
        (&["Größe–7".as_bytes()], Some("Größe–7")),
        (&[b"Gr\xf6\xdfe"], Some("Größe")),
        (&[b"first", b"second"], Some("first")),
    ] {
        assert_eq!(found(&layer, "/", headers).as_deref(), expected, "{headers:?}");
    }
}

#[test]
fn query_is_read_if_configured_and_the_header_takes_precedence() {
    let without = SseLayer::new();
    assert_eq!(found(&without, "/?lastEventId=7", &[]), None);

    let with =
        SseLayer::new().last_event_id_query("lastEventId").last_event_id_query("last_event_id");
    for (uri, headers, expected) in [
        ("/?lastEventId=7", &[][..], Some("7")),
        ("/?x=y&last_event_id=7", &[], Some("7")),
        ("/?last_event_id=8&lastEventId=7", &[], Some("7")),
        ("/?lastEventId=7", &[&b"42"[..]], Some("42")),
        ("/?lastEventId=7", &[b""], Some("7")),
        ("/?lastEventId=", &[], None),
        ("/?lastEventId&last_event_id", &[], None),
        ("/?lastEventId=&lastEventId=7", &[], Some("7")),
        ("/?lastEventId=&last_event_id=7", &[], Some("7")),
        ("/?lastEventId=a%20b%2BGr%C3%B6%C3%9Fe+7", &[], Some("a b+Größe 7")),
        ("/?last%45ventId=Gr%F6%DFe", &[], Some("Größe")),
        ("/?lastEventId=%00", &[], None),
        ("/?lastEventId=7%0D", &[], None),
        ("/?lastEventId=7%0Adata:%20forged", &[], None),
        ("/?lasteventid=7", &[], None),
        ("/", &[], None),
    ] {
        assert_eq!(found(&with, uri, headers).as_deref(), expected, "{uri} {headers:?}");
    }
}

#[cfg(feature = "axum")]
mod in_axum {
    use axum::{Router, body::Body, routing::get};
    use http_body_util::BodyExt;
    use tower::ServiceExt;

    use super::*;

    async fn required(last: LastEventId) -> String {
        format!("{:?} {}", last.as_str(), last.is_empty())
    }

    async fn optional(last: Option<LastEventId>) -> String {
        format!("{:?}", last.map(|last| last.to_string()))
    }

    async fn parsed(last: Option<LastEventId>) -> String {
        format!("{:?}", last.and_then(|last| last.parse::<u64>().ok()))
    }

    fn app() -> Router {
        Router::new()
            .route("/required", get(required))
            .route("/optional", get(optional))
            .route("/parsed", get(parsed))
    }

    async fn answer(app: Router, uri: &str, headers: &[&[u8]]) -> String {
        let request = request(uri, headers).map(|()| Body::empty());
        let response = app.oneshot(request).await.unwrap();
        assert_eq!(response.status(), 200, "{uri}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.into()).unwrap()
    }

    #[tokio::test]
    async fn extractors_work_with_and_without_the_layer() {
        for app in [app(), app().layer(SseLayer::new())] {
            for (uri, headers, expected) in [
                ("/required", &[][..], "\"\" true"),
                ("/required", &[&b"7"[..]], "\"7\" false"),
                ("/optional", &[], "None"),
                ("/optional", &[b""], "None"),
                ("/optional", &[b"7"], "Some(\"7\")"),
                ("/parsed", &[b"7"], "Some(7)"),
                ("/parsed", &[b"garbage"], "None"),
                ("/optional?lastEventId=7", &[], "None"),
            ] {
                assert_eq!(answer(app.clone(), uri, headers).await, expected, "{uri} {headers:?}");
            }
        }
    }

    #[tokio::test]
    async fn extractor_returns_the_id_that_the_layer_found_in_the_query() {
        let app = app().layer(SseLayer::new().last_event_id_query("lastEventId"));
        assert_eq!(answer(app.clone(), "/optional?lastEventId=7", &[]).await, "Some(\"7\")");
        assert_eq!(answer(app.clone(), "/required?lastEventId=7", &[]).await, "\"7\" false");
        assert_eq!(answer(app, "/required?lastEventId=7", &[b"8"]).await, "\"8\" false");
    }
}
