//! Blocks of the layer repeat the client's id: some clients take an event without one for an empty
//! id, and would reconnect as new clients.

use crate::{rig::*, *};

fn with_id(client: Requester, id: &'static str) -> Request<()> {
    let mut request = client.request("/");
    request.headers_mut().insert("last-event-id", HeaderValue::from_static(id));
    request
}

/// Returns the id that sseer and reqwest-eventsource keep after these bytes, if they had `last`
/// before: each event replaces it.
fn kept_id(last: &str, text: &str) -> String {
    let mut last = last.to_owned();
    let text = text.replace("\r\n", "\n");
    for block in text.split_inclusive("\n\n").filter(|block| block.ends_with("\n\n")) {
        let value =
            |name| block.lines().filter_map(move |line| line.strip_prefix(name)).next_back();
        if value("data: ").or(value("id: ")).is_some() {
            last = value("id: ").unwrap_or_default().to_owned();
        }
    }
    last
}

fn text(polled: Polled) -> String {
    let Polled::Data(bytes) = polled else { panic!("{polled:?}") };
    String::from_utf8(bytes.into()).unwrap()
}

const REFUSED: &str = "retry: 2000\nevent: retry\ndata: {}\nid: 7\n\n";

fn refusals_repeat_the_id<K: Kind>() {
    for cause in [RefusalCause::Limit, RefusalCause::Shutdown] {
        for refusal in [Refusal::per_client(), Refusal::retry_later()] {
            let (layer, _kept) = refusing::<K>(cause, two_seconds(refusal));
            let layer = layer.last_event_id_query("last");
            for request in
                [with_id(Requester::Library, "7"), Requester::Library.request("/?last=7")]
            {
                let answer = answer_by(request, &layer, |_| K::answer(Source::new().1));
                assert_eq!(poll_frame(&mut answer.into_body()), data(REFUSED), "{cause:?}");
            }
        }
    }
}

#[test]
fn refusal_of_a_library_repeats_the_id_that_it_brought() {
    for_each_kind!(refusals_repeat_the_id);
    let (parts, ()) = with_id(Requester::Library, "7").into_parts();
    let mut answer = two_seconds(Refusal::per_client()).answer(&parts).into_body();
    assert_eq!(poll_frame(&mut answer), data(REFUSED));
}

#[derive(Clone, Copy, Debug)]
enum End {
    Shutdown,
    Error,
    Clean,
}

/// Returns the layer's event at the end of a stream with these frames, whose client brought the id
/// `7`.
fn last_event(layer: SseLayer, client: Requester, end: End, frames: &[&'static str]) -> String {
    let mut rig = Rig::fed(layer, with_id(client, "7"));
    let mut received = String::new();
    for frame in frames {
        rig.feed.data(*frame);
        while let Polled::Data(bytes) = rig.poll() {
            received += str::from_utf8(&bytes).unwrap();
        }
    }
    match end {
        End::Shutdown => rig.shutdown.cancel(),
        End::Error => rig.feed.fail("broken"),
        End::Clean => rig.feed.end(),
    }
    let last = text(rig.poll());
    if matches!(client, Requester::EventSource | Requester::Library) {
        let before = kept_id("7", &received);
        assert_eq!(kept_id("7", &(received + &last)), before, "{client:?}, {end:?}, {frames:?}");
    }
    last
}

#[tokio::test(start_paused = true)]
async fn last_event_of_the_layer_repeats_the_id_that_the_client_has() {
    for (end, block) in [
        (End::Shutdown, "retry: 3000\nevent: bye\ndata: see you\n"),
        (End::Error, "data: never sent\n"),
        (End::Clean, "data: [DONE]\n"),
    ] {
        let last = |client, frames: &[&'static str]| {
            last_event(layer(Drain::at_once()), client, end, frames)
        };
        for client in [Requester::EventSource, Requester::Library] {
            for (frames, id) in [
                (&[][..], Some("7")),
                (&["data: a\nid: 8\n\n"], Some("8")),
                (&["data: a\nid: 8\n\n", "data: b\nid: 9\n\n"], Some("9")),
                (&["data: a\r\nid: 8\r\n\r\n"], Some("8")),
                // Not known: an older id would send the client back.
                (&["data: a\nid: 8\n\n", "data: b\n\n"], None),
            ] {
                let id = id.map(|id| format!("id: {id}\n")).unwrap_or_default();
                assert_eq!(last(client, frames), format!("{block}{id}\n"), "{client:?} {end:?}");
            }
        }
        // These usually don't reconnect after a clean end.
        for client in [Requester::Fetch, Requester::Get, Requester::Post] {
            assert_eq!(last(client, &["data: a\nid: 8\n\n"]), format!("{block}\n"), "{end:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn farewell_repeats_no_id_of_an_event_that_is_dropped() {
    let mut rig = Rig::fed(layer(Drain::at_once()), with_id(Requester::EventSource, "7"));
    rig.passes("data: a\n");
    rig.shutdown.cancel();
    rig.feed.data("id: 8\n\ndata: b\nid: 9\n\n");
    assert_eq!(rig.poll(), data("id: 8\n\n"));
    assert_eq!(rig.poll(), data("retry: 3000\nevent: bye\ndata: see you\nid: 8\n\n"));
    rig.assert_ends(CloseReason::Drained);
}

#[tokio::test(start_paused = true)]
async fn programs_own_id_of_a_last_event_is_kept() {
    let own = || Event::from("end").id("own");
    let ends = SseLayer::new().drain(Drain::at_once().retry(3 * SECOND)).without_heartbeat();
    let ends = ends.terminator(own()).farewell(own()).on_error(move |_| own());
    for (end, retry) in [(End::Shutdown, "retry: 3000\n"), (End::Error, ""), (End::Clean, "")] {
        let mut rig = Rig::fed(ends.clone(), with_id(Requester::EventSource, "7"));
        rig.passes("data: a\nid: 8\n\n");
        match end {
            End::Shutdown => rig.shutdown.cancel(),
            End::Error => rig.feed.fail("broken"),
            End::Clean => rig.feed.end(),
        }
        assert_eq!(text(rig.poll()), format!("{retry}data: end\nid: own\n\n"), "{end:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn heartbeat_events_repeat_the_id_that_the_client_brought() {
    let beat = "event: beat\ndata: {}\nid: 7\n\n";
    let beating = SseLayer::new().heartbeat(Heartbeat::every(SECOND).event("beat", "{}"));
    let poll = StreamOptions::new().long_poll(3 * SECOND);
    for client in Requester::ALL {
        for options in [None, Some(poll.clone())] {
            let is_poll = options.is_some();
            let mut rig = Rig::answering(beating.clone(), with_id(client, "7"), |answer| {
                answer.with_options(options.unwrap_or_default())
            });
            // Most streams begin with a heartbeat event.
            if !is_poll && client != Requester::Library {
                assert_eq!(rig.poll(), data(beat), "{client:?}");
            }
            rig.idle(2 * SECOND).await;
            assert_eq!(rig.poll(), data(beat), "{client:?}");
            if is_poll {
                rig.idle(SECOND).await;
                rig.assert_ends(CloseReason::Answered);
            }
        }
    }
}
