//! cargo run --example proxy --all-features
//!
//! curl -iN http://127.0.0.1:3000/
//!
//! A reverse proxy for the upstream whose address you pass as an argument. Without one, it starts
//! an upstream that sends one event and is then idle. The layer adds headers to the upstream's
//! event streams, and heartbeats while they are idle, wherever the upstream's packets end.
//! Everything else passes through.
//!
//! If the upstream breaks off or is silent, the proxy reconnects to it with the last event id, and
//! its clients notice nothing. It does so for requests of an `EventSource`:
//!
//! curl -N -H 'accept: text/event-stream' http://127.0.0.1:3000/
//!
//! Set `PORT` to use another port.

use std::{env, error::Error, io, net::SocketAddr, process, time::Duration};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response, Result},
    serve::ListenerExt,
};
use futures_util::{Stream, StreamExt, TryStreamExt, stream};
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header,
    request::Parts,
    uri::{Authority, Scheme},
};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::{net::TcpListener, time::sleep};
use tokio_util::sync::CancellationToken;
use tower_sse::{
    BoxError, Event, LastEventId, Refusal, SseLayer, decode::MessageStream, layer::EventBody,
};

/// The time without bytes after which the proxy reconnects to its upstream: a few times the
/// interval of the upstream's heartbeats.
const SILENCE: Duration = Duration::from_secs(45);
/// The delays between attempts, which double from the first to the last.
const DELAYS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(10));

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
    // Events are small packets: with Nagle's algorithm, each waits for the ACK of the one before.
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("TCP_NODELAY: {error}");
        }
    });
    let shutdown = CancellationToken::new();
    let layer = SseLayer::new().shutdown(shutdown.clone());
    let server = axum::serve(listener, app(upstream, layer))
        .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(40));
    tokio::select! { served = server => served?, stopped = stop => stopped? }
    Ok(())
}

fn app(upstream: Authority, layer: SseLayer) -> Router {
    let mut connector = HttpConnector::new();
    connector.set_connect_timeout(Some(Duration::from_secs(5)));
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let proxy = Proxy { client, upstream };
    Router::new().fallback(forward).with_state(proxy).layer(layer)
}

#[derive(Clone)]
struct Proxy {
    client: Client<HttpConnector, Body>,
    upstream: Authority,
}

/// Forwards a request. Both bodies are streamed, not collected. When the client disconnects, the
/// response's body is dropped, and with it the connection to the upstream.
async fn forward(State(proxy): State<Proxy>, mut request: Request) -> Result<Response> {
    let mut uri = std::mem::take(request.uri_mut()).into_parts();
    uri.scheme = Some(Scheme::HTTP);
    uri.authority = Some(proxy.upstream.clone());
    *request.uri_mut() = Uri::from_parts(uri).map_err(|_| StatusCode::BAD_REQUEST)?;
    // The client may use HTTP/2; the upstream need not.
    *request.version_mut() = Version::HTTP_11;
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    // hyper's client sets the upstream's host.
    headers.remove(header::HOST);
    // A compressed stream would have no room for heartbeats.
    headers.remove(header::ACCEPT_ENCODING);

    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts.clone(), body);
    let accepts = parts.headers.get(header::ACCEPT).is_some_and(|it| it == "text/event-stream");
    let is_event_source = parts.method == Method::GET && accepts;
    let mut response = proxy.client.request(request).await.map_err(|error| {
        eprintln!("upstream: {error}");
        if is_event_source {
            // A `502` would stop an `EventSource` for good.
            Refusal::per_client().answer(&parts).into_response()
        } else {
            StatusCode::BAD_GATEWAY.into_response()
        }
    })?;
    remove_hop_by_hop(response.headers_mut());
    // A client of this proxy can't tell whether a body in HTTP/1.0 failed.
    *response.version_mut() = Version::HTTP_11;
    if is_event_source && is_event_stream(&response) {
        return Ok(
            response.map(|body| Body::new(EventBody::new(follow(proxy.client, parts, body))))
        );
    }
    Ok(response.map(Body::new))
}

fn is_event_stream(response: &Response<Incoming>) -> bool {
    let content_type = response.headers().get(header::CONTENT_TYPE);
    let content_type = content_type.and_then(|value| value.to_str().ok()).unwrap_or_default();
    response.status() == StatusCode::OK && content_type.starts_with("text/event-stream")
}

/// Returns an upstream's events, and reconnects after the last one when the upstream breaks off,
/// ends or is silent. Fails if there are no ids, because the client would miss events.
fn follow(
    client: Client<HttpConnector, Body>,
    mut request: Parts,
    body: Incoming,
) -> impl Stream<Item = Result<Event, BoxError>> {
    async_stream::try_stream! {
        let (mut delay, longest) = DELAYS;
        let mut body = Some(body);
        loop {
            if let Some(body) = body.take() {
                let last = LastEventId::from_headers(&request.headers).unwrap_or_default();
                let messages = MessageStream::new(body).max_silence(SILENCE);
                let mut messages = messages.after(last);
                let report = |error: &BoxError| eprintln!("upstream: {error}");
                while let Ok(Some(message)) = messages.try_next().await.inspect_err(report) {
                    delay = messages.retry().unwrap_or(DELAYS.0).clamp(DELAYS.0, longest);
                    yield Event::from(message);
                }
                let last = messages.last_event_id();
                if last.is_empty() {
                    Err("the upstream has ended, and sent no id to reconnect with")?;
                }
                request.headers.insert("last-event-id", HeaderValue::from_bytes(last.as_bytes())?);
            }
            sleep(delay.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
            delay = longest.min(2 * delay);
            match client.request(Request::from_parts(request.clone(), Body::empty())).await {
                Ok(response) if is_event_stream(&response) => body = Some(response.into_body()),
                Ok(response) if response.status().is_server_error() => {
                    eprintln!("upstream: {}", response.status());
                }
                // The client reconnects, and receives this answer itself.
                Ok(response) => Err(response.status().to_string())?,
                Err(error) => eprintln!("upstream: {error}"),
            }
        }
    }
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
