//! After an end, Redis refuses every event of the run.

use crate::*;

/// Ends a run in each way, and returns how its owner goes on.
#[tokio::test]
async fn nothing_is_appended_after_any_end() {
    for mode in ["own", "lost", "cancel", "bury", "orphan", "replace"] {
        let Some(mut store) = Store::begun().await else { return };
        _ = store.append("a1", 1, 1).await.unwrap();
        match mode {
            "own" => assert_eq!(store.complete("a1", "p", 1).await, "ended completed"),
            "replace" => assert_eq!(store.replace("a1", "a2", "q").await, "new"),
            _ => {
                if mode == "bury" {
                    store.die().await;
                }
                let reply = store.end("a1", "p", mode).await;
                assert!(reply.starts_with("ended "), "{mode}: {reply}");
            }
        }
        for last in [2, 1_000, u64::MAX] {
            let error = store.append("a1", 2, last).await.unwrap_err();
            assert!(error.to_string().contains("equal or smaller"), "{mode}: {error}");
        }
        let reply = store.sync("a1", "p", RESTORE).await;
        assert!(reply.starts_with("over "), "{mode}: {reply}");
        assert_eq!(store.ids("a1").await, ["0-1", "1-0", END_ID], "{mode}");
    }
}

#[tokio::test]
async fn batch_that_was_sent_twice_is_refused() {
    let Some(mut store) = Store::begun().await else { return };
    _ = store.append("a1", 1, 5).await.unwrap();
    assert!(store.append("a1", 1, 5).await.is_err());
    assert!(store.append("a1", 1, 4).await.is_err());
}
