//! What users of tower-http and axum expect of each layer, service, future and body.

use std::fmt::Debug;

use tower::Layer;
use tower_sse::layer::{EventBody, SseBody, SseFuture, SseService};

use crate::*;

fn layer_is_complete<L: Layer<&'static str> + Clone + Debug + Send + Sync>(_: &L)
where
    L::Service: Clone + Debug + Send + Sync,
{
}

const fn future_is_complete<F: Debug + Send>() {}

const fn body_is_complete<B: Default + Debug + Send>() {}

/// Checks the methods that every service of tower-http has.
macro_rules! accessors_reach_the_inner_service {
    ($layer:expr) => {{
        let layer = $layer;
        layer_is_complete(&layer);
        let mut service = layer.layer("inner");
        assert_eq!(*service.get_ref(), "inner");
        *service.get_mut() = "changed";
        assert_eq!(service.clone().into_inner(), "changed");
    }};
}

#[test]
fn services_have_what_those_of_tower_http_have() {
    let layer: SseLayer = SseLayer::default();
    accessors_reach_the_inner_service!(layer);
    body_is_complete::<SseBody>();
    body_is_complete::<EventBody<stream::Empty<Event>>>();
    future_is_complete::<SseFuture<future::Ready<()>>>();
    _ = SseService::<&str>::clone;
    #[cfg(feature = "early-head")]
    {
        use tower_sse::early_head::{EarlyHeadBody, EarlyHeadFuture, EarlyHeadLayer};
        accessors_reach_the_inner_service!(EarlyHeadLayer::new(Duration::ZERO));
        body_is_complete::<EarlyHeadBody>();
        future_is_complete::<EarlyHeadFuture<future::Ready<()>>>();
    }
    #[cfg(feature = "filter")]
    {
        use tower_sse::filter::{self, FilterLayer, Verdict};
        let make = |_: &Request<()>| Some(filter::from_fn(|_| Verdict::Pass));
        accessors_reach_the_inner_service!(FilterLayer::new(make));
    }
    #[cfg(feature = "runs")]
    {
        use tower_sse::runs::{RunFuture, RunKey, Runs};
        let key = |_: &Request<()>| Some(RunKey::new("a", "b"));
        accessors_reach_the_inner_service!(Runs::new().layer(key));
        future_is_complete::<RunFuture<future::Ready<()>>>();
    }
}
