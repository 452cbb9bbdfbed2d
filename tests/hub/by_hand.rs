//! A hub that a test feeds, and that publishes nothing.

use std::convert::Infallible;

use tower_sse::hub::broker::{Acknowledged, Broker, Feed, Publication, Publisher};

use crate::*;

/// A broker that hands its feed to a closure. What that returns lives as long as the publisher.
struct ByHand<F>(F);

struct Refuses<T> {
    _held: T,
}

impl<F, T> Broker for ByHand<F>
where
    F: FnOnce(Feed) -> T + Send + 'static,
    T: Send + Sync + 'static,
{
    type Publisher = Refuses<T>;
    type Error = Infallible;

    fn name(&self) -> String {
        "by hand".to_owned()
    }

    async fn start(self, feed: Feed) -> Result<Refuses<T>, Infallible> {
        Ok(Refuses { _held: (self.0)(feed) })
    }
}

impl<T: Send + Sync + 'static> Publisher for Refuses<T> {
    async fn publish(&self, _: Publication) -> Result<Acknowledged, PublishError> {
        Err(PublishError::Refused("read only".into()))
    }
}

/// Connects a hub whose feed `start` takes.
pub(crate) fn connect_by_hand<T>(
    builder: HubBuilder,
    start: impl FnOnce(Feed) -> T + Send + 'static,
) -> Hub
where
    T: Send + Sync + 'static,
{
    builder.connect(ByHand(start)).now_or_never().unwrap().unwrap()
}
