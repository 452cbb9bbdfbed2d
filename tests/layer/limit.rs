use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
};

use futures_util::FutureExt;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio_util::sync::CancellationToken;
use tower::{Layer, Service, service_fn};
use tower_sse::{SseLayer, marker};

use crate::{
    kind::{Bodies, Kind, Responses, Source, Streams, open},
    support::{Feed, Polled, event_stream, poll_frame, source::answer_to, through},
    way_out::WayOut,
};

const FULL: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

async fn the_place_is_free_again<K: Kind>() {
    for way in WayOut::ALL {
        let layer = SseLayer::<K::Marker>::new().max_streams(1);
        way.go::<K>(&layer).await;
        let first = open::<K>(&layer).expect("the place is free");
        assert_eq!(open::<K>(&layer).err(), Some(FULL), "{way:?}: there is one place, not more");
        drop(first);
    }
}

#[tokio::test(start_paused = true)]
async fn a_place_is_free_again_whatever_the_way_out() {
    the_place_is_free_again::<Bodies>().await;
    the_place_is_free_again::<Responses>().await;
    the_place_is_free_again::<Streams>().await;
}

fn every_place_is_kept<K: Kind>() {
    let layer = SseLayer::<K::Marker>::new().max_streams(3);
    let mut bodies: Vec<_> = (0..3).map(|_| open::<K>(&layer).unwrap()).collect();
    for body in &mut bodies {
        assert_eq!(poll_frame(body), Polled::Pending);
        assert_eq!(open::<K>(&layer).err(), Some(FULL));
    }
    drop(bodies.swap_remove(1));
    bodies.push(open::<K>(&layer).unwrap());
    assert_eq!(open::<K>(&layer).err(), Some(FULL));
}

/// `ConcurrencyLimit` frees its permit at the head, when a stream has hardly begun.
#[tokio::test]
async fn as_many_streams_as_the_limit_says_are_open_and_no_more() {
    every_place_is_kept::<Bodies>();
    every_place_is_kept::<Responses>();
    every_place_is_kept::<Streams>();
}

/// The server may keep a body that has ended for as long as it likes.
#[tokio::test]
async fn a_stream_that_has_ended_has_no_place_although_its_body_is_kept() {
    let layer: SseLayer = SseLayer::new().max_streams(1);
    let (feed, source) = Feed::new();
    let mut body = through(&layer, event_stream(source)).into_body();
    feed.end();
    assert_eq!(open::<Bodies>(&layer).err(), Some(FULL));
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert!(open::<Bodies>(&layer).is_ok());
    drop(body);
}

/// What is asked of a bare stream's service is a stream, while others may answer with anything.
#[test]
fn a_bare_stream_has_its_place_from_the_call_and_any_other_from_its_head() {
    fn has_a_place<K: Kind>() -> bool {
        let layer = SseLayer::<K::Marker>::new().max_streams(1);
        let mut service = layer.layer(service_fn(|_: Request<()>| {
            std::future::pending::<Result<K::Answer, Infallible>>()
        }));
        let mut future = Box::pin(service.call(Request::new(())));
        assert!(future.as_mut().now_or_never().is_none());
        open::<K>(&layer).is_err()
    }

    assert!(!has_a_place::<Bodies>());
    assert!(!has_a_place::<Responses>());
    assert!(has_a_place::<Streams>());
}

#[test]
fn the_service_of_bare_streams_is_not_called_when_it_could_not_be_answered() {
    let calls = AtomicUsize::new(0);
    let layer = SseLayer::<marker::Events>::new().max_streams(1);
    let service = service_fn(|_: Request<()>| {
        calls.fetch_add(1, SeqCst);
        std::future::ready(Ok::<_, Infallible>(Source::new().1))
    });
    let mut service = layer.layer(service);
    let mut call = || service.call(Request::new(())).now_or_never().unwrap().unwrap();
    let first = call();
    assert_eq!((call().status(), calls.load(SeqCst)), (FULL, 1));
    drop(first);
    assert_eq!((call().status(), calls.load(SeqCst)), (StatusCode::OK, 2));
}

#[test]
fn clones_and_all_their_services_share_the_places() {
    let layer: SseLayer = SseLayer::new().max_streams(2);
    // A clone with another option is one too.
    let clone = layer.clone().padding(9).track_disconnects(true);
    let service = || {
        layer.layer(service_fn(|_: Request<()>| {
            std::future::ready(Ok::<_, Infallible>(tower_sse::response(Source::new().1)))
        }))
    };
    let mut one = service();
    let mut other = service().clone();
    let mut status = |service: usize| {
        let service = if service == 0 { &mut one } else { &mut other };
        service.call(Request::new(())).now_or_never().unwrap().unwrap()
    };
    let first = status(0);
    let second = open::<Bodies>(&clone).unwrap();
    assert_eq!((status(0).status(), status(1).status()), (FULL, FULL));
    assert!(open::<Bodies>(&layer).is_err() && open::<Bodies>(&clone).is_err());
    drop(second);
    assert_eq!(status(1).status(), StatusCode::OK);
    drop(first);
}

#[test]
fn another_layer_has_places_of_its_own() {
    let (one, other): (SseLayer, SseLayer) =
        (SseLayer::new().max_streams(1), SseLayer::new().max_streams(1));
    let _open = open::<Bodies>(&one).unwrap();
    let _other = open::<Bodies>(&other).unwrap();
    assert!(open::<Bodies>(&one).is_err() && open::<Bodies>(&other).is_err());
}

#[test]
fn a_limit_set_anew_on_a_clone_leaves_the_original_as_it_was() {
    let layer: SseLayer = SseLayer::new().max_streams(1);
    let _open = open::<Bodies>(&layer).unwrap();
    let clone = layer.clone().max_streams(2);
    let _two = (open::<Bodies>(&clone).unwrap(), open::<Bodies>(&clone).unwrap());
    assert!(open::<Bodies>(&clone).is_err(), "two places of its own");
    assert!(open::<Bodies>(&layer).is_err(), "one place as before");
}

#[test]
fn what_is_no_stream_needs_no_place() {
    let layer: SseLayer = SseLayer::new().max_streams(1);
    let page = |content_type| {
        let answer = Response::builder().header("content-type", content_type);
        answer_to(Request::new(()), &layer, answer.body(Full::from("{}")).unwrap())
    };
    let pages = [page("application/json"), page("text/html"), page("text/event-streams")];
    let head = Request::head("/").body(()).unwrap();
    let head = answer_to(head, &layer, event_stream(Feed::new().1));
    let stream = open::<Bodies>(&layer).expect("nobody has taken the place");
    assert_eq!(page("application/json").status(), 200, "and at the limit they pass");
    drop((pages, head, stream));
}

/// Its status is for the service to say, so it is refused to nobody; but it is a stream like others.
#[test]
fn a_stream_with_another_status_takes_a_place_if_there_is_one() {
    let layer: SseLayer = SseLayer::new().max_streams(1);
    let not_found = || {
        let mut answer = event_stream(Feed::new().1);
        *answer.status_mut() = StatusCode::NOT_FOUND;
        through(&layer, answer)
    };
    let first = not_found();
    assert_eq!(open::<Bodies>(&layer).err(), Some(FULL), "the first has taken it");
    let second = not_found();
    assert_eq!(second.status(), StatusCode::NOT_FOUND, "the second goes on without");
    drop(second);
    assert_eq!(open::<Bodies>(&layer).err(), Some(FULL), "and has none to give back");
    drop(first);
    assert!(open::<Bodies>(&layer).is_ok());
}

/// The tokens of the shutdown are looked at first: no place is lost to it.
#[test]
fn who_is_refused_while_the_server_drains_takes_no_place() {
    let shutdown = CancellationToken::new();
    let layer: SseLayer = SseLayer::new().max_streams(1);
    let draining = layer.clone().shutdown(shutdown.clone());
    shutdown.cancel();
    let refused = open::<Bodies>(&draining);
    assert_eq!(refused.as_ref().err(), Some(&FULL));
    assert!(open::<Bodies>(&layer).is_ok());
}

#[test]
fn a_limit_beyond_what_can_be_counted_is_no_panic() {
    assert!(open::<Bodies>(&SseLayer::new().max_streams(usize::MAX)).is_ok());
}

#[test]
#[should_panic = "a limit of no streams at all"]
fn a_limit_of_none_panics() {
    let _: SseLayer = SseLayer::new().max_streams(0);
}
