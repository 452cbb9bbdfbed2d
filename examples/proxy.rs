//! cargo run --example proxy --all-features
//!
//! curl -iN http://127.0.0.1:3000/
//!
//! A reverse proxy for the upstream at the address given as an argument, or for an upstream of its
//! own, which sends one event and is then idle. The layer adds headers to the upstream's event
//! streams, and heartbeats while they are idle, wherever the upstream's packets end. Everything
//! else passes through.
//!
//! Set `PORT` to use another port.

use std::{env, error::Error, io, net::SocketAddr, process, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::Response,
    serve::ListenerExt,
};
use futures_util::{StreamExt, stream};
use http::{
    HeaderMap, HeaderName, StatusCode, Uri, Version, header,
    uri::{Authority, Scheme},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::net::TcpListener;
use tower_sse::SseLayer;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let upstream = match env::args().nth(1) {
        Some(address) => address.parse()?,
        None => start_silent_upstream().await?.to_string().parse()?,
    };
    let address = format!("127.0.0.1:{}", env::var("PORT").as_deref().unwrap_or("3000"));
    let listener = TcpListener::bind(&address).await.unwrap_or_else(|error| {
        eprintln!("cannot listen on {address}: {error}");
        process::exit(1);
    });
    println!("listening on http://{}, proxy for http://{upstream}", listener.local_addr()?);
    // Events are small packets: Nagle's algorithm would delay each one until the client's ACK.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    Ok(axum::serve(listener, app(upstream)).await?)
}

pub(crate) fn app(upstream: Authority) -> Router {
    forwarding(upstream).layer(SseLayer::new())
}

pub(crate) fn forwarding(upstream: Authority) -> Router {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(Duration::from_secs(5)));
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    Router::new().fallback(forward).with_state(Proxy { client, upstream })
}

#[derive(Clone)]
struct Proxy {
    client: Client<HttpConnector, Body>,
    upstream: Authority,
}

/// Forwards a request. Both bodies are streamed and not collected. When the client disconnects, the
/// response's body is dropped, and with it the connection to the upstream.
async fn forward(
    State(Proxy { client, upstream }): State<Proxy>,
    mut request: Request,
) -> Result<Response, StatusCode> {
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(upstream);
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| StatusCode::BAD_REQUEST)?;
    // The client may use HTTP/2; the upstream need not.
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    // hyper's client sets the upstream's host.
    headers.remove(header::HOST);
    // A compressed stream would have no room for heartbeats.
    headers.remove(header::ACCEPT_ENCODING);

    let mut response = client.request(request).await.map_err(|error| {
        eprintln!("upstream: {error}");
        StatusCode::BAD_GATEWAY
    })?;
    remove_hop_by_hop(response.headers_mut());
    Ok(response.map(Body::new))
}

/// Removes the headers meant for the proxy alone (RFC 9110, section 7.6.1). `Last-Event-ID` is not
/// one of them.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    const HOP_BY_HOP: [HeaderName; 9] = [
        header::CONNECTION,
        HeaderName::from_static("keep-alive"),
        header::PROXY_AUTHENTICATE,
        header::PROXY_AUTHORIZATION,
        HeaderName::from_static("proxy-connection"),
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in HOP_BY_HOP.iter().chain(&named) {
        headers.remove(name);
    }
}

/// Starts an upstream without headers for proxies and without heartbeats.
async fn start_silent_upstream() -> io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let app = Router::new().fallback(async || {
        let hello = stream::iter([Ok::<_, io::Error>("data: hello\n\n")]);
        let body = Body::from_stream(hello.chain(stream::pending()));
        ([(header::CONTENT_TYPE, "text/event-stream")], body)
    });
    tokio::spawn(async { axum::serve(listener, app).await });
    Ok(address)
}
