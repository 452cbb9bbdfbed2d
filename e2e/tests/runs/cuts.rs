//! Connections that are cut at random bytes.

use crate::*;

const CUTS: usize = 50;
/// Enough words for 50 cuts.
const PACE: Pace = Pace::new(800, 4);
/// A client that sends no request for this time has stopped.
const SILENCE: Duration = Duration::from_secs(10);

/// Asserts that all cuts were made in the answer of one call, that the last response is a 204, and
/// that no request follows it.
async fn is_silent(proxy: &Proxy, deployment: &Deployment) {
    assert_eq!((proxy.made().len(), deployment.calls()), (CUTS, 1));
    let mut requests = proxy.requests();
    let ended = |requests: &Vec<(String, String)>| {
        requests.last().is_some_and(|(_, answer)| answer.contains(" 204 "))
    };
    _ = soon(requests.wait_for(ended)).await.unwrap();
    requests.mark_unchanged();
    assert!(timeout(SILENCE, requests.changed()).await.is_err(), "{:?}", requests.borrow().last());
}

async fn event_source_gets_every_word_once(packages: Packages) {
    for deployment in Deployment::all(PACE).await {
        let proxy = deployment.proxy(repeat_n(Cut::Random(600), CUTS)).await;
        let url = proxy.url("/words/1");
        let client = Client::node(packages, "eventsource", "event_source.mjs", &[&url]);
        let Some(mut client) = client else { return };
        assert_eq!(client.end().await, "204");
        assert_eq!(client.text, PACE.text(0));
        is_silent(&proxy, &deployment).await;
        println!(
            "eventsource, {}: {} requests",
            deployment.name(),
            proxy.requests().borrow().len()
        );
    }
}

#[tokio::test]
async fn eventsource_3_gets_every_word_once_despite_50_cuts() {
    event_source_gets_every_word_once(Packages::Few).await;
}

#[tokio::test]
#[ignore = "of .ci/slow runs"]
async fn eventsource_4_gets_every_word_once_despite_50_cuts() {
    event_source_gets_every_word_once(Packages::All).await;
}

#[tokio::test]
async fn chromium_gets_every_word_once_despite_50_cuts() {
    for deployment in Deployment::all(PACE).await {
        let proxy = deployment.proxy(repeat_n(Cut::Random(600), CUTS)).await;
        let Some(page) = Page::open(proxy.address).await else { return };
        assert_eq!((page.end().await, page.told().await), (PACE.text(0), 0));
        is_silent(&proxy, &deployment).await;
        println!("Chromium, {}: {} requests", deployment.name(), proxy.requests().borrow().len());
    }
}
