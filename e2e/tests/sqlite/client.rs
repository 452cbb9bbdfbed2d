//! A client that connects to any running process.

use super::*;

/// The addresses of the processes that live.
pub(crate) type Servers = Arc<Mutex<Vec<SocketAddr>>>;

/// Reads from `last` on up to the event `end` and returns the data of all events before it.
pub(crate) async fn read_to_end(
    http: reqwest::Client,
    servers: Servers,
    client: usize,
    mut last: String,
) -> Vec<String> {
    let mut received = Vec::new();
    for attempt in client.. {
        let address = {
            let servers = servers.lock().unwrap();
            servers[attempt % servers.len()]
        };
        let request = http.get(format!("http://{address}/events")).header("last-event-id", &last);
        let Ok(response) = request.header(ACCEPT, "text/event-stream").send().await else {
            sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (mut stream, mut decoder) = (response.bytes_stream(), Decoder::new());
        while let Some(Ok(mut bytes)) = stream.next().await {
            while let Some(message) = decoder.decode(&mut bytes).unwrap() {
                assert_ne!(message.event, "gap", "client {client} after {:?}", received.last());
                if message.event == "retry" {
                    continue; // a process that is shutting down refused the stream, without an id
                }
                last = message.last_event_id.to_string();
                match message.data == "end" {
                    true => return received,
                    false => received.push(message.data),
                }
            }
        }
    }
    unreachable!("the loop is endless")
}
