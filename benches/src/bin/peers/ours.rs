use std::{convert::Infallible, fs, net::Ipv4Addr, path::Path, sync::Arc, time::Duration};

use axum::response::{IntoResponse, Sse, sse};
use axum::{Router, extract::State, http::StatusCode, routing::get, serve::ListenerExt};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject};
use tokio::signal::unix::{SignalKind, signal};
use tokio::{net::TcpListener, runtime, sync::broadcast};
use tokio_rustls::TlsAcceptor;
use tokio_stream::{StreamExt, wrappers::BroadcastStream};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_sse::{LastEventId, SseLayer, hub::Hub};
use tower_sse_scale::process::end_with_parent;

use crate::{Subject, many_clients};

/// The capacity of axum's channel: a client that is further behind loses events.
const KEPT: usize = 4_096;

const DEADLINE: Duration = Duration::from_secs(30);

/// One worker for the one processor, as `#[tokio::main]` makes it.
fn workers() -> runtime::Runtime {
    runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

async fn terminated() {
    signal(SignalKind::terminate()).expect("a signal").recv().await;
}

/// Serves the hub or a channel with `axum::serve`.
pub(crate) fn serve_axum(subject: Subject) {
    end_with_parent();
    workers().block_on(async {
        let shutdown = CancellationToken::new();
        let app = if subject == Subject::Hub {
            let subscribe =
                async |State(hub): State<Hub>, last: Option<axum::Extension<LastEventId>>| {
                    let last = last.map(|axum::Extension(last)| last);
                    tower_sse::response(hub.subscribe_to("news").resume(last))
                };
            let publish = async |State(hub): State<Hub>, text: String| {
                hub.publish("news", text)
                    .await
                    .map_or(StatusCode::SERVICE_UNAVAILABLE, |_| StatusCode::NO_CONTENT)
            };
            let layer = SseLayer::new().shutdown(shutdown.clone());
            Router::new()
                .route("/", get(subscribe).post(publish))
                .layer(layer)
                .with_state(Hub::new())
        } else {
            let subscribe = async |State(channel): State<broadcast::Sender<Arc<str>>>| {
                let texts = BroadcastStream::new(channel.subscribe());
                let events = texts.filter_map(|text| {
                    Some(Ok::<_, Infallible>(sse::Event::default().data(text.ok()?)))
                });
                Sse::new(events).keep_alive(sse::KeepAlive::default()).into_response()
            };
            let publish = async |State(channel): State<broadcast::Sender<Arc<str>>>,
                                 text: String| {
                _ = channel.send(text.into());
                StatusCode::NO_CONTENT
            };
            Router::new()
                .route("/", get(subscribe).post(publish))
                .with_state(broadcast::channel(KEPT).0)
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        println!("listening on {}", listener.local_addr().expect("an address"));
        let listener = listener.tap_io(|io| _ = io.set_nodelay(true));
        if subject == Subject::Hub {
            let server = axum::serve(listener, app);
            let server = server.with_graceful_shutdown(shutdown.clone().cancelled_owned());
            tokio::spawn(async move {
                terminated().await;
                shutdown.cancel();
            });
            server.await.expect("a server");
        } else {
            // A graceful shutdown would wait for axum's streams forever.
            axum::serve(listener, app).await.expect("a server");
        }
    });
}

/// Serves the routes of the example on a runtime with workers.
pub(crate) fn serve_workers() {
    end_with_parent();
    workers().block_on(async { tokio::spawn(serve_example(None)).await.expect("no panic") });
}

/// Serves the example over TLS, with the certificate in this directory.
pub(crate) fn serve_tls(directory: &Path) {
    end_with_parent();
    let file = |name| fs::read(directory.join(name)).expect("a file");
    let certificate = CertificateDer::from_pem_slice(&file("certificate")).expect("a certificate");
    let key = PrivateKeyDer::from_pem_slice(&file("key")).expect("a key");
    _ = rustls::crypto::ring::default_provider().install_default();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate], key).expect("a certificate");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(serve_example(Some(acceptor)));
}

async fn serve_example(acceptor: Option<TlsAcceptor>) {
    let (hub, shutdown) = (Hub::new(), CancellationToken::new());
    let layer = SseLayer::new().shutdown(shutdown.clone()).max_streams(100_000);
    let service = ServiceBuilder::new().layer(layer).service_fn(move |request| {
        let hub = hub.clone();
        async move { Ok::<_, Infallible>(many_clients::answer(&hub, request).await) }
    });
    let listener = many_clients::listen((Ipv4Addr::LOCALHOST, 0).into()).expect("a port");
    let listener = TcpListener::from_std(listener).expect("a listener");
    println!("listening on {}", listener.local_addr().expect("an address"));
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move {
            terminated().await;
            shutdown.cancel();
        }
    });
    match acceptor {
        None => many_clients::serve(listener, async |io| Ok(io), service, shutdown, DEADLINE).await,
        Some(tls) => {
            let accept = move |io| {
                let tls = tls.clone();
                async move { tls.accept(io).await }
            };
            many_clients::serve(listener, accept, service, shutdown, DEADLINE).await;
        }
    }
}
