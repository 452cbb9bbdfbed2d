//! Servers that are shut down or killed while clients read: each client gets the whole answer or an
//! error.

use crate::*;

/// Two seconds.
const PACE: Pace = Pace::new(200, 10);
/// A port that the system chooses.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const ENOUGH: Duration = Duration::from_secs(15);
const TOO_SHORT: Duration = Duration::from_millis(300);
const FEW: [Kind; 2] = [Kind::EventSource, Kind::FetchEventSource];
const ALL: [Kind; 8] = [
    Kind::EventSource,
    Kind::FetchEventSource,
    Kind::TanStack,
    Kind::Ai,
    Kind::OpenAi,
    Kind::OpenAiPython,
    Kind::LangGraph,
    Kind::LangGraphPython,
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    EventSource,
    FetchEventSource,
    TanStack,
    Ai,
    OpenAi,
    OpenAiPython,
    LangGraph,
    LangGraphPython,
}

impl Kind {
    fn start(self, packages: Packages, server: &Process) -> Option<Client> {
        let url = |path| format!("http://{}{path}", server.address);
        let node = |package, script, path| Client::node(packages, package, script, &[&url(path)]);
        match self {
            Self::EventSource => node("eventsource", "event_source.mjs", "/words/1"),
            Self::FetchEventSource => {
                node("@microsoft/fetch-event-source", "fetch_event_source.mjs", "/words/2")
            }
            Self::TanStack => node("@tanstack/ai-client", "tanstack.mjs", "/ag-ui"),
            Self::Ai => Client::node(packages, "ai", "ai_ask.mjs", &["ai", &url("/chat")]),
            Self::OpenAi => node("openai", "openai.mjs", "/v1"),
            Self::OpenAiPython => Client::python("openai_client.py", &[&url("/v1")]),
            Self::LangGraph => node("@langchain/langgraph-sdk", "langgraph.mjs", ""),
            Self::LangGraphPython => Client::python("langgraph_client.py", &[&url("")]),
        }
    }
}

/// Starts a server, and a client that has read a part of its answer.
async fn start(kind: Kind, packages: Packages, grace: Duration) -> Option<(Process, Client)> {
    let server = server::start(ANY, PACE, grace).await;
    let mut client = kind.start(packages, &server)?;
    client.until_received(200).await;
    Some((server, client))
}

/// Replaces a server whose clients are reading.
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

async fn every_client_completes(kinds: &[Kind], packages: Packages) {
    for kind in kinds {
        let started = start(*kind, packages, ENOUGH).await;
        let Some((mut server, mut client)) = started else { return };
        server.signal("TERM");
        match kind {
            // It goes on trying to reconnect.
            Kind::EventSource => client.until_received(PACE.text(0).len()).await,
            _ => assert_eq!(client.end().await, "complete", "{kind:?}"),
        }
        assert_eq!(client.text, PACE.text(0), "{kind:?}");
        assert!(server.exited().await.success(), "{kind:?}");
    }
}

async fn every_client_is_told(kinds: &[Kind], packages: Packages, is_killed: bool) {
    for kind in kinds {
        let started = start(*kind, packages, TOO_SHORT).await;
        let Some((server, mut client)) = started else { return };
        let server = replace(server, is_killed).await;
        if *kind == Kind::EventSource {
            assert_eq!(client.until("interrupted").await, "interrupted");
        }
        let end = client.end().await;
        assert_ne!(end, "complete", "{kind:?}");
        assert!(PACE.text(0).starts_with(&client.text), "{kind:?}");
        assert!(client.text.len() < PACE.text(0).len(), "{kind:?}");
        assert_eq!(server::calls(&server).await, 0, "{kind:?}");
        println!("killed: {is_killed}, {kind:?}: {end}");
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
    every_client_completes(&FEW, Packages::Few).await;
}

#[tokio::test]
async fn sigterm_with_too_little_grace_tells_every_client() {
    every_client_is_told(&FEW, Packages::Few, false).await;
}

#[tokio::test]
async fn sigkill_tells_every_client_and_makes_no_call_again() {
    every_client_is_told(&FEW, Packages::Few, true).await;
}

#[tokio::test]
#[ignore = "of .ci/slow runs"]
async fn sigterm_with_enough_grace_completes_every_answer_of_all_clients() {
    every_client_completes(&ALL, Packages::All).await;
}

#[tokio::test]
#[ignore = "of .ci/slow runs"]
async fn sigterm_with_too_little_grace_tells_all_clients() {
    every_client_is_told(&ALL, Packages::All, false).await;
}

#[tokio::test]
#[ignore = "of .ci/slow runs"]
async fn sigkill_tells_all_clients_and_makes_no_call_again() {
    every_client_is_told(&ALL, Packages::All, true).await;
}
