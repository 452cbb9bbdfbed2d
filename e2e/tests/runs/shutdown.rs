//! Servers that are shut down or killed while clients read: each client gets the whole answer or
//! learns that it is incomplete.

use crate::*;

/// An answer of two seconds.
const PACE: Pace = Pace::new(200, 10);
/// A port that the system chooses.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const ENOUGH: Duration = Duration::from_secs(15);
const TOO_SHORT: Duration = Duration::from_millis(300);
const FEW: &[&str] = &["eventsource", "fetch"];
const ALL: &[&str] = &[
    "eventsource",
    "fetch",
    "tanstack",
    "ai",
    "openai",
    "openai-python",
    "langgraph",
    "langgraph-python",
];

/// Starts a server, and a client that has read a part of its answer.
async fn start(name: &str, packages: Packages, grace: Duration) -> Option<(Process, Client)> {
    let server = server::start(ANY, PACE, grace).await;
    let mut client = Client::of(name, packages, &format!("http://{}", server.address))?;
    client.until_received(200).await;
    Some((server, client))
}

async fn replace(mut server: Process, is_killed: bool) -> Process {
    match is_killed {
        true => server.kill().await,
        false => {
            server.signal("TERM");
            assert!(server.exited().await.success());
        }
    }
    server::start(server.address, PACE, ENOUGH).await
}

async fn every_client_completes(names: &[&str], packages: Packages) {
    for name in names {
        let started = start(name, packages, ENOUGH).await;
        let Some((mut server, mut client)) = started else { return };
        server.signal("TERM");
        match *name {
            // An `EventSource` goes on reconnecting after the end, so it reports no end.
            "eventsource" => client.until_received(PACE.text(0).len()).await,
            _ => assert_eq!(client.end().await, "complete", "{name}"),
        }
        assert_eq!(client.text, PACE.text(0), "{name}");
        assert!(server.exited().await.success(), "{name}");
    }
}

async fn every_client_is_told(names: &[&str], packages: Packages) {
    for (name, is_killed) in names.iter().flat_map(|name| [(name, false), (name, true)]) {
        let started = start(name, packages, TOO_SHORT).await;
        let Some((server, mut client)) = started else { return };
        let server = replace(server, is_killed).await;
        if *name == "eventsource" {
            assert_eq!(client.until("interrupted").await, "interrupted");
        }
        let end = client.end().await;
        assert_ne!(end, "complete", "{name}");
        assert!(PACE.text(0).starts_with(&client.text), "{name}");
        assert!(client.text.len() < PACE.text(0).len(), "{name}");
        assert_eq!(server::calls(&server).await, 0, "{name}");
        println!("killed: {is_killed}, {name}: {end}");
    }
}

#[tokio::test]
async fn sigterm_with_enough_grace_completes_the_answer_of_chromium() {
    let mut server = server::start(ANY, PACE, ENOUGH).await;
    let Some(page) = Page::open(server.address).await else { return };
    page.until_received(200).await;
    server.signal("TERM");
    assert!(server.exited().await.success());
    assert_eq!(page.until_received(PACE.text(0).chars().count()).await, PACE.text(0));
    assert_eq!(page.told().await, 0);
}

#[tokio::test]
async fn sigkill_and_too_little_grace_tell_chromium() {
    for is_killed in [false, true] {
        let server = server::start(ANY, PACE, TOO_SHORT).await;
        let Some(page) = Page::open(server.address).await else { return };
        page.until_received(200).await;
        let server = replace(server, is_killed).await;
        let half = page.end().await;
        assert_eq!(page.told().await, 1, "killed: {is_killed}");
        assert!(half.len() < PACE.text(0).len() && PACE.text(0).starts_with(&half), "{half}");
        assert_eq!(server::calls(&server).await, 0);
    }
}

#[tokio::test]
async fn sigterm_with_enough_grace_completes_every_answer() {
    every_client_completes(FEW, Packages::Few).await;
}

#[tokio::test]
async fn sigkill_and_too_little_grace_tell_clients_without_a_second_call() {
    every_client_is_told(FEW, Packages::Few).await;
}

#[tokio::test]
#[ignore = "of .ci/slow runs"]
async fn sigterm_with_enough_grace_completes_every_answer_of_all_clients() {
    every_client_completes(ALL, Packages::All).await;
}

#[tokio::test]
#[ignore = "of .ci/slow runs"]
async fn sigkill_and_too_little_grace_tell_each_client_without_a_second_call() {
    every_client_is_told(ALL, Packages::All).await;
}
