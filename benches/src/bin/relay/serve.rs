use axum::extract::{Request, State};
use axum::{Router, body::Body, response::Response};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client, client::legacy::connect::HttpConnector, rt::TokioExecutor,
};
use tower_sse_benches::sockets::listen::listen;

use super::page::REDACTED;
use crate::*;

/// Relays to `upstream` on one thread until standard input ends.
pub fn serve(subject: Subject, upstream: SocketAddr) {
    end_with_parent();
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        axum::serve(listen().await, app(subject, upstream)).await.expect("connections");
    });
}

#[derive(Clone)]
struct Relay {
    client: Client<HttpConnector, Body>,
    upstream: Authority,
}

fn app(subject: Subject, upstream: SocketAddr) -> Router {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new()).build(connector);
    let upstream = upstream.to_string().parse().expect("an authority");
    let state = Relay { client, upstream };
    let forwards = Router::new().fallback(forward).with_state(state.clone());
    let looks = FilterLayer::new(|_: &Request| {
        Some(filter::from_fn(|event| {
            _ = black_box(event.data().len());
            Verdict::Pass
        }))
    });
    let changes = FilterLayer::new(|_: &Request| {
        let (from, to) = REDACTED;
        Some(filter::from_fn(move |event| {
            Verdict::Replace(event.with_data(event.data().replace(from, to)))
        }))
    });
    match subject {
        Subject::Layer => forwards.layer(SseLayer::new()),
        Subject::Looks => forwards.layer(looks),
        Subject::LayerLooks => forwards.layer(looks).layer(SseLayer::new()),
        Subject::Changes => forwards.layer(changes),
        Subject::Messages => {
            Router::new().fallback(forward_messages).with_state(state).layer(SseLayer::new())
        }
        Subject::Axum => forwards,
        Subject::Nginx | Subject::Go | Subject::Node => panic!("served by a program of its own"),
    }
}

/// Sends the bytes of the upstream on as they are.
async fn forward(State(relay): State<Relay>, request: Request) -> Result<Response, StatusCode> {
    Ok(relay.send(request).await?.map(Body::new))
}

/// Decodes the messages of the upstream, and encodes them again.
async fn forward_messages(
    State(relay): State<Relay>,
    request: Request,
) -> Result<Response, StatusCode> {
    let response = relay.send(request).await?;
    Ok(response.map(|body| Body::new(EventBody::new(MessageStream::new(body).map_ok(Event::from)))))
}

impl Relay {
    async fn send(&self, mut request: Request) -> Result<Response<Incoming>, StatusCode> {
        let mut uri = std::mem::take(request.uri_mut()).into_parts();
        uri.scheme = Some(Scheme::HTTP);
        uri.authority = Some(self.upstream.clone());
        *request.uri_mut() = Uri::from_parts(uri).map_err(|_| StatusCode::BAD_REQUEST)?;
        *request.version_mut() = Version::HTTP_11;
        remove_hop_by_hop(request.headers_mut());
        request.headers_mut().remove(header::HOST);
        let sent = self.client.request(request).await;
        let mut response = sent.map_err(|_| StatusCode::BAD_GATEWAY)?;
        remove_hop_by_hop(response.headers_mut());
        Ok(response)
    }
}

/// Removes the headers meant for the relay alone.
fn remove_hop_by_hop(headers: &mut HeaderMap) {
    const HOP_BY_HOP: [HeaderName; 5] = [
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ];
    for name in HOP_BY_HOP {
        headers.remove(name);
    }
}
