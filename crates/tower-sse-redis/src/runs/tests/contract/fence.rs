//! After an end, the store refuses every event of the run.

use super::{
    commands::{CANCEL, completed},
    *,
};
use crate::runs::seam::EndMode;

scenes!(Scene: nothing_is_appended_after_any_end, batch_that_was_sent_twice_is_refused);

async fn nothing_is_appended_after_any_end(scene: Scene<impl World>) {
    let modes = [completed(1), EndMode::Lost, CANCEL, EndMode::Bury, EndMode::Release].map(Some);
    for (at, mode) in modes.into_iter().chain([None]).enumerate() {
        let epoch = format!("a{at}");
        scene.begin(&epoch).await;
        scene.append(&epoch, 1, 1).await;
        let case = format!("{mode:?}");
        match mode {
            None => assert_eq!(scene.replace(&epoch, "b1", "q").await, "claimed"),
            Some(mode) => {
                if matches!(mode, EndMode::Bury) {
                    scene.die().await;
                }
                let reply = scene.end(&epoch, "p", mode).await;
                assert!(reply.starts_with("ended "), "{case}: {reply}");
            }
        }
        for last in [2, 1_000, u64::MAX] {
            assert_eq!(scene.append(&epoch, 2, last).await, "refused", "{case}");
        }
        let reply = scene.sync(&epoch, "p", RESTORE).await;
        let is_over = reply.starts_with("over ") || reply.starts_with("replaced ");
        assert!(is_over, "{case}: {reply}");
        let stream = scene.stream(&epoch).await;
        assert_eq!(stream[..2], ["head", "1 1"], "{case}");
        assert_eq!(stream.len(), 3, "{case}: {stream:?}");
        assert_eq!(scene.end(&epoch, "p", EndMode::Forget).await, "freed", "{case}");
    }
}

async fn batch_that_was_sent_twice_is_refused(scene: Scene<impl World>) {
    scene.begin("a1").await;
    assert_eq!(scene.append("a1", 1, 5).await, "appended 1");
    assert_eq!(scene.append("a1", 1, 5).await, "refused");
    assert_eq!(scene.append("a1", 1, 4).await, "refused");
}
