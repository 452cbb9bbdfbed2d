//! Many streams over one HTTP/2 connection.

use std::{
    io::Read,
    sync::{Arc, atomic::AtomicU64},
    thread,
};

use tokio_util::sync::CancellationToken;
use tower_sse::hub::Hub;
use tower_sse_benches::http2;

use super::{endless, layer, on_one_thread, resident_kib, serve, settle, silent};

/// The number of streams of one connection.
const STREAMS_EACH: u64 = 100;
/// The initial window of a stream (RFC 9113, section 6.9.2).
const WINDOW: u32 = (1 << 16) - 1;

/// Measures the memory of each idle stream, once its client has the head.
pub(super) fn idle(subject: &str) {
    const CONNECTIONS: u64 = 20;

    on_one_thread(|listener| async {
        let address = listener.local_addr().expect("an address");
        let shutdown = CancellationToken::new();
        let (layer, served) = (layer(subject, &shutdown), subject.to_owned());
        let hub = Hub::new();
        tokio::spawn(serve(listener, layer, move || silent(&served, &hub)));
        let open = move |connections| {
            tokio::task::spawn_blocking(move || -> Vec<_> {
                (0..connections).map(|_| http2::open(address, STREAMS_EACH, WINDOW)).collect()
            })
        };
        let first = open(1).await.expect("a client");
        let before = resident_kib();
        let streams = open(CONNECTIONS).await.expect("clients");
        let held = resident_kib() - before;
        let count = CONNECTIONS * STREAMS_EACH;
        println!("{subject} over HTTP/2: {:.2} KiB for each stream", held as f64 / count as f64);
        drop((first, streams));
    });
}

/// Measures the memory of each stream of one connection after `window` of its bytes were taken.
pub(super) fn stalled(subject: &str, window: u32, reads: bool) {
    on_one_thread(|listener| async {
        let address = listener.local_addr().expect("an address");
        let made = Arc::new(AtomicU64::new(0));
        let layer = layer(subject, &CancellationToken::new());
        let (served, counted) = (subject.to_owned(), Arc::clone(&made));
        tokio::spawn(serve(listener, layer, move || endless(&served, Arc::clone(&counted))));
        let open = move |streams| {
            tokio::task::spawn_blocking(move || {
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
        let first = open(1).await.expect("a client");
        settle(&made).await;
        let before = resident_kib();
        let stalled = open(STREAMS_EACH).await.expect("a client");
        settle(&made).await;
        let held = resident_kib() - before;
        let each = held as f64 / STREAMS_EACH as f64;
        println!("{subject} over HTTP/2, a window of {window}: {each:.1} KiB for each stream");
        drop((first, stalled));
    });
}
