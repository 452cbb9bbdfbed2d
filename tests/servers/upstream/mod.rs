//! Half an answer never looks complete: every way in which an upstream can break off, for every
//! kind of client, over real sockets.

mod breaks;
mod server;

use breaks::Break;
use server::Proxy;
use tokio_util::sync::CancellationToken;

use crate::*;

const HALF: &str = "data: half\n\n";

/// The bytes that a client receives, whether the end is clean, and the close reason.
type Outcome = (String, bool, CloseReason);

fn expected(broken: Break, client: Requester, on_error: bool) -> Outcome {
    let cancelled = broken == Break::CancelledTask;
    match broken {
        // RFC 9113, section 8.1: the response is complete, and the upstream wants no more of the
        // request. hyper ends the body.
        Break::H2Reset(h2::Reason::NO_ERROR) => (HALF.to_owned(), true, CloseReason::Ended),
        _ if cancelled && client == Requester::EventSource => {
            (HALF.to_owned(), true, CloseReason::Cancelled)
        }
        _ if cancelled => (format!("{HALF}:\n"), false, CloseReason::Cancelled),
        _ if on_error => (format!("{HALF}data: failed\n\n"), true, CloseReason::Failed),
        _ => (format!("{HALF}:\n"), false, CloseReason::Failed),
    }
}

/// A server inside a layer that inspects requests.
struct Front {
    proxy: Proxy,
    app: Router,
    reports: Reports,
    asked: Arc<AtomicUsize>,
}

impl Front {
    async fn new(on_error: bool) -> Self {
        let reports = Reports::default();
        let asked = Arc::new(AtomicUsize::new(0));
        let mut layer = reports.observe(SseLayer::new().shutdown(CancellationToken::new()));
        if on_error {
            let asked = Arc::clone(&asked);
            layer = layer.on_error(move |_| {
                asked.fetch_add(1, SeqCst);
                Event::from("failed")
            });
        }
        let proxy = Proxy::new().await;
        let app = proxy.router().layer(layer);
        Self { proxy, app, reports, asked }
    }

    async fn outcome(&self, broken: Break, client: Requester) -> Outcome {
        let address = serve_axum(self.app.clone()).await;
        let mut sender = connect_h1(address).await;
        let path = format!("/{}", broken.index());
        let mut body = sender.send_request(client.request(&path)).await.unwrap().into_body();
        let mut received = String::new();
        let read = async {
            loop {
                let frame = match body.frame().await {
                    None => return true,
                    Some(Err(_)) => return false,
                    Some(Ok(frame)) => frame,
                };
                let data = frame.into_data().unwrap_or_default();
                received.push_str(str::from_utf8(&data).unwrap());
                if received == HALF {
                    // Bytes that have not arrived when an upstream resets its connection are lost.
                    self.proxy.break_off();
                }
            }
        };
        let clean = soon(read).await;
        let [reason] = self.reports.take()[..] else { panic!("one close report") };
        (received, clean, reason)
    }
}

#[tokio::test]
async fn broken_upstream_never_looks_like_a_complete_response() {
    // Each failure is delayed for some milliseconds, which add up.
    let clients = [false, true].into_iter().flat_map(|on_error| {
        Requester::ALL.into_iter().map(move |client| async move {
            let front = Front::new(on_error).await;
            for broken in Break::all() {
                let before = front.asked.load(SeqCst);
                let outcome = front.outcome(broken, client).await;
                let expected = expected(broken, client, on_error);
                assert_eq!(outcome, expected, "{broken:?} for {client:?}, on_error: {on_error}");
                let asked = front.asked.load(SeqCst) - before;
                let is_error = expected.2 == CloseReason::Failed;
                assert_eq!(asked, usize::from(on_error && is_error), "{broken:?}: {client:?}");
            }
        })
    });
    join_all(clients).await;
}
