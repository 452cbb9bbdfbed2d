//! The address of a stream, and a connection to it.

use std::{fmt, str::FromStr, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Uri, header};
use http_body_util::Full;
use hyper::{
    Response,
    body::Incoming,
    client::conn::{http1, http2},
};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::connect::{Connection as _, HttpConnector},
    rt::TokioExecutor,
};
use rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider};
use tokio::time::{Instant, timeout};
use tower_service::Service;

const CONNECT_LIMIT: Duration = Duration::from_secs(4);

/// The address of a stream.
#[derive(Clone, Debug)]
pub(crate) struct Target(Uri);

impl FromStr for Target {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) {
            return Err("the address does not begin with http:// or https://".to_owned());
        } else if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
            return Err("use --header 'Authorization: …' for a user and a password".to_owned());
        }
        Ok(Self(uri))
    }
}

/// Without the query, which can have a token.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let uri = self.0.to_string();
        f.write_str(uri.split('?').next().unwrap_or_default())
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Protocol {
    /// HTTP/2 if TLS negotiates it, and otherwise HTTP/1.1.
    Negotiated,
    Http1,
    /// Also without TLS.
    Http2,
}

/// What is sent to every address.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) protocol: Protocol,
    pub(crate) connector: HttpsConnector<HttpConnector>,
}

impl Request {
    /// Creates a request with the program's own headers, unless `headers` has them.
    pub(crate) fn new(
        method: Method,
        mut headers: HeaderMap,
        body: Bytes,
        protocol: Protocol,
    ) -> Result<Self, String> {
        let agent = concat!("sse-check/", env!("CARGO_PKG_VERSION"));
        let defaults = [
            (header::ACCEPT, "text/event-stream", true),
            (header::ACCEPT_ENCODING, "gzip", true),
            (header::USER_AGENT, agent, true),
            // As an `EventSource` does.
            (header::CACHE_CONTROL, "no-cache", method == Method::GET),
            (header::CONTENT_TYPE, "application/json", !body.is_empty()),
        ];
        for (name, value, _) in defaults.into_iter().filter(|(.., is_sent)| *is_sent) {
            headers.entry(name).or_insert(HeaderValue::from_static(value));
        }
        Ok(Self { method, headers, body, protocol, connector: connector(protocol)? })
    }
}

fn connector(protocol: Protocol) -> Result<HttpsConnector<HttpConnector>, String> {
    let mut roots = RootCertStore::empty();
    // Without certificates, only addresses with TLS fail.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(default_provider().into())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    Ok(match protocol {
        Protocol::Negotiated => builder.enable_all_versions().wrap_connector(http),
        Protocol::Http1 => builder.enable_http1().wrap_connector(http),
        Protocol::Http2 => builder.enable_http2().wrap_connector(http),
    })
}

/// A connection that has not sent a request yet.
pub(crate) struct Connection {
    sender: Sender,
    /// How long connecting took, which is at least one round trip.
    pub(crate) connecting: Duration,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects. The error is a sentence.
    pub(crate) async fn open(target: &Target, request: &Request) -> Result<Self, String> {
        let connection = timeout(CONNECT_LIMIT, Self::connect(target, request)).await;
        let limit = format!("nothing answers within {} seconds", CONNECT_LIMIT.as_secs());
        let connection = connection.unwrap_or(Err(limit));
        connection.map_err(|error| format!("cannot connect to {target}: {error}"))
    }

    async fn connect(target: &Target, request: &Request) -> Result<Self, String> {
        let started = Instant::now();
        let stream = request.connector.clone().call(target.0.clone()).await;
        let stream = stream.map_err(|error| innermost(&*error))?;
        let failed = |error: hyper::Error| innermost(&error);
        let is_tls = target.0.scheme_str() == Some("https");
        let is_http2 = stream.connected().is_negotiated_h2();
        let sender = if is_http2 || request.protocol == Protocol::Http2 && !is_tls {
            let handshake = http2::handshake(TokioExecutor::new(), stream).await;
            let (sender, connection) = handshake.map_err(failed)?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else if request.protocol == Protocol::Http2 {
            return Err("it does not offer HTTP/2".to_owned());
        } else {
            let (sender, connection) = http1::handshake(stream).await.map_err(failed)?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        };
        Ok(Self { sender, connecting: started.elapsed() })
    }

    /// Sends the request, and returns the response when its head has come.
    pub(crate) async fn send(
        &mut self,
        target: &Target,
        request: &Request,
        last_id: Option<&str>,
    ) -> Result<Response<Incoming>, String> {
        let mut message = http::Request::new(Full::new(request.body.clone()));
        *message.method_mut() = request.method.clone();
        *message.headers_mut() = request.headers.clone();
        if let Some(id) = last_id {
            let id = HeaderValue::from_bytes(id.as_bytes());
            let id = id.map_err(|_| "the event's id has a character that no header can have")?;
            message.headers_mut().insert("last-event-id", id);
        }
        let result = match &mut self.sender {
            Sender::Http2(sender) => {
                *message.uri_mut() = target.0.clone();
                sender.send_request(message).await
            }
            Sender::Http1(sender) => {
                let path = target.0.path_and_query().map_or("/", |path| path.as_str());
                *message.uri_mut() = path.parse().unwrap_or_default();
                let host = target.0.authority().map_or("", |authority| authority.as_str());
                if let Ok(host) = host.parse() {
                    message.headers_mut().entry(header::HOST).or_insert(host);
                }
                sender.send_request(message).await
            }
        };
        result.map_err(|error| innermost(&error))
    }
}

/// Returns the text of the error that caused the others.
pub(crate) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
