//! Measures many streams over each HTTP/2 connection.

use std::{io::Read, thread};

use tower_sse_scale::http2;

use super::{on_a_thread, on_one_thread, resident_kib, serve_endless, serve_silent, settle};

/// The number of streams of one connection.
const STREAMS_EACH: u64 = 100;
/// The initial window of a stream (RFC 9113, section 6.9.2).
const WINDOW: u32 = (1 << 16) - 1;

/// Measures the memory of each idle stream, once its client has the head.
pub(super) fn idle(subject: &str) {
    const CONNECTIONS: u64 = 20;

    on_one_thread(|listener| async {
        let address = serve_silent(listener, subject);
        let open = move |connections| {
            on_a_thread(move || -> Vec<_> {
                (0..connections).map(|_| http2::open(address, STREAMS_EACH, WINDOW)).collect()
            })
        };
        let first = open(1).await;
        let before = resident_kib();
        let streams = open(CONNECTIONS).await;
        let held = resident_kib() - before;
        let count = CONNECTIONS * STREAMS_EACH;
        println!("{subject} over HTTP/2: {:.2} KiB for each stream", held as f64 / count as f64);
        drop((first, streams));
    });
}

/// Measures the memory of each stream of one connection. A stream may send `window` bytes, which
/// the client takes from its socket if `reads`.
pub(super) fn stalled(subject: &str, window: u32, reads: bool) {
    on_one_thread(|listener| async {
        let (address, made) = serve_endless(listener, subject);
        let open = move |streams| {
            on_a_thread(move || {
                let connection = http2::open(address, streams, window);
                if reads {
                    let mut io = connection.try_clone().expect("a socket");
                    thread::spawn(move || {
                        let mut buffer = vec![0; 64 * 1024];
                        while io.read(&mut buffer).is_ok_and(|read| read > 0) {}
                    });
                }
                connection
            })
        };
        let first = open(1).await;
        settle(&made).await;
        let before = resident_kib();
        let stalled = open(STREAMS_EACH).await;
        settle(&made).await;
        let held = resident_kib() - before;
        let each = held as f64 / STREAMS_EACH as f64;
        println!("{subject} over HTTP/2, a window of {window}: {each:.1} KiB for each stream");
        drop((first, stalled));
    });
}
