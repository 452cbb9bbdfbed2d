//! Graceful shutdowns of every server, which finish in every state of its streams, because they end
//! as their `Drain` requires.

use futures_util::future::{join_all, try_join_all};
use tokio::{sync::watch, time::Instant};
use tower_sse::Retry;

use crate::*;

const RETRY: &str = "retry: 1234\n";
const FAREWELL: &str = "event: restart\ndata: soon\n\n";

/// The end of one stream, and its time after the shutdown began.
struct Drained {
    host: Host,
    client: Requester,
    source: Source,
    end: End,
    after: Duration,
}

/// Opens a stream for each of `clients` from each of `sources` at every host over both protocols,
/// shuts the hosts down, and waits until all have finished.
async fn drain_all(drain: Drain, clients: &[Requester], sources: &[Source]) -> Vec<Drained> {
    let shutdown = CancellationToken::new();
    let (reports, stats) = (Reports::default(), Stats::new());
    let layer = SseLayer::new()
        .shutdown(shutdown.clone())
        .drain(drain.retry(Retry::fixed(Duration::from_millis(1234))))
        .farewell(Event::new().event("restart").data("soon"))
        .stats(&stats);
    let layer = reports.observe(layer);
    let handler = handler(|parts| {
        let source = parts.uri.path().strip_prefix("/always");
        Source::at(source.unwrap_or(parts.uri.path())).answer(match source {
            Some(_) => None,
            None => Some(Duration::from_millis(10)),
        })
    });

    let (mut servers, mut streams) = (Vec::new(), Vec::new());
    let (begin, begun) = watch::channel(None);
    for host in Host::ALL {
        let server = host.start(layer.clone(), Arc::clone(&handler), &shutdown).await;
        for (client, source) in clients.iter().flat_map(|it| sources.iter().map(move |s| (*it, *s)))
        {
            for protocol in Protocol::BOTH {
                // What precedes a failure is preserved only for clients that keep up, and on HTTP/2
                // only for these: hyper closes a finished connection while the client's window
                // updates still come, and TCP resets it then. For other clients the bytes arrive as
                // fast as they read.
                let keeps_up = client.is_cut_by_failing()
                    || !source.is_busy()
                    || matches!(protocol, Protocol::Http2);
                let prefix = if keeps_up { "" } else { "/always" };
                let mut connection = protocol.connect(server.address).await;
                let path = [prefix, source.path()].concat();
                let response = connection.send(client.request(&path)).await;
                let mut begun = begun.clone();
                streams.push(tokio::spawn(async move {
                    if !keeps_up {
                        begun.changed().await.unwrap();
                    }
                    let end = read_to_end(response).await;
                    drop(connection);
                    let began: Option<Instant> = *begun.borrow();
                    let after = began.expect("no stream ends before").elapsed();
                    Drained { host, client, source, end, after }
                }));
            }
        }
        servers.push(server);
    }
    let opened = streams.len();
    assert_eq!(stats.snapshot().open, opened as u64);

    begin.send_replace(Some(Instant::now()));
    shutdown.cancel();
    let drained = soon(try_join_all(streams)).await.unwrap();
    soon(join_all(servers.into_iter().map(Server::finished))).await;
    assert_eq!(reports.reasons(), vec![CloseReason::Drained; opened]);
    assert_eq!(stats.snapshot().open, 0);
    drained
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_at_once_and_their_servers_stop() {
    for drained in drain_all(Drain::at_once(), &Requester::ALL, &Source::ALL).await {
        let Drained { host, client, source, end, after } = drained;
        source.assert_drained(client, &end, RETRY, FAREWELL);
        // A mid-event source has half a second to complete its event, and not the 5 seconds of
        // other drains.
        let patience = if source.is_mid_event() { 500 } else { 0 };
        let times = Duration::from_millis(patience)..Duration::from_secs(4);
        assert!(times.contains(&after), "{host:?}, {client:?}, {source:?}: after {after:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn per_client_all_streams_but_calls_end_at_once() {
    let clients = [Requester::EventSource, Requester::Fetch, Requester::Get];
    for drained in drain_all(Drain::per_client(), &clients, &Source::ALL).await {
        let Drained { host, client, source, end, after } = drained;
        source.assert_drained(client, &end, RETRY, FAREWELL);
        let times = match source.is_mid_event() {
            true => Duration::from_secs(5)..Duration::from_secs(15),
            false => Duration::ZERO..Duration::from_secs(4),
        };
        assert!(times.contains(&after), "{host:?}, {client:?}, {source:?}: after {after:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_spread_over_a_window() {
    let window = Duration::from_secs(1);
    let sources = [Source::Idle, Source::ForeignIdle];
    let mut times = Vec::new();
    for drained in drain_all(Drain::spread_over(window), &Requester::ALL, &sources).await {
        drained.source.assert_drained(drained.client, &drained.end, RETRY, FAREWELL);
        times.push(drained.after);
    }
    // 48 times lie within one third of the window by chance once in 10^20 runs.
    let (first, last) = (*times.iter().min().unwrap(), *times.iter().max().unwrap());
    assert!(last - first > window / 3, "from {first:?} to {last:?}");
    assert!(last < window + Duration::from_secs(3), "{last:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn streams_end_after_their_grace_and_not_before() {
    let grace = Duration::from_millis(700);
    let sources = [Source::Idle, Source::Busy, Source::ForeignIdle, Source::ForeignBusy];
    for drained in drain_all(Drain::after(grace), &Requester::ALL, &sources).await {
        let Drained { host, client, source, end, after } = drained;
        source.assert_drained(client, &end, RETRY, FAREWELL);
        assert!(after >= grace, "{host:?}, {client:?}, {source:?}: after {after:?}");
    }
}
