use std::io::{self, Write};
use std::{convert::Infallible, net::Ipv4Addr, time::Duration};

use futures_util::future::join_all;
use tokio::signal::unix::{SignalKind, signal};
use tokio::{net::TcpListener, runtime};
use tokio_util::sync::CancellationToken;
use tower::ServiceBuilder;
use tower_sse::{SseLayer, hub::Hub, stats::Stats};
use tower_sse_redis::Redis;
use tower_sse_scale::process::end_with_parent;

use crate::many_clients;

/// The name of the hub's stream in Redis.
pub(crate) const BROKER: &str = "storm";

const DEADLINE: Duration = Duration::from_secs(30);

/// Serves until a SIGTERM, beside other processes on the same ports.
pub(crate) fn serve(redis: &str, limit: usize, ports: impl Iterator<Item = u16>) {
    end_with_parent();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let broker = Redis::open(redis).expect("a URL").broker(BROKER);
        let hub = Hub::connect(broker).await.expect("a server");
        let (shutdown, stats) = (CancellationToken::new(), Stats::new());
        let layer = SseLayer::new().shutdown(shutdown.clone()).max_streams(limit).stats(&stats);
        let service = ServiceBuilder::new().layer(layer).service_fn(move |request| {
            let hub = hub.clone();
            async move { Ok::<_, Infallible>(many_clients::answer(&hub, request).await) }
        });
        let mut terminate = signal(SignalKind::terminate()).expect("a signal");
        let serving = ports.map(|port| {
            let listener = many_clients::listen((Ipv4Addr::LOCALHOST, port).into());
            let listener = TcpListener::from_std(listener.expect("a port")).expect("a listener");
            let (service, shutdown) = (service.clone(), shutdown.clone());
            many_clients::serve(listener, async |io| Ok(io), service, shutdown, DEADLINE)
        });
        let serving = join_all(serving);
        println!("listening");
        io::stdout().flush().expect("a reader");
        let cancel = async {
            terminate.recv().await;
            shutdown.cancel();
        };
        tokio::join!(serving, cancel);
    });
}
