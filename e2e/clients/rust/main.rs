//! Clients from crates.io. `rust-clients CLIENT SITUATION=URL...` prints a line of JSON for each
//! event, and one when the client returns.

use std::{env, time::Duration};

use eventsource_client::{Client, ClientBuilder, SSE};
use eventsource_stream::Eventsource;
use futures_util::{StreamExt, future::join_all};
use launchdarkly_sdk_transport::HyperTransport;
use reqwest_eventsource::{Event, EventSource};
use serde_json::json;
use sseer::reqwest::StreamEvent;

fn print(at: &str, event: &str, data: &str) {
    let short: String = data.chars().take(40).collect();
    println!("{}", json!({"at": at, "event": event, "data": short, "size": data.len()}));
}

fn over(at: &str, error: &str) {
    println!("{}", json!({"at": at, "over": error}));
}

async fn eventsource_client(at: &str, url: &str) {
    let transport = HyperTransport::new().expect("a transport");
    let client = ClientBuilder::for_url(url).expect("a URL").build_with_transport(transport);
    let mut stream = client.stream();
    while let Some(item) = stream.next().await {
        match item {
            Ok(SSE::Event(event)) => print(at, &event.event_type, &event.data),
            Ok(_) => {}
            Err(error) => eprintln!("{at}: {error}"),
        }
    }
    over(at, "over");
}

async fn reqwest_eventsource(at: &str, request: reqwest::RequestBuilder) {
    let mut source = EventSource::new(request).expect("a request that can be repeated");
    while let Some(item) = source.next().await {
        match item {
            Ok(Event::Open) => {}
            Ok(Event::Message(event)) => print(at, &event.event, &event.data),
            Err(error) => eprintln!("{at}: {error}"),
        }
    }
    over(at, "over");
}

async fn sseer(at: &str, url: &str) {
    let request = reqwest_013::Client::new().get(url);
    let mut source = sseer::reqwest::EventSource::new(request).expect("it can be repeated");
    while let Some(item) = source.next().await {
        match item {
            Ok(StreamEvent::Open) => {}
            Ok(StreamEvent::Event(event)) => print(at, &event.event, &event.data),
            Err(error) => eprintln!("{at}: {error}"),
        }
    }
    over(at, "over");
}

/// A decoder, which does not reconnect.
async fn eventsource_stream(at: &str, url: &str) {
    let response =
        match reqwest::Client::new().get(url).header("accept", "text/event-stream").send().await {
            Ok(response) => response,
            Err(error) => return over(at, &error.to_string()),
        };
    if response.status() != 200 {
        return over(at, response.status().as_str());
    }
    let mut events = response.bytes_stream().eventsource();
    while let Some(item) = events.next().await {
        match item {
            Ok(event) => print(at, &event.event, &event.data),
            Err(error) => return over(at, &error.to_string()),
        }
    }
    over(at, "");
}

fn sse_client(at: String, url: &str) {
    let source = sse_client::EventSource::new(url).expect("a URL");
    std::thread::spawn(move || {
        for event in source.receiver().iter() {
            print(&at, &event.type_, &event.data);
        }
        over(&at, "over");
    });
}

async fn run(client: &str, at: &str, url: &str) {
    let http = reqwest::Client::new();
    match client {
        "eventsource-client" => eventsource_client(at, url).await,
        "reqwest-eventsource" => reqwest_eventsource(at, http.get(url)).await,
        "reqwest-eventsource, set" => {
            reqwest_eventsource(at, http.get(url).header("cache-control", "no-cache")).await;
        }
        "sseer" => sseer(at, url).await,
        "eventsource-stream" => eventsource_stream(at, url).await,
        "sse-client" => sse_client(at.to_owned(), url),
        _ => panic!("no client {client}"),
    }
}

#[tokio::main]
async fn main() {
    let mut arguments = env::args().skip(1);
    let client = arguments.next().expect("a client");
    let situations: Vec<_> = arguments.collect();
    join_all(situations.iter().map(async |situation| {
        let (at, url) = situation.split_once('=').expect("SITUATION=URL");
        run(&client, at, url).await;
    }))
    .await;
    // Clients with threads of their own go on. The test ends this process.
    tokio::time::sleep(Duration::from_secs(3_600)).await;
}
