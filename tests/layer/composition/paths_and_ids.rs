use tower_http::{
    ServiceBuilderExt,
    normalize_path::NormalizePathLayer,
    request_id::{MakeRequestUuid, PropagateRequestIdLayer, RequestId, SetRequestIdLayer},
};

use super::application::{Place, application, assert_streams};
use crate::*;

#[tokio::test]
async fn request_id_is_set_and_returned() {
    for place in Place::BOTH {
        let ids = ServiceBuilder::new()
            .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
            .layer(PropagateRequestIdLayer::x_request_id());
        let (app, mut sources) = place.compose(SseLayer::new(), ids);
        let address = serve_axum(app).await;

        let response = client::get(address, "/events", &[]).await;
        let source = sources.next().await;
        let id = source.request().extensions.get::<RequestId>().expect("a request id").clone();
        assert_eq!(response.headers().get("x-request-id"), Some(id.header_value()), "{place:?}");
        assert_streams(response, source).await;

        let response = client::get(address, "/events", &[("x-request-id", "theirs")]).await;
        assert_eq!(response.headers()["x-request-id"], "theirs", "{place:?}");
    }
}

#[tokio::test]
async fn two_halves_of_request_ids_can_be_on_either_side() {
    let (app, mut sources) = application();
    let service = ServiceBuilder::new()
        .set_x_request_id(MakeRequestUuid)
        .layer(SseLayer::new())
        .propagate_x_request_id()
        .service(app);
    let address = serve_axum(Router::new().fallback_service(service)).await;

    let response = client::get(address, "/events", &[]).await;
    let source = sources.next().await;
    assert_eq!(response.headers()["x-request-id"], source.request().headers["x-request-id"]);
    assert_streams(response, source).await;
}

#[tokio::test]
async fn normalized_path_keeps_its_query_and_the_last_event_id() {
    let sse: SseLayer = SseLayer::new().last_event_id_query("lastEventId");
    for place in Place::BOTH {
        let (app, mut sources) = application();
        let normalize = NormalizePathLayer::trim_trailing_slash();
        // Routing happens inside a `Router`, so a layer that changes paths must surround it.
        let address = serve_axum(match place {
            Place::Inside => Router::new().fallback_service(sse.layer(normalize.layer(app))),
            Place::Outside => Router::new().fallback_service(normalize.layer(sse.layer(app))),
        })
        .await;

        for (path, headers) in [
            ("/events/", &[("last-event-id", "7")][..]),
            ("/events//?lastEventId=7", &[]),
            ("/events/?lastEventId=8", &[("last-event-id", "7")]),
        ] {
            let response = client::get(address, path, headers).await;
            let source = sources.next().await;
            assert_eq!(source.request().uri.path(), "/events", "{place:?} {path}");
            let last = source.request().extensions.get::<LastEventId>().expect("a last event id");
            assert_eq!(last.as_str(), "7", "{place:?} {path}");
            assert_streams(response, source).await;
        }
    }
}
