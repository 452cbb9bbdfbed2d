//! OpenAI's clients, which use no ids and fail at blocks that contain only comments.

use crate::*;

const PACE: Pace = Pace::new(60, 20);

async fn reads_and_replays(script: &str, start: impl Fn(&str) -> Option<Client>) {
    for deployment in Deployment::all(PACE).await {
        let proxy = deployment.proxy([]).await;
        let url = proxy.url("/v1");
        // The second one is a page that joins, and the third a replay.
        let (Some(mut first), Some(mut second)) = (start(&url), start(&url)) else { return };
        for client in [&mut first, &mut second] {
            assert_eq!(client.end().await, "complete", "{script}");
            assert_eq!(client.text, PACE.text(0), "{script}");
        }
        let mut replay = start(&url).unwrap();
        assert_eq!(replay.end().await, "complete", "{script}");
        assert_eq!((replay.text, deployment.calls()), (PACE.text(0), 1), "{script}");
    }
}

#[tokio::test]
async fn openai_node_reads_a_source_with_comment_blocks() {
    let start = |url: &str| Client::node(Packages::All, "openai", "openai.mjs", &[url]);
    reads_and_replays("openai.mjs", start).await;
}

#[tokio::test]
async fn openai_python_reads_a_source_with_comment_blocks() {
    reads_and_replays("openai_client.py", |url| Client::python("openai_client.py", &[url])).await;
}
