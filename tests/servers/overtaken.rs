//! On HTTP/2 a reset clears what the server has not written yet. While a socket is full, a failure
//! must wait for the head and the last events of its stream.

use h2::{RecvStream, client::ResponseFuture};

use crate::*;

const ROUNDS: usize = 5;
const FLOODS: usize = 4;
const FAILURES: usize = 100;
/// How long the client does not read: longer than the layer usually delays a failure.
const PAUSE: Duration = Duration::from_millis(30);

fn flood_or_fail(path: &str) -> http::Response<Body> {
    if path == "/flood" {
        let event = Encoded::from(Event::from("flood ".repeat(10_000)));
        return tower_sse::response(stream::repeat(event)).map(Body::new);
    }
    let items = [Ok(Event::from("last")), Err(io::Error::other("disk full"))];
    tower_sse::response(stream::iter(items)).map(Body::new)
}

/// Returns whether the head, the last event and then the failure arrive.
async fn is_complete(response: ResponseFuture) -> bool {
    let Ok(response) = soon(response).await else {
        return false;
    };
    let (received, failed) = read_to_end(response.into_body()).await;
    received.starts_with(b"data: last\n\n") && failed
}

async fn read_to_end(mut body: RecvStream) -> (Vec<u8>, bool) {
    let mut received = Vec::new();
    while let Some(data) = soon(body.data()).await {
        match data {
            Ok(data) => received.extend_from_slice(&data),
            Err(_) => return (received, true),
        }
    }
    (received, false)
}

fn get(path: &str) -> Request<()> {
    Request::get(format!("http://localhost{path}")).body(()).unwrap()
}

/// Returns how many of the failing streams arrive completely.
async fn round(address: SocketAddr) -> usize {
    let gate = Arc::new(Gate::default());
    let io = TcpStream::connect(address).await.unwrap();
    let io = Gated { io, gate: Arc::clone(&gate) };
    let (mut sender, connection) = h2::client::Builder::new()
        .initial_window_size(16 << 20)
        .initial_connection_window_size(128 << 20)
        .handshake::<_, Bytes>(io)
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut floods = Vec::new();
    for _ in 0..FLOODS {
        sender = sender.ready().await.unwrap();
        let (response, _) = sender.send_request(get("/flood"), true).unwrap();
        floods.push(soon(response).await.unwrap().into_body());
    }
    gate.close();
    let mut failures = Vec::new();
    for _ in 0..FAILURES {
        sender = sender.ready().await.unwrap();
        failures.push(sender.send_request(get("/fail"), true).unwrap().0);
    }
    tokio::time::sleep(PAUSE).await;
    drop(floods);
    gate.open();
    let complete = join_all(failures.into_iter().map(is_complete)).await;
    connection.abort();
    complete.into_iter().filter(|complete| *complete).count()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reset_does_not_overtake_the_head_and_the_last_event() {
    for host in [Host::AxumH2, Host::HyperH2] {
        let address =
            host.serve(SseLayer::new(), |parts: Parts| flood_or_fail(parts.uri.path())).await;
        let mut complete = 0;
        for _ in 0..ROUNDS {
            complete += round(address).await;
        }
        assert_eq!(complete, ROUNDS * FAILURES, "{host:?}");
    }
}
