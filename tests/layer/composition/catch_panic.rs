use std::panic::catch_unwind;

use tower_http::catch_panic::CatchPanicLayer;

use super::application::{Place, assert_streams, call, get_request, open_served};
use crate::*;

#[tokio::test]
async fn catch_panic_leaves_streams_alone() {
    for place in Place::BOTH {
        let app = place.compose(SseLayer::new(), CatchPanicLayer::new());
        let (response, source) = open_served(app, &[]).await;
        assert_streams(response, source).await;
    }
}

#[tokio::test]
async fn handler_panic_becomes_a_500() {
    for place in Place::BOTH {
        let (app, _sources) = place.compose(SseLayer::new(), CatchPanicLayer::new());

        let response = call(&app, get_request("/panic", &[])).await;
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR, "{place:?}");
        assert_eq!(response.headers()["content-type"], "text/plain; charset=utf-8");
    }
}

/// `CatchPanic` guards the response's future and not its body, whatever layers are in between.
#[tokio::test]
async fn body_panic_is_not_caught() {
    for place in Place::BOTH {
        let (app, _sources) = place.compose(SseLayer::new(), CatchPanicLayer::new());

        let mut body = call(&app, get_request("/panic-in-body", &[])).await.into_body();
        let panic = catch_unwind(AssertUnwindSafe(|| poll_frame(&mut body))).unwrap_err();
        assert_eq!(panic.downcast_ref::<&str>(), Some(&"in the body"), "{place:?}");
    }
}
