//! Connections that are cut, mostly at random bytes, for clients that do not resume at the right
//! event.

use crate::*;

const CUTS: usize = 50;
const PACE: Pace = Pace::new(800, 4);

/// The client applies an id to the next event, so after most cuts it resumes one event too early.
#[tokio::test]
async fn tanstack_gets_every_word_and_at_most_one_twice_after_each_cut() {
    for deployment in Deployment::all(PACE).await {
        let proxy = deployment.proxy(repeat_n(Cut::RandomBehindId(1000), 20)).await;
        let url = proxy.url("/ag-ui");
        let client = Client::node(Packages::All, "@tanstack/ai-client", "tanstack.mjs", &[&url]);
        let Some(mut client) = client else { return };
        let run = client.until("run").await;
        // A second page joins the run. Its connections are cut too.
        let run = run.as_str().unwrap();
        let arguments = [&*url, run];
        let joined = Client::node(Packages::All, "@tanstack/ai-client", "tanstack.mjs", &arguments);
        let mut joined = joined.unwrap();
        let mut doubled = 0;
        for client in [&mut client, &mut joined] {
            assert_eq!(client.end().await, "complete");
            let mut words: Vec<_> = client.text.split_inclusive(' ').collect();
            let received = words.len();
            words.dedup();
            assert_eq!(words.concat(), PACE.text(0));
            doubled += received - words.len();
        }
        assert!((1..=20).contains(&doubled), "{doubled} of 20 cuts");
        assert_eq!((proxy.made().len(), deployment.calls()), (20, 1));
        println!("TanStack, {}: {} requests", deployment.name(), proxy.requests().borrow().len());
    }
}

/// The client takes an id from the id's line, before the empty line that ends the event.
#[tokio::test]
async fn fetch_event_source_loses_events_only_in_their_blank_line() {
    for deployment in Deployment::all(PACE).await {
        let random = repeat_n(Cut::Random(600), CUTS - 5);
        let proxy = deployment.proxy(repeat_n(Cut::InBlankLine(300), 5).chain(random)).await;
        let url = proxy.url("/words/1");
        let package = "@microsoft/fetch-event-source";
        let client = Client::node(Packages::All, package, "fetch_event_source.mjs", &[&url]);
        let Some(mut client) = client else { return };
        assert_eq!(client.end().await, "complete");
        let made = proxy.made();
        let lost: Vec<_> = made.iter().filter_map(|end| lost_word(end)).collect();
        let (expected, mut missing) = (PACE.text(0), Vec::new());
        let mut received = client.text.split_inclusive(' ').peekable();
        for word in expected.split_inclusive(' ') {
            if received.next_if_eq(&word).is_none() {
                missing.push(word.trim_end().to_owned());
            }
        }
        assert_eq!(received.next(), None, "a word came twice, or out of order");
        assert_eq!(missing, lost);
        assert!(lost.len() >= 5, "{lost:?}");
        assert_eq!((made.len(), deployment.calls()), (CUTS, 1));
        let requests = proxy.requests().borrow().len();
        println!(
            "fetch-event-source, {}: {requests} requests, {} of {CUTS} cuts lost a word",
            deployment.name(),
            lost.len()
        );
    }
}

/// Returns the word of the event whose blank line was cut, or `None` if the cut was elsewhere.
fn lost_word(passed: &[u8]) -> Option<String> {
    let passed = String::from_utf8_lossy(passed);
    let (before, id) = passed.strip_suffix('\n')?.rsplit_once('\n')?;
    let data = before.rsplit_once('\n')?.1.strip_prefix("data: ");
    id.starts_with("id: ").then(|| data.map(|word| word.trim_end().to_owned())).flatten()
}
