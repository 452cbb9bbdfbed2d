use crate::*;

pub(crate) async fn run(name: &str) -> Process {
    serve(&mut Command::new(example_program(name))).await
}

pub(crate) async fn serve(command: &mut Command) -> Process {
    Process::serve(command.env("PORT", "0")).await
}

/// Opens a stream, after this last event id if it is not empty.
pub(crate) async fn open(address: SocketAddr, path: &str, last: &str) -> EventReader<Incoming> {
    // Each cookie has its own header field, as browsers send cookies over HTTP/2.
    let headers = [("cookie", "theme=dark"), ("cookie", "visitor=ann"), ("last-event-id", last)];
    EventReader::new(client::get(address, path, &headers).await)
}

pub(crate) async fn post(address: SocketAddr, path: &str, text: &str) -> String {
    let headers = [("content-type", "application/json")];
    let response = client::post(address, path, &headers, text.to_owned()).await;
    assert!(response.status().is_success(), "{}", response.status());
    let body = soon(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8_lossy(&body).into_owned()
}

/// Returns the next event that isn't a heartbeat for a page.
pub(crate) async fn next(events: &mut EventReader<Incoming>) -> Message {
    loop {
        let event = events.next().await.unwrap();
        if event.event != "heartbeat" {
            return event;
        }
    }
}
