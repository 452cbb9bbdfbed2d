use http::{Request, StatusCode};
use tower_sse::SseLayer;

use crate::support::{Feed, answer_to, event_stream};

#[test]
fn accept_is_ignored() {
    let request = Request::get("/").header("accept", "application/json").body(()).unwrap();
    let response = answer_to(request, &SseLayer::new(), event_stream(Feed::new().1));
    assert_eq!(response.status(), StatusCode::OK);
}
