use tower_http::metrics::InFlightRequestsLayer;

use super::application::{Place, open};
use crate::*;

#[tokio::test]
async fn stream_is_in_flight_until_it_ends_or_its_client_leaves() {
    for (place, ends) in Place::BOTH.into_iter().flat_map(|place| [(place, true), (place, false)]) {
        let _case = case(format!("{place:?}, it ends: {ends}"));
        let (layer, in_flight) = InFlightRequestsLayer::pair();
        let (mut body, source) = open(place.compose(SseLayer::new(), layer), Requester::Get).await;
        assert_eq!(in_flight.get(), 1, "after the head");
        source.send("one");
        assert_eq!(poll_frame(&mut body), data("data: one\n\n"));
        assert_eq!(in_flight.get(), 1, "in mid-stream");
        if ends {
            drop(source);
            assert_eq!(poll_frame(&mut body), Polled::End);
        }
        drop(body);
        assert_eq!(in_flight.get(), 0);
    }
}

/// An inner body is dropped when the end is decided, not when the server drops the outer one.
#[tokio::test(start_paused = true)]
async fn layer_inside_is_released_at_once_when_the_source_fails() {
    let (layer, in_flight) = InFlightRequestsLayer::pair();
    let (mut body, source) =
        open(Place::Inside.compose(SseLayer::new(), layer), Requester::Get).await;
    source.fail(io::Error::other("disk full"));
    assert_eq!(poll_frame(&mut body), data(":\n"));
    assert_eq!(in_flight.get(), 0, "before the error is held back");
    assert_eq!(poll_frame(&mut body), Polled::Pending);
    assert_eq!(in_flight.get(), 0, "while the error is held back");
    advance(Duration::from_millis(21)).await;
    assert_eq!(poll_frame(&mut body), failed("disk full"));
}
