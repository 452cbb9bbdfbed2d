use crate::{connection::respond, *};

const FULL: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

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

/// `ConcurrencyLimit` releases its permit at the head, when a stream has only begun.
#[tokio::test]
async fn no_more_streams_than_the_limit_are_open() {
    for_each_kind!(every_place_is_kept);
}

#[test]
fn clones_and_their_services_share_one_limit() {
    let layer: SseLayer = SseLayer::new().max_streams(2);
    // A clone with another option shares the limit too.
    let clone = layer.clone().padding(9).track_disconnects(true);
    let service = layer.layer(service_fn(|_: Request<()>| {
        ready(Ok::<_, Infallible>(tower_sse::response(Source::new().1)))
    }));
    let mut services = [service.clone(), service];
    let mut call =
        |service: usize| services[service].call(Request::new(())).now_or_never().unwrap().unwrap();
    let first = call(0);
    let second = open::<Bodies>(&clone).unwrap();
    assert_eq!((call(0).status(), call(1).status()), (FULL, FULL));
    assert!(open::<Bodies>(&layer).is_err() && open::<Bodies>(&clone).is_err());
    drop(second);
    assert_eq!(call(1).status(), StatusCode::OK);
    drop(first);
}

#[test]
fn new_limit_on_a_clone_does_not_affect_the_original() {
    let layer: SseLayer = SseLayer::new().max_streams(1);
    let _open = open::<Bodies>(&layer).unwrap();
    let clone = layer.clone().max_streams(2);
    let _two = (open::<Bodies>(&clone).unwrap(), open::<Bodies>(&clone).unwrap());
    assert!(open::<Bodies>(&clone).is_err(), "two places of its own");
    assert!(open::<Bodies>(&layer).is_err(), "one place as before");
}

#[test]
fn other_responses_need_no_permit() {
    let layer: SseLayer = SseLayer::new().max_streams(1);
    let page = |content_type| {
        through(&layer, Response::new(Full::from("{}")).with_header("content-type", content_type))
    };
    let pages = [page("application/json"), page("text/event-streams")];
    let head = Request::head("/").body(()).unwrap();
    let head = answer_to(head, &layer, event_stream(Feed::new().1));
    let stream = open::<Bodies>(&layer).expect("the permit is free");
    assert_eq!(page("application/json").status(), 200, "and at the limit they pass");
    drop((pages, head, stream));
}

/// The status is for the service to choose, so the response is never refused. But its stream counts
/// like any other.
#[test]
fn stream_with_another_status_counts_and_takes_any_free_permit() {
    let subjects = tower_sse::streams::Streams::new();
    let layer: SseLayer = SseLayer::new().max_streams(1).track_disconnects(true);
    let layer = layer.streams(&subjects);
    let unauthorized = || {
        let mut request = Request::new(());
        subjects.subjects_of(&mut request).add("a");
        respond(&layer, request, event_stream(Feed::new().1).with_status(401))
    };
    let (first, disconnect) = unauthorized();
    assert_eq!(open::<Bodies>(&layer).err(), Some(FULL), "the first has taken it");
    assert_eq!(subjects.count("a"), 1);
    let (second, _) = unauthorized();
    assert_eq!(second.status(), StatusCode::UNAUTHORIZED, "the second goes on without");
    assert_eq!(subjects.count("a"), 2);
    drop(second);
    assert_eq!(open::<Bodies>(&layer).err(), Some(FULL), "and has none to give back");
    assert!(!disconnect.as_ref().unwrap().is_cancelled());
    drop(first);
    assert!(disconnect.unwrap().is_cancelled());
    assert_eq!(subjects.subjects(), []);
    assert!(open::<Bodies>(&layer).is_ok());
}

/// The shutdown is checked before the limit, so that a refused client takes no permit.
#[test]
fn client_refused_during_the_shutdown_takes_no_permit() {
    let shutdown = CancellationToken::new();
    let layer: SseLayer = SseLayer::new().max_streams(1);
    let draining = layer.clone().shutdown(shutdown.clone());
    shutdown.cancel();
    assert_eq!(open::<Bodies>(&draining).err(), Some(FULL));
    assert!(open::<Bodies>(&layer).is_ok());
}

#[test]
fn limit_above_the_semaphores_maximum_does_not_panic() {
    assert!(open::<Bodies>(&SseLayer::new().max_streams(usize::MAX)).is_ok());
}

#[test]
#[should_panic = "the limit of open streams cannot be zero"]
fn limit_of_zero_streams_panics() {
    let _: SseLayer = SseLayer::new().max_streams(0);
}
