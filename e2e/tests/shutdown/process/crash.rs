//! A process that is killed, so that it cannot tell its clients when to return.

use super::*;

const CLIENTS: usize = 1_000;

/// An `EventSource` that has received nothing but what its stream starts with.
struct Client {
    response: Response<Incoming>,
    _connection: Option<Connection>,
}

/// Opens the streams of these clients, half of which have a connection of their own.
async fn open(address: SocketAddr) -> Vec<Client> {
    let groups = stream::iter(0..CLIENTS / SHARE).map(async |group| {
        let mut shared = match group % 2 {
            0 => None,
            _ => Some(Protocol::Http2.connect(address).await),
        };
        let mut clients = Vec::new();
        for number in 0..SHARE {
            let path = format!("/silent?{}", group * SHARE + number);
            let request = Requester::EventSource.request(&path);
            let (response, connection) = match &mut shared {
                Some(shared) => (shared.send(request).await, None),
                None => {
                    let mut own = Protocol::Http1.connect(address).await;
                    (own.send(request).await, Some(own))
                }
            };
            clients.push(Client { response, _connection: connection });
        }
        clients
    });
    groups.buffered(4).concat().await
}

/// Returns when an `EventSource` returns that has received these bytes, in milliseconds from the end
/// of its stream: after the time of the last `retry` line, or after the 3 seconds of most browsers.
fn returns_after(received: &[u8]) -> u64 {
    let lines = str::from_utf8(received).unwrap().lines();
    let mut times = lines.filter_map(|line| line.strip_prefix("retry: "));
    times.next_back().map_or(3_000, |time| time.parse().unwrap())
}

/// Returns how many of these times are in the fullest tenth of a second.
fn fullest_tenth(times: &[u64]) -> usize {
    let from = |start: u64| times.iter().filter(|time| (start..start + 100).contains(time)).count();
    times.iter().map(|start| from(*start)).max().unwrap()
}

/// With the browsers' own time, all of them would return within the same tenth of a second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_of_a_killed_process_do_not_return_at_the_same_time() {
    let _turn = TURN.lock().await;
    let mut server = Server::start("Axum", PATIENCE).await;
    let clients = open(server.process.address).await;
    let reading = clients.into_iter().map(|client| {
        tokio::spawn(async move {
            let mut body = client.response.into_body();
            // hyper sends it together with the head.
            let first = soon(body.frame()).await.unwrap().unwrap().into_data().unwrap();
            let rest = async move {
                let mut received = first.to_vec();
                while let Some(Ok(frame)) = body.frame().await {
                    received.extend_from_slice(&frame.into_data().unwrap_or_default());
                }
                received
            };
            (client._connection, rest)
        })
    });
    let reading = try_join_all(reading.collect::<Vec<_>>()).await.unwrap();
    server.process.kill().await;
    let mut times = Vec::new();
    for (_connection, rest) in reading {
        times.push(returns_after(&soon(rest).await));
    }
    assert_eq!(times.len(), CLIENTS);
    let most = fullest_tenth(&times);
    println!("{most} of {CLIENTS} clients return within the fullest tenth of a second");
    assert!(most <= 60, "{most} of {CLIENTS} clients in a tenth of a second");
}
