//! Streams that open and close on many threads while the counters are read.

use std::sync::{
    atomic::{AtomicBool, Ordering::SeqCst},
    mpsc,
};

use super::disconnect::answer_and_disconnect;
use crate::*;

const THREADS: u64 = 4;
const STREAMS: u64 = 3_000;

/// Every stream closes on another thread than the one that opened it.
#[test]
fn no_more_streams_are_ever_closed_than_opened() {
    let (stats, reports) = (Stats::new(), Reports::default());
    let layer: SseLayer =
        reports.observe(SseLayer::new().stats(&stats).without_heartbeat().max_streams(64));
    let done = AtomicBool::new(false);
    let snapshots = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            let (mut snapshots, mut before) = (0_u64, stats.snapshot());
            while !done.load(SeqCst) {
                let now = stats.snapshot();
                assert!(now.closed <= now.opened, "{now:?}");
                assert_eq!(now.open, now.opened - now.closed);
                assert!(now.opened >= before.opened && now.closed >= before.closed);
                (snapshots, before) = (snapshots + 1, now);
            }
            snapshots
        });
        let workers: Vec<_> = (0..THREADS)
            .map(|_| {
                let (bodies, received) = mpsc::channel();
                let closing = scope.spawn(move || received.into_iter().for_each(drop));
                let layer = &layer;
                let opening = scope.spawn(move || {
                    let mut opened = 0;
                    while opened < STREAMS {
                        let (feed, source) = Feed::new();
                        let response = through(layer, event_stream(source));
                        if response.status() != 200 {
                            thread::yield_now();
                            continue;
                        }
                        let mut body = response.into_body();
                        feed.data("data: one\n\n");
                        assert!(matches!(poll_frame(&mut body), Polled::Data(_)));
                        if opened % 2 == 0 {
                            feed.end();
                            assert_eq!(poll_frame(&mut body), Polled::End);
                        }
                        bodies.send(body).unwrap();
                        opened += 1;
                    }
                });
                [opening, closing]
            })
            .collect();
        for worker in workers.into_iter().flatten() {
            worker.join().unwrap();
        }
        done.store(true, SeqCst);
        reading.join().unwrap()
    });
    assert!(snapshots > 0);

    let (now, all) = (stats.snapshot(), THREADS * STREAMS);
    assert_eq!((now.open, now.opened, now.closed), (0, all, all));
    assert_eq!((now.frames, now.bytes), (all, 11 * all));
    let closed_for =
        |reason| now.closed_by_reason.iter().find(|(other, _)| *other == reason).unwrap().1;
    assert_eq!(closed_for(CloseReason::Ended), all / 2);
    assert_eq!(closed_for(CloseReason::Disconnected), all / 2);
    assert_eq!((reports.opened() as u64, reports.closed().len() as u64), (all, all));
}

/// Two threads that observe one close observe the same.
#[test]
fn disconnect_has_its_reason_before_it_is_seen_to_fire() {
    let layer = SseLayer::new();
    for _ in 0..1_000 {
        let (response, disconnect) = answer_and_disconnect(&layer, Source::new().1);
        let disconnect = disconnect.unwrap();
        thread::scope(|scope| {
            scope.spawn(|| {
                while !disconnect.is_cancelled() {
                    thread::yield_now();
                }
                assert_eq!(disconnect.reason(), Some(CloseReason::Disconnected));
            });
            drop(response);
        });
    }
}
