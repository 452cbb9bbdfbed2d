//! A process that is killed, so that it cannot tell its clients when to return.

use super::*;

const CLIENTS: usize = 1_000;

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
    let mut server = start(Host::Axum).await;
    let request = |_| Requester::EventSource.request("/silent");
    let mut clients = Vec::new();
    for (mut response, connection) in open(server.address, CLIENTS, request).await {
        // hyper sends it together with the head.
        let first = soon(response.body_mut().frame()).await.unwrap().unwrap();
        clients.push((first.into_data().unwrap(), response, connection));
    }
    server.kill().await;
    let mut times = Vec::new();
    for (first, response, _connection) in clients {
        let rest = read_to_end(response).await.bytes;
        times.push(returns_after(&[&first[..], &rest].concat()));
    }
    assert_eq!(times.len(), CLIENTS);
    let most = fullest_tenth(&times);
    println!("{most} of {CLIENTS} clients return within the fullest tenth of a second");
    assert!(most <= 60, "{most} of {CLIENTS} clients in a tenth of a second");
}
