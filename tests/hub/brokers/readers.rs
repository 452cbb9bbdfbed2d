//! What a program sees of a reader that ends before its hub.
#![cfg(feature = "tracing")]

use std::{convert::Infallible, future::pending};

use futures_util::StreamExt;
use tower_sse::hub::{
    Hub, PublishError,
    broker::{Acknowledged, Broker, Feed, Publication, Publisher},
};

use crate::log::Log;

/// A broker whose reader is this future.
struct Reads<F>(F);

struct Refuses;

impl<F: Future<Output = ()> + Send + 'static> Broker for Reads<F> {
    type Publisher = Refuses;
    type Error = Infallible;

    fn name(&self) -> String {
        "reads".to_owned()
    }

    async fn start(self, feed: Feed) -> Result<Refuses, Infallible> {
        feed.spawn(|_| self.0);
        Ok(Refuses)
    }
}

impl Publisher for Refuses {
    async fn publish(&self, _: Publication) -> Result<Acknowledged, PublishError> {
        Err(PublishError::Refused("read only".into()))
    }
}

#[tokio::test]
async fn reader_that_panics_or_returns_is_an_error_line() {
    let panics: fn() = || panic!("in the reader");
    for (panicked, read) in [(true, panics), (false, || {})] {
        let (log, _recording) = Log::record();
        let hub = Hub::connect(Reads(async move { read() })).await.unwrap();
        assert_eq!(hub.subscribe_to("a").resume(None).next().await, None);
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
    let hub = Hub::connect(Reads(pending())).await.unwrap();
    hub.close();
    assert_eq!(hub.subscribe_to("a").resume(None).next().await, None);
    tokio::task::yield_now().await;
    assert_eq!(log.lines(), [""; 0]);
}
