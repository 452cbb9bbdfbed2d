//! Real processes that receive a SIGTERM.

mod server;

use crate::*;

const STREAMS: usize = 500;
/// The number of streams that share an HTTP/2 connection.
const SHARE: usize = 50;

/// Opens streams, half of which have a connection of their own.
async fn open(
    address: SocketAddr,
    request: impl Fn(usize) -> Request<Full<Bytes>>,
) -> Vec<(Response<Incoming>, Option<Connection>)> {
    let groups = stream::iter(0..STREAMS / SHARE).map(async |group| {
        let mut shared = match group % 2 {
            0 => None,
            _ => Some(Protocol::Http2.connect(address).await),
        };
        let mut streams = Vec::new();
        for number in group * SHARE..(group + 1) * SHARE {
            streams.push(match &mut shared {
                // The shared connection lives as long as it has streams.
                Some(shared) => (shared.send(request(number)).await, None),
                None => {
                    let mut own = Protocol::Http1.connect(address).await;
                    (own.send(request(number)).await, Some(own))
                }
            });
        }
        streams
    });
    groups.buffered(4).concat().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn process_with_500_streams_exits_within_a_second() {
    for host in Host::ALL {
        let task = format!("{host:?}");
        let mut server = Process::start("process::server::serves_until_sigterm", task).await;
        let kind = |number: usize| {
            let client = Requester::ALL[number / Source::ALL.len() % Requester::ALL.len()];
            (client, Source::ALL[number % Source::ALL.len()])
        };
        let request = |number| {
            let (client, source) = kind(number);
            client.request(&format!("{}?{number}", source.path()))
        };
        let streams = open(server.address, request).await;
        let reading = streams.into_iter().enumerate().map(|(number, (response, _connection))| {
            let (client, source) = kind(number);
            tokio::spawn(async move {
                let end = read_to_end(response).await;
                source.assert_drained(client, &end);
                drop(_connection);
            })
        });
        let reading = try_join_all(reading.collect::<Vec<_>>());
        let signalled = Instant::now();
        server.signal("TERM");
        soon(reading).await.unwrap();
        let printed = server.rest().await;
        assert!(server.exited().await.success());
        let gone = signalled.elapsed();
        let after = |prefix| printed.iter().filter_map(move |line| line.strip_prefix(prefix));
        let exit = after("exits ").next().expect("the end of main").parse().unwrap();
        let exit = Duration::from_millis(exit);
        println!(
            "{host:?}: {STREAMS} streams, main ended {exit:?} after the signal, \
             the process was gone {gone:?} after it was sent"
        );
        // Mid-event sources get half a second for the rest of their event. On a busy machine, the
        // exit may take one second more than the name of this test says.
        assert!(gone > Duration::from_millis(500) && exit < Duration::from_secs(2), "{exit:?}");
        let (mut closed, mut all): (Vec<_>, Vec<_>) = (
            after("closed ").map(str::to_owned).collect(),
            (0..STREAMS).map(|number| format!("{number} drained")).collect(),
        );
        closed.sort_unstable();
        all.sort_unstable();
        assert_eq!(closed, all, "{host:?}");
    }
}
