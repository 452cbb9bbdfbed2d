//! Addresses, requests, and the connections that send them.

use std::{error::Error, time::Duration};

use bytes::Bytes;
use clap::Args;
use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use http_body_util::Full;
use hyper::client::conn::{http1, http2};
use hyper::{Response, body::Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::{Connection as _, HttpConnector};
use hyper_util::rt::TokioExecutor;
use rustls::{ClientConfig, RootCertStore, crypto::ring::default_provider};
use tokio::time::timeout;
use tower_service::Service;

use crate::finding::quoted;

pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(4);

pub(crate) fn address(text: &str) -> Result<Uri, String> {
    let uri: Uri = text.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
        return Err("the address does not begin with http:// or https://".to_owned());
    } else if uri.authority().is_none_or(|authority| authority.as_str().contains('@')) {
        return Err("use --header 'Authorization: …' for a user and a password".to_owned());
    }
    Ok(uri)
}

/// Returns the address without its query, which can contain a token.
pub(crate) fn name(address: &Uri) -> String {
    address.to_string().split('?').next().unwrap_or_default().to_owned()
}

fn header(line: &str) -> Result<(HeaderName, HeaderValue), String> {
    let (name, value) = line.split_once(':').ok_or("a header is a name, a colon and a value")?;
    let name = name.trim().parse().map_err(|_| "the name is invalid")?;
    let value = value.trim().parse().map_err(|_| "the value is invalid")?;
    Ok((name, value))
}

/// The options that apply to all requests.
#[derive(Debug, Args)]
pub(crate) struct Wire {
    /// A header of all requests, such as 'Authorization: Bearer …'
    #[arg(short = 'H', long, value_name = "LINE", value_parser = header)]
    header: Vec<(HeaderName, HeaderValue)>,
    /// Use HTTP/1.1, even if TLS offers HTTP/2
    #[arg(long, conflicts_with = "http2")]
    http1: bool,
    /// Use HTTP/2, even without TLS
    #[arg(long)]
    http2: bool,
}

impl Wire {
    /// Returns a request with the default headers and these lines. A header from the command line
    /// replaces those with the same name.
    pub(crate) fn request<'a>(
        &self,
        method: Method,
        lines: impl IntoIterator<Item = &'a str>,
        body: String,
    ) -> Result<Request, String> {
        let agent = concat!("user-agent: sse-check/", env!("CARGO_PKG_VERSION"));
        let own = ["accept: text/event-stream", "accept-encoding: gzip", agent];
        let lines = own.into_iter().chain(lines);
        let mut headers = lines.map(header).collect::<Result<HeaderMap, _>>()?;
        for (name, _) in &self.header {
            headers.remove(name);
        }
        headers.extend(self.header.iter().cloned());
        let version = self.http1.then_some(Version::HTTP_11);
        let version = version.or(self.http2.then_some(Version::HTTP_2));
        Ok(Request { method, headers, body, version, connector: connector(version) })
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
    /// The HTTP version, with or without TLS. If `None`, TLS negotiates it, and it is HTTP/1.1
    /// without TLS.
    pub(crate) version: Option<Version>,
    pub(crate) connector: HttpsConnector<HttpConnector>,
}

pub(crate) fn connector(version: Option<Version>) -> HttpsConnector<HttpConnector> {
    let mut roots = RootCertStore::empty();
    // If no certificates are found, only addresses with TLS fail.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let config = ClientConfig::builder_with_provider(default_provider().into());
    // The provider supports TLS 1.2 and TLS 1.3.
    let config = config.with_safe_default_protocol_versions().expect("TLS 1.2 and 1.3");
    let config = config.with_root_certificates(roots).with_no_client_auth();
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http();
    let mut http = HttpConnector::new();
    http.enforce_http(false);
    http.set_nodelay(true);
    match version {
        None => builder.enable_all_versions().wrap_connector(http),
        Some(Version::HTTP_2) => builder.enable_http2().wrap_connector(http),
        Some(_) => builder.enable_http1().wrap_connector(http),
    }
}

pub(crate) enum Connection {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

impl Connection {
    /// Connects within [`CONNECT_LIMIT`]. The error is the message to report.
    pub(crate) async fn open(target: &Uri, request: &Request) -> Result<Self, String> {
        let connection = timeout(CONNECT_LIMIT, Self::connect(target, request)).await;
        let limit = format!("nothing answers within {} seconds", CONNECT_LIMIT.as_secs());
        let connection = connection.unwrap_or(Err(limit));
        connection.map_err(|error| format!("cannot connect to {}: {error}", name(target)))
    }

    async fn connect(target: &Uri, request: &Request) -> Result<Self, String> {
        let stream = request.connector.clone().call(target.clone()).await;
        let stream = stream.map_err(|error| innermost(&*error))?;
        let is_tls = target.scheme_str() == Some("https");
        let is_negotiated = stream.connected().is_negotiated_h2();
        let is_asked_for = request.version == Some(Version::HTTP_2);
        if is_negotiated || is_asked_for && !is_tls {
            let handshake = http2::handshake(TokioExecutor::new(), stream).await;
            let (sender, connection) = handshake.map_err(|error| innermost(&error))?;
            tokio::spawn(connection);
            Ok(Self::Http2(sender))
        } else if is_asked_for {
            Err("it does not offer HTTP/2".to_owned())
        } else {
            let handshake = http1::handshake(stream).await;
            let (sender, connection) = handshake.map_err(|error| innermost(&error))?;
            tokio::spawn(connection);
            Ok(Self::Http1(sender))
        }
    }

    /// Sends the request and returns the response when its head has come.
    pub(crate) async fn send(
        &mut self,
        target: &Uri,
        request: &Request,
        last_id: Option<&str>,
    ) -> Result<Response<Incoming>, String> {
        let mut message = http::Request::new(Full::from(request.body.clone()));
        *message.method_mut() = request.method.clone();
        *message.headers_mut() = request.headers.clone();
        if let Some(id) = last_id {
            let id = HeaderValue::from_bytes(id.as_bytes());
            let id = id.map_err(|_| "the event's id has a character that no header can have")?;
            message.headers_mut().insert("last-event-id", id);
        }
        let result = match self {
            Self::Http2(sender) => {
                let mut parts = target.clone().into_parts();
                // Some servers refuse a request with both `:authority` and `host`.
                if let Some(host) = message.headers_mut().remove(HOST) {
                    let host = Authority::try_from(host.as_bytes());
                    parts.authority = Some(host.map_err(|_| "the header Host is invalid")?);
                }
                *message.uri_mut() = Uri::from_parts(parts).unwrap_or_else(|_| target.clone());
                sender.send_request(message).await
            }
            Self::Http1(sender) => {
                let path = target.path_and_query().map_or("/", |path| path.as_str());
                *message.uri_mut() = path.parse().unwrap_or_default();
                let host = target.authority().map_or("", |authority| authority.as_str());
                if let Ok(host) = host.parse() {
                    message.headers_mut().entry(HOST).or_insert(host);
                }
                sender.send_request(message).await
            }
        };
        result.map_err(|error| innermost(&error))
    }
}

/// Returns the text of the innermost error, escaped because it can contain received bytes.
pub(crate) fn innermost(mut error: &(dyn Error + 'static)) -> String {
    while let Some(source) = error.source() {
        error = source;
    }
    quoted(error.to_string().as_bytes())
}
