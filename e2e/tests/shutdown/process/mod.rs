//! Real processes that receive a SIGTERM, or are killed.

mod child;
mod crash;
mod server;

use tokio::sync::Mutex;

use self::child::Server;
use crate::*;

const STREAMS: usize = 500;
const STALLED: usize = 50;
/// The number of streams that share an HTTP/2 connection.
const SHARE: usize = 50;

/// The measured tests take turns.
static TURN: Mutex<()> = Mutex::const_new(());

struct Stream {
    client: Requester,
    source: Source,
    response: Response<Incoming>,
    _connection: Option<Connection>,
}

/// Opens streams of all kinds, half of them over HTTP/1, numbered from 0.
async fn open(server: &Server) -> Vec<Stream> {
    let groups = (0..STREAMS).collect::<Vec<_>>();
    let groups = groups.chunks(SHARE).map(<[usize]>::to_vec).collect::<Vec<_>>();
    let opened = stream::iter(groups.into_iter().enumerate()).map(async |(at, numbers)| {
        let mut shared = match at % 2 {
            0 => None,
            _ => Some(Protocol::Http2.connect(server.process.address).await),
        };
        let mut streams = Vec::new();
        for number in numbers {
            let source = Source::ALL[number % Source::ALL.len()];
            let client = Requester::ALL[number / Source::ALL.len() % Requester::ALL.len()];
            let path = format!("{}?{number}", source.path());
            let (response, connection) = match &mut shared {
                Some(shared) => (shared.send(client.request(&path)).await, None),
                None => {
                    let mut own = Protocol::Http1.connect(server.process.address).await;
                    (own.send(client.request(&path)).await, Some(own))
                }
            };
            streams.push(Stream { client, source, response, _connection: connection });
        }
        // The connection lives as long as it has streams.
        drop(shared);
        streams
    });
    opened.buffered(4).concat().await
}

/// Opens streams whose clients do not read, numbered from `STREAMS`, and waits until their servers
/// cannot send any more.
async fn open_stalled(server: &Server) -> Vec<Stalled> {
    let stalled = (STREAMS..STREAMS + STALLED).map(|number| async move {
        let protocol = Protocol::BOTH[number % 2];
        Stalled::connect(protocol, server.process.address, &format!("/flood?{number}")).await
    });
    let stalled = stream::iter(stalled).buffered(8).collect().await;
    server.stalled(STALLED).await;
    stalled
}

/// Shuts the server down, and asserts that each of the `streams` ends as it should.
async fn shut_down(server: &Server, streams: Vec<Stream>) {
    let reading = streams.into_iter().map(|stream| {
        tokio::spawn(async move {
            let Stream { client, source, response, _connection } = stream;
            let end = read_to_end(response).await;
            source.assert_drained(client, &end, "retry: 1234\n", "event: restart\ndata: soon\n\n");
        })
    });
    let reading = try_join_all(reading.collect::<Vec<_>>());
    server.process.signal("TERM");
    soon(reading).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_with_500_streams_exits_within_a_second() {
    for host in Host::ALL {
        let _turn = TURN.lock().await;
        let server = Server::start(&format!("{host:?}"), 3 * PATIENCE).await;
        let streams = open(&server).await;
        let signalled = Instant::now();
        shut_down(&server, streams).await;
        let output = server.output().await;
        let (exit, gone) = (output.exit.expect("the end of main"), signalled.elapsed());
        println!(
            "{host:?}: {STREAMS} streams, main ended {exit:?} after the signal, \
             the process was gone {gone:?} after it was sent"
        );
        // Half a second is for mid-event sources. A busy machine is allowed one second more.
        assert!(gone > Duration::from_millis(500) && exit < Duration::from_secs(2), "{exit:?}");
        for number in 0..STREAMS {
            assert_eq!(output.closed[&number], "drained", "{host:?}, stream {number}");
        }
        assert_eq!(output.closed.len(), STREAMS);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_with_50_stalled_clients_exits_at_the_deadline() {
    let turn = TURN.lock().await;
    let deadline = Duration::from_secs(2);
    let server = Server::start("Axum", deadline).await;
    let streams = open(&server).await;
    let stalled = open_stalled(&server).await;
    let signalled = Instant::now();
    shut_down(&server, streams).await;
    // From here on nothing happens until the deadline.
    drop(turn);
    let output = server.output().await;
    let (exit, gone) = (output.exit.expect("the end of main"), signalled.elapsed());
    println!(
        "{STREAMS} streams and {STALLED} that are not read, a deadline of {deadline:?}: \
         main ended {exit:?} after the signal, the process was gone {gone:?} after it was sent"
    );
    assert!(gone >= deadline && exit < deadline + Duration::from_secs(1), "{exit:?}, {gone:?}");
    for number in 0..STREAMS + STALLED {
        let reason = if number < STREAMS { "drained" } else { "disconnected" };
        assert_eq!(output.closed[&number], reason, "stream {number}");
    }
    assert_eq!(output.closed.len(), STREAMS + STALLED);
    drop(stalled);
}
