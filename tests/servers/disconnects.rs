use crate::*;

/// The moment at which a client leaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
    /// While the handler still runs.
    BeforeTheHead,
    BeforeTheFirstByte,
    AfterAnEvent,
}

impl Moment {
    const ALL: [Self; 3] = [Self::BeforeTheHead, Self::BeforeTheFirstByte, Self::AfterAnEvent];
}

#[tokio::test]
async fn client_that_leaves_is_reported_once_and_never_as_a_failure() {
    let (log, _recording) = Log::record();
    let mut reports = 0;
    for host in Host::ALL {
        let mut server = Watched::serve(host, Settings::default()).await;
        let mut opened = 0;
        for &how in Leave::all(host.protocol()) {
            for moment in Moment::ALL {
                let mut peer = Peer::connect(server.address, host.protocol()).await;
                let waits = moment == Moment::BeforeTheHead;
                peer.request("GET", if waits { "/waiting" } else { "/" }).await;
                let request = server.request().await;
                let mut bytes = 0;
                if !waits {
                    assert!(peer.head().await);
                }
                if moment == Moment::AfterAnEvent {
                    request.send("one");
                    bytes = b"data: one\n\n".len();
                    peer.bytes(bytes).await;
                }
                assert!(!request.is_dropped() && !request.disconnect.is_cancelled());

                let _connection = peer.leave(how).await;
                request.over().await;
                let case = format!("{host:?}, {how:?}, {moment:?}");
                let reason = CloseReason::Disconnected;
                assert_eq!(request.disconnect.reason(), Some(reason), "{case}");
                // A bare stream opens at the call, others at the head.
                if !waits || matches!(host, Host::HyperH1 | Host::HyperH2) {
                    opened += 1;
                    let report = server.report().await;
                    assert_eq!((report.reason, report.bytes), (reason, bytes as u64), "{case}");
                }
            }
        }
        assert!(!server.has_report(), "{host:?}: one report each");
        assert_eq!(server.failures(), 0, "{host:?}");
        let stats = server.stats();
        assert_eq!((stats.opened, stats.open), (opened, 0), "{host:?}");
        reports += stats.opened;
    }
    assert!(log.all().iter().all(|line| line.starts_with("DEBUG ")), "{:?}", log.all());
    if cfg!(feature = "tracing") {
        assert_eq!(log.lines().len() as u64, reports, "one line for every report");
    }
}

/// A check that the observers of the test above are not blind.
#[tokio::test]
async fn source_that_fails_is_a_failure_to_the_same_observers() {
    for host in Host::ALL {
        let mut server = Watched::serve(host, Settings::default()).await;
        let mut peer = Peer::connect(server.address, host.protocol()).await;
        peer.request("GET", "/").await;
        let request = server.request().await;
        request.fail(io::Error::other("disk full"));
        peer.end().await;
        request.over().await;
        assert_eq!(request.disconnect.reason(), Some(CloseReason::Failed), "{host:?}");
        assert_eq!(server.report().await.reason, CloseReason::Failed);
        assert_eq!(server.failures(), 1, "{host:?}");
    }
}

#[tokio::test]
async fn cancelled_stream_does_not_end_another_on_its_connection() {
    for host in [Host::AxumH2, Host::HyperH2] {
        let mut server = Fed::serve(host).await;
        let (leaving, left) = server.open().await;
        let (mut events, source) = server.open().await;
        drop(leaving);
        left.dropped().await;
        source.send("one");
        assert_eq!(events.next().await.unwrap().data, "one", "{host:?}");
    }
}

/// The server writes to a vanished peer only if it has something to write.
#[tokio::test(start_paused = true)]
async fn heartbeat_detects_a_vanished_client() {
    for protocol in Protocol::BOTH {
        let (mut sources, handler) = streams();
        let service = ServiceBuilder::new().layer(SseLayer::new()).service_fn(
            move |request: Request<Incoming>| {
                let response = handler(request.into_parts().0);
                async { Ok::<_, std::convert::Infallible>(response) }
            },
        );
        let (io, far_end) = tokio::io::duplex(64 * 1024);
        let gate = Gate::vanishing();
        tokio::spawn(serve_connection(Gated { io, gate: Arc::clone(&gate) }, protocol, service));
        let response = protocol.over(far_end).await.get("http://localhost/").await;
        let mut events = EventReader::new(response);
        let source = sources.next().await;
        source.send("one");
        assert_eq!(events.next().await.unwrap().data, "one");

        gate.close();
        let since = Instant::now();
        timeout(Duration::from_secs(600), source.dropped()).await.unwrap();
        let (noticed, interval) = (since.elapsed(), Duration::from_secs(15));
        assert!(
            noticed >= interval && noticed < interval * 18 / 16,
            "{protocol:?}: after {noticed:?}"
        );
    }
}
