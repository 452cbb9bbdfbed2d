//! The module `tower-sse.js` for pages, whose class `EventStream` takes the place of `EventSource`.
//!
//! Your page reads its events, and your user's browser meets a proxy's `502`, a connection that is
//! dead without a word, a laptop's sleep. An `EventSource` then stops for good, or waits forever.
//! An `EventStream` comes back within seconds, and each event reaches your listeners once, or a
//! [`gap`](crate::hub::GapPolicy) does:
//!
//! ```
//! use axum::{Router, http::HeaderMap, routing::get};
//! use tower_sse::{SseLayer, page};
//!
//! async fn events() {
//!     // Usually a hub's subscription.
//! }
//!
//! let app: Router = Router::new()
//!     .route("/events", get(events))
//!     .layer(SseLayer::new().for_pages())
//!     .route("/tower-sse.js", get(async |headers: HeaderMap| page::module(&headers)));
//! ```
//!
//! In the page:
//!
//! ```js
//! import { EventStream } from "/tower-sse.js";
//!
//! const source = new EventStream("/events", { poll: 8 });
//! source.onmessage = event => show(event.data);
//! source.addEventListener("gap", reload);
//! ```
//!
//! The option `poll` lets the stream become long polls of up to 8 seconds in networks that hold
//! streams back. [The file of types] describes all options. With a bundler, copy both files from
//! this crate's folder `page`.
//!
//! You might expect that pages and server must be updated together. They needn't: later versions of
//! the crate serve the pages that an earlier version's module has loaded.
//!
//! # Conventions
//!
//! A client of your own, in any language, can do as the module does. Later versions of the crate
//! keep these conventions. They are for requests with `Accept: text/event-stream` and
//! `Cache-Control: no-cache`, to a hub behind [`for_pages`](crate::SseLayer::for_pages).
//!
//! | the client gets | it does |
//! |---|---|
//! | an id | Keeps it once its event is whole, even if that has no data. Sends it as `Last-Event-ID`, or as `?last=` in the query. The header takes precedence |
//! | the event `start` | Keeps its id, from which a first visit can resume |
//! | the event `gap` | Reloads its state: events are lost |
//! | the event `heartbeat`, at the begin of a stream and every 15 seconds | If two or three stay away, opens another connection. The data is the interval in milliseconds |
//! | a `retry` line | After the stream's end, waits for this time in milliseconds |
//! | `204` | Stops: the stream is over |
//! | `408`, `425`, `429`, `5xx` or no response | Tries again after a random time of up to 30 seconds, and not before `Retry-After` |
//! | another status than 200 | Stops |
//! | nothing for 5 seconds | Adds `?poll=8`: the response ends after the next events, or after 8 seconds. Then asks again |
//!
//! [The file of types]: https://docs.rs/crate/tower-sse/latest/source/page/tower-sse.d.ts

use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

/// The text of `tower-sse.js`, a JavaScript module without dependencies.
pub const MODULE: &str = include_str!("../page/tower-sse.js");

/// Returns the [`MODULE`] as a response with its content type, an `ETag` and `cache-control:
/// no-cache`, so that browsers ask whether their copy is the newest. If the request's `headers`
/// show that it is, the response is `304 Not Modified`.
#[must_use]
pub fn module(headers: &HeaderMap) -> Response<String> {
    const HASH: u64 = hash(MODULE.as_bytes());
    let tag = format!("\"{HASH:x}\"");
    // A proxy that compresses the response makes the tag weak.
    let is_current = |tags: &HeaderValue| {
        let mut tags = tags.to_str().unwrap_or_default().split(',').map(str::trim);
        tags.any(|it| it == "*" || it.strip_prefix("W/").unwrap_or(it) == tag)
    };
    let is_current = headers.get_all(IF_NONE_MATCH).iter().any(is_current);
    let mut response = Response::new(if is_current { String::new() } else { MODULE.to_owned() });
    if is_current {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let sent = response.headers_mut();
    sent.insert(CONTENT_TYPE, HeaderValue::from_static("text/javascript; charset=utf-8"));
    sent.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    // Hexadecimal digits between quotes are always a valid value.
    sent.extend(HeaderValue::try_from(tag).ok().map(|tag| (ETAG, tag)));
    response
}

/// FNV-1a: any change of the module changes its tag, even between two releases.
const fn hash(mut bytes: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325;
    while let [first, rest @ ..] = bytes {
        hash = (hash ^ *first as u64).wrapping_mul(0x100_0000_01b3);
        bytes = rest;
    }
    hash
}
