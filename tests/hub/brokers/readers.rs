//! What a program sees when the reader of a broker ends.
#![cfg(feature = "tracing")]

use crate::{log::Log, *};

fn hub_with_reader(reader: impl Future<Output = ()> + Send + 'static) -> Hub {
    connect_by_hand(Hub::builder(), |feed| feed.spawn(|_| reader))
}

#[tokio::test]
async fn reader_that_panics_or_returns_is_logged_and_closes_its_hub() {
    let panics: fn() = || panic!("in the reader");
    for (panicked, read) in [(true, panics), (false, || {})] {
        let (log, _recording) = Log::record();
        let hub = hub_with_reader(async move { read() });
        assert_eq!(hub.subscribe_to("a").resume(None).next().await, None);
        assert!(matches!(hub.publish("a", "x").await, Err(PublishError::Closed)));
        let lines = log.lines();
        assert_eq!(lines.len(), 1, "{lines:?}");
        for part in [
            "ERROR tower_sse",
            "the reader of a broker has ended, so its hub is closed",
            &format!("panicked={panicked}"),
        ] {
            assert!(lines[0].contains(part), "{lines:?}");
        }
    }
}

#[tokio::test]
async fn reader_that_ends_with_its_hub_logs_nothing() {
    let (log, _recording) = Log::record();
    let hub = hub_with_reader(pending());
    hub.close();
    assert_eq!(hub.subscribe_to("a").resume(None).next().await, None);
    tokio::task::yield_now().await;
    assert_eq!(log.lines(), [""; 0]);
}

#[test]
fn hub_whose_runtime_ends_closes_without_a_line() {
    let (log, _recording) = Log::record();
    let runtime = Builder::new_current_thread().build().unwrap();
    let hub = runtime.block_on(async { hub_with_reader(pending()) });
    let (wakes, waker) = Wakes::new();
    let mut client = asleep(&hub, &["a"], &waker);
    drop(runtime);
    assert_eq!(wakes.get(), 1);
    client.assert_ends_with(&[""; 0]);
    assert_eq!(log.lines(), [""; 0]);
}
