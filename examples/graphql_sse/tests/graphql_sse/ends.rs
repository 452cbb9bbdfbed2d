//! Servers that stop, die or send other events, connections that break, and clients that do not
//! read.

use crate::*;

/// Returns the report of a client that has connected again.
fn connected_again() -> Value {
    json!({ "connected": "again" })
}

#[tokio::test]
async fn client_takes_no_restart_and_no_crash_for_the_end() {
    for name in ["TERM", "KILL"] {
        let mut program = start_program(0).await;
        let Some(mut client) = Client::subscribe(program.address).await else { return };
        let say = r#"mutation { say(room: "kitchen", text: "soup") { number } }"#;
        run(program.address, say, 0).await.unwrap();
        assert_eq!(client.next().await, message(1, "soup"));
        let began = Instant::now();
        program.signal(name);
        program.exited().await;
        assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
        let program = start_program(program.address.port()).await;
        assert_eq!(client.next().await, connected_again());
        assert_eq!(client.next().await, reload());
        run(program.address, say, 0).await.unwrap();
        assert_eq!(client.next().await, message(1, "soup"));
    }
}

/// Shows that the error at a shutdown is one after which the client tries again.
#[tokio::test]
async fn client_without_attempts_gets_an_error_at_a_shutdown() {
    let server = Server::start().await;
    let Some(mut client) = Client::start(server.address, UPDATES, 0) else { return };
    assert_eq!(client.next().await, connected());
    assert_eq!(client.next().await, reload());
    server.shutdown.cancel();
    let report = client.next().await;
    assert_eq!(report["error"], "NetworkError: terminated", "{report}");
    soon(server.served).await.unwrap();
}

/// Shows why neither the heartbeat nor the farewell may be an event.
#[tokio::test]
async fn client_fails_at_an_event_of_another_name() {
    let heartbeat = Heartbeat::every(Duration::from_millis(20)).event("ping", "");
    let server = Server::with(graphql_layer().heartbeat(heartbeat)).await;
    let Some(reports) = run(server.address, UPDATES, 200).await else { return };
    assert_eq!(reports.last().unwrap()["error"], "Error: Invalid stream event \"ping\"");
    let farewell = Event::new().event("restart").data("");
    let server = Server::with(graphql_layer().farewell(farewell)).await;
    let mut client = Client::subscribe(server.address).await.unwrap();
    server.shutdown.cancel();
    assert_eq!(client.next().await["error"], "Error: Invalid stream event \"restart\"");
}

/// Returns the bytes of the process that are in memory, or zero where the system does not say.
fn resident() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    pages.split(' ').nth(1).map_or(0, |pages| pages.parse::<usize>().unwrap() * 4096)
}

/// For a client that has stopped reading, the server keeps little more than what the hub keeps
/// anyway.
#[tokio::test]
async fn client_that_does_not_read_reloads_and_gets_the_newest_messages() {
    const MESSAGES: usize = 3_000;
    let server = Server::start().await;
    let Some(mut client) = Client::subscribe(server.address).await else { return };
    server.until_subscribed(1).await;
    client.0.signal("STOP");
    let (text, before) = ("x".repeat(8 << 10), resident());
    for number in 1..=MESSAGES {
        server.publish(number, &text);
        // Lets the connection's task run. It stops once the buffers of the sockets are full.
        tokio::task::yield_now().await;
    }
    let (in_hub, in_all) = (server.hub.stats().memory, resident().saturating_sub(before));
    let published = MESSAGES * text.len();
    assert!(in_hub < published / 4, "{in_hub} of {published} bytes in the hub");
    assert!(in_all < published / 2, "{in_all} of {published} bytes in the process");
    client.0.signal("CONT");
    let (mut received, mut reloads, mut newest) = (0, 0, 0);
    while newest < MESSAGES {
        let update = client.next().await["next"]["data"]["updates"].take();
        match update["number"].as_u64() {
            Some(number) => {
                assert!(newest < number as usize, "{number} after {newest}");
                (newest, received) = (number as usize, received + 1);
            }
            None => reloads += 1,
        }
    }
    assert!(reloads >= 1 && received < MESSAGES, "{reloads} reloads, {received} messages");
}

/// A mutation may have happened when its connection breaks, and the client does not know.
#[tokio::test]
async fn client_repeats_a_mutation_whose_connection_broke() {
    let (listener, address) = listen().await;
    let mutation = "mutation { pay }";
    let Some(_client) = Client::start(address, mutation, 200) else {
        return;
    };
    for _ in 0..2 {
        let (mut connection, _) = soon(listener.accept()).await.unwrap();
        let mut request = Vec::new();
        while !String::from_utf8_lossy(&request).contains(mutation) {
            assert_ne!(soon(connection.read_buf(&mut request)).await.unwrap(), 0);
        }
    }
}
