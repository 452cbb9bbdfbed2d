use crate::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Moment {
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
                assert!(request.disconnect.is_cancelled(), "{case}");
                // On hyper, the service returns bare streams, so a stream opens with the call. On
                // axum, a stream opens with its head, which never comes here if `waits`.
                if !waits || matches!(host, Host::HyperH1 | Host::HyperH2) {
                    opened += 1;
                    let report = server.report().await;
                    assert_eq!((report.reason, report.bytes), (reason, bytes as u64), "{case}");
                }
            }
        }
        assert!(server.reports.is_empty(), "{host:?}: one report each");
        assert_eq!(server.failures.load(SeqCst), 0, "{host:?}");
        let stats = server.stats.snapshot();
        assert_eq!((stats.opened, stats.open), (opened, 0), "{host:?}");
        reports += stats.opened;
    }
    assert!(log.all().iter().all(|line| line.starts_with("DEBUG ")), "{:?}", log.all());
    if cfg!(feature = "tracing") {
        assert_eq!(log.lines().len() as u64, reports, "one line for every report");
    }
}

/// Shows that the observers of the test above see failures.
#[tokio::test]
async fn source_that_fails_is_a_failure_to_the_same_observers() {
    for host in Host::ALL {
        let mut server = Watched::serve(host, Settings::default()).await;
        let (mut peer, request) = server.open(host.protocol()).await;
        request.fail(io::Error::other("disk full"));
        peer.end().await;
        request.over().await;
        assert!(request.disconnect.is_cancelled(), "{host:?}");
        assert_eq!(server.report().await.reason, CloseReason::Failed);
        assert_eq!(server.failures.load(SeqCst), 1, "{host:?}");
    }
}
