//! A proxy whose server is down, and one that freezes connections.

use std::future::pending;
use std::sync::atomic::AtomicBool;

use axum::extract::Request as AxumRequest;
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response as AxumResponse;

use crate::relay::Relay;
use crate::*;

/// While the outage lasts, every request gets a `502`.
#[derive(Clone, Default)]
pub(crate) struct Outage {
    is_on: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

impl Outage {
    pub(crate) fn around(&self, app: Router) -> Router {
        app.layer(from_fn_with_state(self.clone(), Self::pass))
    }

    async fn pass(State(it): State<Self>, request: AxumRequest, next: Next) -> AxumResponse {
        if it.is_on.load(SeqCst) {
            it.refused.fetch_add(1, SeqCst);
            return StatusCode::BAD_GATEWAY.into_response();
        }
        next.run(request).await
    }

    /// Breaks all connections, and waits until a page has requested its stream again.
    pub(crate) async fn begin(&self, relay: &Relay) {
        self.is_on.store(true, SeqCst);
        relay.cut();
        until(|| self.refused.load(SeqCst) >= 2).await;
    }

    pub(crate) fn end(&self) {
        self.is_on.store(false, SeqCst);
    }
}

/// Starts a relay. When `frozen` is notified, the open connections stay open and pass nothing more.
pub(crate) async fn freezable(server: SocketAddr, frozen: Arc<Notify>) -> Relay {
    Relay::start(server.port(), move |mut page, mut server| {
        let frozen = Arc::clone(&frozen).notified_owned();
        async move {
            tokio::select! {
                () = frozen => pending().await,
                _ = copy_bidirectional(&mut page, &mut server) => {}
            }
        }
    })
    .await
}
