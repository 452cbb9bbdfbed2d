use std::{future::Future, rc::Rc};

use hyper::{rt, server};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio::task::{LocalSet, spawn_local};
use tower::ServiceBuilder;

use crate::*;

#[derive(Clone, Copy)]
struct OnThisThread;

impl<F: Future + 'static> rt::Executor<F> for OnThisThread {
    fn execute(&self, future: F) {
        spawn_local(async { drop(future.await) });
    }
}

/// The layer requires `Send` nowhere unless its service does.
#[tokio::test]
async fn stream_bound_to_its_thread_is_served_on_it() {
    LocalSet::new()
        .run_until(async {
            for protocol in Protocol::BOTH {
                let greeting: Rc<str> = "hello".into();
                let service = ServiceBuilder::new().layer(SseLayer::new()).service_fn(
                    move |_: Request<Incoming>| {
                        let greeting = Rc::clone(&greeting);
                        let events = stream::iter(0..3)
                            .map(move |n| Event::new().id(n).data(greeting.to_string()));
                        async { Ok::<_, Infallible>(events) }
                    },
                );
                let (near_end, far_end) = tokio::io::duplex(1024);
                let (io, service) = (TokioIo::new(near_end), TowerToHyperService::new(service));
                match protocol {
                    Protocol::Http1 => {
                        let http1 = server::conn::http1::Builder::new();
                        spawn_local(http1.serve_connection(io, service));
                    }
                    Protocol::Http2 => {
                        let http2 = server::conn::http2::Builder::new(OnThisThread);
                        spawn_local(http2.serve_connection(io, service));
                    }
                }
                let response = protocol.over(far_end).await.get("http://localhost/").await;
                let events = EventReader::new(response).rest().await;
                let events: Vec<_> = events
                    .into_iter()
                    .map(|event| (event.data, event.last_event_id.to_string()))
                    .collect();
                assert_eq!(events.len(), 3, "{protocol:?}");
                assert_eq!(events[2], ("hello".to_owned(), "2".to_owned()), "{protocol:?}");
            }
        })
        .await;
}
