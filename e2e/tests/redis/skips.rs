//! A reader that is behind finds that entries after the last one that it has read are gone, while
//! the counts of the server's commands no longer prove that they were trimmed: any program on the
//! server may have renamed a key.

use crate::*;

/// Renames a key that no hub uses, as a program does that swaps its caches.
async fn rename_foreign_key(server: &Server) {
    let _: String = server.command("SET cache 1").await;
    let _: String = server.command("RENAME cache cache-old").await;
}

#[tokio::test]
async fn gap_precedes_what_is_left_after_a_trim_and_a_foreign_rename() {
    let Some(mut pair) = Pair::with_one_behind(Server::start().await).await else { return };
    let mut moving = Client::connect(&pair.ahead.hub, &["a"]);
    rename_foreign_key(&pair.server).await;
    _ = pair.ahead.publish_and_read(1..=20).await;
    let _: u64 = pair.server.command("XTRIM tower-sse MAXLEN 5").await;
    // This client is ahead of the process that it moves to.
    assert_eq!(moving.data(10).await.last().unwrap(), "10");
    moving.move_to(&pair.behind.hub);
    pair.proxy.release();
    pair.behind.reads([1]).await;
    pair.behind.reads_gap().await;
    moving.gap("a").await;
    moving.move_to(&pair.ahead.hub);
    let left: Vec<_> = (16..=20).map(|number| number.to_string()).collect();
    assert_eq!(moving.data(5).await, left);
    assert_eq!(pair.behind.client.data(5).await, left);
}

/// Clients of all processes move, and so do those of the process that has skipped entries.
#[tokio::test]
async fn gap_of_a_trim_precedes_newer_events_after_a_rollback() {
    let Some(server) = Server::start().await else { return };
    let mut proxies = Vec::new();
    for _ in 0..3 {
        proxies.push(Proxy::start(server.port()).await);
    }
    let disturb = async {
        sleep(Duration::from_millis(200)).await;
        let _: u64 = server.command("COPY tower-sse older").await;
        let copied = server.now().await;
        sleep(Duration::from_millis(500)).await;
        let _: String = server.command("RENAME older tower-sse").await;
        let rolled_back = Loss::between(copied, server.now().await);
        sleep(Duration::from_secs(1)).await;
        proxies[1].hold();
        sleep(Duration::from_millis(1_200)).await;
        let _: u64 = server.command("XTRIM tower-sse MAXLEN 5").await;
        proxies[1].release();
        sleep(Duration::from_secs(1)).await;
        // The check lets newer events precede the gaps of these losses, and of no others.
        vec![rolled_back]
    };
    let brokers = [0, 1, 2].map(|number: usize| proxies[number].broker());
    let verdict = load_until(disturb, brokers, None).await;
    let Verdict { untold, doubled, out_of_order, mistaken, .. } = verdict;
    let faults = verdict.faults.join("\n");
    assert_eq!([untold, doubled, out_of_order, mistaken], [0; 4], "{verdict}\n{faults}");
    assert!(verdict.lost > 0, "{verdict}");
}
