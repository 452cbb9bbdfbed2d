//! OpenAI's clients, which use no ids and fail at blocks that contain only comments. A run leaves
//! out such blocks of its source.

use crate::*;

const PACE: Pace = Pace::new(60, 20);

#[tokio::test]
async fn openai_reads_a_source_with_comment_blocks() {
    for name in ["openai", "openai-python"] {
        for deployment in Deployment::all(PACE).await {
            let proxy = deployment.proxy([]).await;
            let start = || Client::of(name, Packages::All, &proxy.url("")).expect("the clients");
            // The first client starts the run, the second joins it, and the third gets a replay.
            for mut together in [vec![start(), start()], vec![start()]] {
                for client in &mut together {
                    assert_eq!(client.end().await, "complete", "{name}");
                    assert_eq!(client.text, PACE.text(0), "{name}");
                }
            }
            assert_eq!(deployment.calls(), 1, "{name}");
        }
    }
}
