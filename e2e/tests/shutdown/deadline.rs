//! Clients that do not read: they delay a graceful shutdown up to its deadline, and their streams
//! still have close reports.

use std::{
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    thread,
    time::Instant,
};

use socket2::SockRef;
use tokio::{net::TcpListener, runtime::Runtime, task::yield_now};

use crate::*;

const DEADLINE: Duration = Duration::from_millis(300);

/// Returns the close reports once the server has returned, and once its runtime is gone.
fn reports_of(host: Host) -> (Vec<CloseReason>, Vec<CloseReason>) {
    let (servers, clients) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let reports = Reports::default();
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone()).drain(Drain::at_once());
    let layer = reports.observe(layer);
    let full = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&full);
    let handler = handler(move |parts| match parts.uri.path() {
        "/flood" => {
            let counted = Arc::clone(&counted);
            flood(parts.version, move || _ = counted.fetch_add(1, SeqCst))
        }
        path => Source::at(path).answer(None),
    });
    let listener = servers.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    // Accepted sockets inherit it from the listener.
    SockRef::from(&listener).set_send_buffer_size(SMALL_SOCKET).unwrap();
    let address = listener.local_addr().unwrap();
    let served = servers.spawn(host.serve(listener, layer, handler, shutdown.clone(), DEADLINE));

    let stalled = clients.block_on(async {
        let mut stalled = Vec::new();
        for protocol in Protocol::BOTH {
            stalled.push(Stalled::connect(protocol, address, "/flood").await);
        }
        // The first bytes arrive before the servers are full.
        soon(async {
            while full.load(SeqCst) < stalled.len() {
                yield_now().await;
            }
        })
        .await;
        let mut idle = Protocol::Http1.connect(address).await;
        let idle = idle.send(Requester::EventSource.request("/idle")).await;
        let began = Instant::now();
        shutdown.cancel();
        assert!(!read_to_end(idle).await.failed, "{host:?}");
        soon(served).await.unwrap();
        assert!(began.elapsed() >= DEADLINE, "{host:?}: after {:?}", began.elapsed());
        stalled
    });
    let returned = reports.reasons();
    servers.shutdown_timeout(Duration::from_secs(10));
    let gone = reports.reasons();
    // Until now no client has left.
    drop(stalled);
    (returned, gone)
}

const ALL: [CloseReason; 3] =
    [CloseReason::Drained, CloseReason::Disconnected, CloseReason::Disconnected];

#[test]
fn deadline_ends_streams_that_the_drain_cannot() {
    thread::scope(|scope| {
        for host in Host::ALL {
            scope.spawn(move || {
                let (_, gone) = reports_of(host);
                assert_eq!(gone, ALL, "{host:?}");
            });
        }
    });
}

/// A server that accepts its own connections can also wait for them.
#[test]
fn recipe_for_hyper_returns_when_all_reports_are_made() {
    let (returned, _) = reports_of(Host::Hyper);
    assert_eq!(returned, ALL);
}
