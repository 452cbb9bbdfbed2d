//! Tests that `MemoryBroker` passes the kit, and that the kit's futures and problems can be sent to
//! other threads.

use crate::*;

struct Memory(MemoryBroker);

impl World for Memory {
    type Broker = MemoryBroker;

    fn broker(&self) -> MemoryBroker {
        self.0.clone()
    }

    fn lose(&self) -> Option<Fault<'_>> {
        Some(Box::pin(async { self.0.lose_history() }))
    }
}

async fn world() -> Memory {
    Memory(MemoryBroker::new())
}

#[tokio::test(start_paused = true)]
async fn memory_broker_passes_the_kit_under_a_paused_clock() {
    check(world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_broker_passes_the_kit_on_several_threads() {
    check(world).await;
}

#[test]
fn futures_of_the_kit_can_be_spawned() {
    const fn assert_send<T: Send>(_: &T) {}
    assert_send(&check(world));
    assert_send(&play("receipts_are_ids", world));
}

#[tokio::test]
#[should_panic(expected = "the kit has no scene \"receipts\"")]
async fn unknown_scenes_are_named() {
    _ = play("receipts", world).await;
}

/// The world of this broker can't cause an outage.
#[tokio::test(start_paused = true)]
async fn single_scenes_pass_or_are_skipped() {
    for scene in ["receipts_are_ids", "worlds_do_not_see_each_other"] {
        play(scene, world).await.unwrap();
    }
    let outage = play("an_outage_ends_each_publish", world).await;
    assert!(outage.is_err_and(|problem| problem.is_skipped()));
}

#[test]
fn problems_are_errors_that_can_be_sent() {
    const fn assert_error<T: std::error::Error + Send + Sync + Unpin + 'static>() {}
    assert_error::<Problem>();
}
