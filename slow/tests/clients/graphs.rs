//! LangGraph's clients, which reconnect to the `Location` of the first answer.

use crate::*;

const PACE: Pace = Pace::new(80, 10);

type Start = fn(&[&str]) -> Option<Client>;

const CLIENTS: [Start; 2] = [
    |arguments| Client::node(Packages::All, "@langchain/langgraph-sdk", "langgraph.mjs", arguments),
    |arguments| Client::python("langgraph_client.py", arguments),
];

#[tokio::test]
async fn langgraph_survives_cuts() {
    for start in CLIENTS {
        survives_cuts(start).await;
    }
}

#[tokio::test]
async fn langgraph_learns_that_a_run_is_unknown() {
    for start in CLIENTS {
        learns_that_a_run_is_unknown(start).await;
    }
}

async fn survives_cuts(start: fn(&[&str]) -> Option<Client>) {
    // Within an event's data, within an `id` line, between an event's last two line feeds, and
    // behind the last event.
    let cuts = [
        Cut::Behind("{\"word\":\"0.20"),
        Cut::Behind("0.40ööööö \"}\nid: "),
        Cut::InBlankLine(100),
        Cut::BehindBlock("event: end"),
    ];
    for deployment in Deployment::all(PACE).await {
        let proxy = deployment.proxy(cuts).await;
        let Some(mut client) = start(&[&proxy.url("")]) else { return };
        assert_eq!(client.end().await, "complete");
        assert_eq!(client.text, PACE.text(0));
        assert_eq!((proxy.made().len(), deployment.calls()), (cuts.len(), 1));
        let requests = proxy.requests().borrow().len();
        println!("LangGraph, {}: {requests} requests", deployment.name());
    }
}

async fn learns_that_a_run_is_unknown(start: fn(&[&str]) -> Option<Client>) {
    for deployment in Deployment::all(PACE).await {
        let proxy = deployment.proxy([]).await;
        let url = proxy.url("");
        let Some(mut unknown) = start(&[&url, "unknown"]) else { return };
        is_not_found(&mut unknown).await;
        assert_eq!(deployment.calls(), 0);

        // The second client joins with an id of another run.
        let mut first = start(&[&url]).unwrap();
        first.until_received(1).await;
        is_not_found(&mut start(&[&url, "0"]).unwrap()).await;
        assert_eq!(first.end().await, "complete");
        assert_eq!(deployment.calls(), 1);
    }
}

/// Lets a client join, and asserts that it gets an error within a second.
async fn is_not_found(client: &mut Client) {
    // Wait for the client's imports first, because they take longer than the request.
    client.until("ready").await;
    let asked = Instant::now();
    client.go_on().await;
    let end = client.end().await;
    let took = asked.elapsed();
    assert!(end.contains("404") || end.contains("NotFoundError"), "{end}");
    assert!(took < Duration::from_secs(1), "{took:?}");
    println!("{end}, after {took:?}");
}
