//! Requests that arrive while a server is draining.

use crate::*;

async fn assert_refused(client: Requester, response: Response<Incoming>, what: &str) {
    let (status, headers) = (response.status(), response.headers().clone());
    let end = read_to_end(response).await;
    assert!(!end.failed, "{what}");
    let body = String::from_utf8(end.bytes).unwrap();
    if matches!(client, Requester::EventSource | Requester::Library) {
        assert_eq!(status, 200, "{what}");
        assert_eq!(headers["content-type"], "text/event-stream", "{what}");
        let (retry, rest) =
            body.strip_prefix("retry: ").and_then(|it| it.split_once('\n')).expect(&body);
        let block = if client == Requester::Library { "event: retry\ndata: {}\n\n" } else { "" };
        assert_eq!(rest, block, "{what}");
        let retry: u64 = retry.parse().expect(&body);
        // The stream has stayed open for a second of the time.
        assert!((1_000..=9_000).contains(&retry), "{what}: {body:?}");
    } else {
        assert_eq!(status, 503, "{what}");
        let after: u64 = headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
        assert!((2..=10).contains(&after), "{what}: {after}");
        assert_eq!(body, "", "{what}");
    }
}

/// An HTTP/2 server accepts requests until its client has received the GOAWAY.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_sent_before_the_client_learns_of_the_shutdown_are_refused() {
    for host in Host::ALL {
        let shutdown = CancellationToken::new();
        let layer = SseLayer::new().shutdown(shutdown.clone()).drain(Drain::at_once());
        let handler = handler(|parts| Source::at(parts.uri.path()).answer(None));
        let server = host.start(layer, handler, &shutdown).await;
        let mut relay = Relay::to(server.address).await;
        let mut sender = connect_h2(relay.address).await;
        let idle =
            soon(sender.send_request(Requester::EventSource.request("/Idle"))).await.unwrap();

        relay.hold();
        shutdown.cancel();
        relay.has_seen(1, GOAWAY).await;
        let answered = relay.frames(HEADERS);
        let mut requests = Vec::new();
        for client in Requester::ALL {
            soon(sender.ready()).await.unwrap();
            requests.push((client, tokio::spawn(sender.send_request(client.request("/Idle")))));
        }
        relay.has_seen(answered + Requester::ALL.len(), HEADERS).await;
        relay.release();

        for (client, response) in requests {
            let response = soon(response).await.unwrap().unwrap();
            assert_refused(client, response, &format!("{host:?}, {client:?}")).await;
        }
        let end = read_to_end(idle).await;
        assert!(
            !end.failed && end.bytes.starts_with(b"data: hello\n\nretry: "),
            "{host:?}: {end:?}"
        );
        server.finished().await;
    }
}
