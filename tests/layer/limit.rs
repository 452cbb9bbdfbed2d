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

/// The server may keep the body of an ended stream.
#[tokio::test]
async fn ended_stream_holds_no_permit_although_its_body_is_kept() {
    let layer: SseLayer = SseLayer::new().max_streams(1);
    let (feed, mut body) = fed(&layer);
    feed.end();
    assert_eq!(open::<Bodies>(&layer).err(), Some(FULL));
    assert_eq!(poll_frame(&mut body), Polled::End);
    assert!(open::<Bodies>(&layer).is_ok());
    drop(body);
}

/// The service of bare streams always answers with a stream; other services may answer with
/// anything.
#[test]
fn bare_streams_take_permits_at_the_call_and_others_at_the_head() {
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
fn clones_and_their_services_share_one_limit() {
    let layer: SseLayer = SseLayer::new().max_streams(2);
    // A clone with another option shares the limit too.
    let clone = layer.clone().padding(9).track_disconnects(true);
    let service = || {
        layer.layer(service_fn(|_: Request<()>| {
            std::future::ready(Ok::<_, Infallible>(tower_sse::response(Source::new().1)))
        }))
    };
    let mut services = [service(), service().clone()];
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
fn another_layer_has_a_limit_of_its_own() {
    let (one, other): (SseLayer, SseLayer) =
        (SseLayer::new().max_streams(1), SseLayer::new().max_streams(1));
    let _open = open::<Bodies>(&one).unwrap();
    let _other = open::<Bodies>(&other).unwrap();
    assert!(open::<Bodies>(&one).is_err() && open::<Bodies>(&other).is_err());
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
        let answer = Response::builder().header("content-type", content_type);
        answer_to(Request::new(()), &layer, answer.body(Full::from("{}")).unwrap())
    };
    let pages = [page("application/json"), page("text/html"), page("text/event-streams")];
    let head = Request::head("/").body(()).unwrap();
    let head = answer_to(head, &layer, event_stream(Feed::new().1));
    let stream = open::<Bodies>(&layer).expect("the permit is free");
    assert_eq!(page("application/json").status(), 200, "and at the limit they pass");
    drop((pages, head, stream));
}

/// The status is for the service to choose, so the response is never refused; but it is a stream
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
    assert_eq!(disconnect.as_ref().unwrap().reason(), None);
    drop(first);
    assert_eq!(disconnect.unwrap().reason(), Some(CloseReason::Disconnected));
    assert_eq!(subjects.subjects(), []);
    assert!(open::<Bodies>(&layer).is_ok());
}

/// The shutdown is checked first, so that it takes no permit.
#[test]
fn client_refused_during_the_shutdown_takes_no_permit() {
    let shutdown = CancellationToken::new();
    let layer: SseLayer = SseLayer::new().max_streams(1);
    let draining = layer.clone().shutdown(shutdown.clone());
    shutdown.cancel();
    let refused = open::<Bodies>(&draining);
    assert_eq!(refused.as_ref().err(), Some(&FULL));
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
