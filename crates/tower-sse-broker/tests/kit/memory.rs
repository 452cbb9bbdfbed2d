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
    assert_send(&outcome("receipts_are_ids", world));
}

#[tokio::test]
#[should_panic(expected = "the kit has no scene \"receipts\"")]
async fn unknown_scenes_are_named() {
    _ = outcome("receipts", world).await;
}

#[test]
fn problems_are_errors_that_can_be_sent() {
    const fn assert_error<T: std::error::Error + Send + Sync + Unpin + 'static>() {}
    assert_error::<Problem>();
}
