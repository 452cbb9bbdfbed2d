//! Operating event streams: what the layer cannot do by itself, and what to set around it.
//!
//! - [Where the layer goes](#where-the-layer-goes)
//! - [Who is asking](#who-is-asking)
//! - [Proxies](#proxies)
//! - [Compression](#compression)
//! - [Sockets](#sockets)
//! - [Limits and memory](#limits-and-memory)
//! - [A hub](#a-hub)
//! - [Graceful shutdown](#graceful-shutdown)
//! - [Deployments without a storm](#deployments-without-a-storm)
//! - [Clients that leave](#clients-that-leave)
//! - [Credentials that expire](#credentials-that-expire)
//! - [A stream that is over for good](#a-stream-that-is-over-for-good)
//! - [`BroadcastStream` and its `Lagged`](#broadcaststream-and-its-lagged)
//! - [MCP](#mcp)
//! - [What to watch](#what-to-watch)
//!
//! # Where the layer goes
//!
//! Around the routes, with as few layers as possible between it and the handlers; what it does holds
//! for everything inside of it. Of two layers on one response the inner one owns the stream: its options,
//! limit, counters and reports hold. Only a [shutdown](SseLayer::shutdown) of the outer one reaches through. To
//! differ on one route, put [`StreamOptions`](crate::StreamOptions) into its responses rather than another layer
//! around it.
//!
//! | layer | with event streams |
//! |---|---|
//! | tower-http `TraceLayer` | outside: then the lines of this crate are in the request's span. `on_failure` is not called when a client leaves. A body that fails on purpose, as it does for `fetch` clients and for calls that the shutdown or the greatest age cut short, is a failure to classifiers that look at bodies, as that of gRPC; to that of HTTP a refusal by `503` is one |
//! | tower-http `CorsLayer`, `SetRequestIdLayer` | outside, so that refusals have their headers too. A reconnecting browser sends a preflight if its last event id is longer than 128 bytes or has characters such as `<{:`; allow the header `last-event-id` |
//! | authentication | outside: who is not let in opens no stream. `401` and `403` stop an `EventSource` for good |
//! | tower-http `CompressionLayer` | leaves event streams alone by its default predicate. To compress them, put it outside: see [Compression](#compression) |
//! | tower-http `TimeoutLayer` | limits the time to the head, not the stream |
//! | tower-http `ResponseBodyTimeoutLayer` | limits silence: put it outside, with a longer time than the heartbeat's, and heartbeats keep the stream alive |
//! | tower-http `ResponseBodyDeadlineLayer` | fails the body of every stream that reaches the deadline, between events or not: use [`SseLayer::max_age`] |
//! | tower-http `OnEarlyDropLayer` | fires whenever a client leaves, which is how streams normally end: use [`SseLayer::on_close`] |
//! | tower-http `InFlightRequestsLayer` | counts streams as long as they are open, with everything else |
//! | tower `ConcurrencyLimitLayer` | frees its permit at the head, so it limits no streams: use [`SseLayer::max_streams`] |
//! | tower `RateLimitLayer`, `LoadShedLayer`, `BufferLayer` | limit requests, reconnections among them; what they answer is their own, and any status but 200 stops an `EventSource` for good |
//! | tonic-web `GrpcWebLayer` | around the calls alone: over HTTP/1 it answers `400` to everything else, event streams too. `examples/tonic_web.rs` merges the routes |
//! | `CatchPanicLayer`, `NormalizePathLayer` | as with any response; a panic in the stream itself comes after the head and ends the connection |
//!
//! axum's `.layer` covers the routes that were added before it, not those that are added after.
//!
//! Around a whole axum `Router`, outside of `Router::layer`, it needs a router again, for `axum::serve`
//! takes only responses with axum's own body: `Router::new().fallback_service(layer.layer(router))`.
//!
//! # Who is asking
//!
//! The rules by which clients reconnect contradict each other, so what ends a stream before its source does,
//! and what is said in place of one, depends on who is asking:
//!
//! | | `EventSource` | `fetch` in a browser | another `GET` | any other method: a call |
//! |---|---|---|---|---|
//! | told by | `GET`, `Accept` names `text/event-stream`, `Cache-Control` has `no-cache` | `GET`, `Accept` names it, no such `Cache-Control`, but a `Sec-Fetch-Mode` | | |
//! | comes back after | a clean end or a failure; any status but 200 stops it for good | a failure or a bad status; a clean end stops it | who knows | never: the stream is its answer |
//! | so its stream is ended | cleanly | by failing | cleanly | by failing, 30 seconds later |
//! | and it is refused by | `200` and a `retry` line | `503` | `503` | `503` |
//!
//! Browsers send `Sec-Fetch-Mode` over https and to localhost only: over plain http a `fetch` is another
//! `GET`. One with `cache: 'no-store'` sends what an `EventSource` sends, and is taken for one; so is
//! every `fetch` while "disable cache" is on in the developer tools of Chromium and Firefox. A layer
//! that has neither a shutdown nor a limit nor said anything of a greatest age does not look who is asking: it
//! ends every `GET` by failing, after which all clients come back that ever do.
//!
//! Clients on libsoup (WebKitGTK, not Safari) do not see a body fail: over HTTP/1 they take a
//! chunked body without its last chunk for a clean end, and over HTTP/2 they do not notice
//! RST_STREAM or GOAWAY. Where they must know that an answer is whole, send a
//! [`terminator`](SseLayer::terminator).
//!
//! # Proxies
//!
//! | | cuts a silent stream after | passes events at once |
//! |---|---|---|
//! | nginx | 60 s (`proxy_read_timeout`) | because of `x-accel-buffering: no`; not if `proxy_ignore_headers X-Accel-Buffering` is set: then `proxy_buffering off` |
//! | Apache, `mod_proxy_http` | 60 s (`Timeout`, `ProxyTimeout`; distributions set others) | yes, through `mod_deflate` too (tried with 2.4); over FastCGI set `flushpackets=on` |
//! | AWS Application Load Balancer | 60 s (idle timeout, 1 to 4,000 s) | yes |
//! | Cloudflare | 100 to 120 s (proxy read timeout) | `GET` streams through `cloudflared` are reported to be held back in some set-ups, `POST` streams not |
//!
//! So the heartbeat's 15 seconds are short enough for all of them. Where a proxy waits for a certain number
//! of bytes, there is [`SseLayer::padding`].
//!
//! Let nginx speak HTTP/1.1 to the server (`proxy_http_version 1.1`). Over HTTP/1.0, which was its default
//! for long, a body that fails looks like one that has ended: a `fetch` client that is cut short then
//! believes that nothing more will come, and half of an answer looks like the whole.
//!
//! A proxy that strips `Accept` or `Cache-Control` from requests makes every client look like a script: set
//! [`Refusal::retry_later`] if they are browsers.
//!
//! A proxy hides clients that stop reading, as its buffers fill in their place, and it may keep the
//! connection to the server for a while after the client has left.
//!
//! # Compression
//!
//! tower-http's `CompressionLayer` compresses event streams by gzip, brotli or zstd, if it is
//! outside of this layer and its predicate lets them in. Each event still arrives at once: since
//! async-compression 0.4.31 the encoders flush when the stream is pending.
//! `cargo tree --invert async-compression` shows your version.
//!
//! ```
//! use axum::Router;
//! use tower_http::compression::{
//!     CompressionLayer,
//!     predicate::{NotForContentType, Predicate, SizeAbove},
//! };
//! use tower_sse::SseLayer;
//!
//! fn compressed(routes: Router) -> Router {
//!     // The default predicate without its `NotForContentType::SSE`.
//!     let predicate =
//!         SizeAbove::default().and(NotForContentType::GRPC).and(NotForContentType::IMAGES);
//!     routes.layer(SseLayer::new()).layer(CompressionLayer::new().compress_when(predicate))
//! }
//! ```
//!
//! | | |
//! |---|---|
//! | secrets | do not compress a stream that has both a secret and text that an attacker can choose: the compressed length tells whether the text guesses the secret right (BREACH) |
//! | memory | for each stream gzip 280 KiB, brotli 185 and zstd 820 after one event of 64 bytes; 370, 1,275 and 975 after 1,000 of them (`served idle gzip 1000` of the benchmarks, less the stream's own 11 KiB) |
//! | heartbeats, events of the layer's own, errors | as without it |
//! | a stream that is cut short | fails about a second later: the layer waits until its last bytes are dropped, and the compressor keeps them |
//! | events that were ready before an error of the source | arrive; without this layer tower-http 0.7.1 drops them |
//! | axum's `Sse` over `futures::stream::unfold` | works inside this layer; without it this panics, as tower-http 0.7.1 polls a body again after its end |
//! | the compressor inside of the layer | no heartbeats, terminator or farewell: the layer writes nothing into a stream that has a content coding |
//! | `cache-control: no-transform` | is for proxies; tower-http does not look at it |
//! | nginx, `gzip on` with `gzip_types text/event-stream` | passes each event at once too, whatever `no-transform` says |
//!
//! # Sockets
//!
//! They are the server's, so no layer can set them. On every connection that is accepted:
//!
//! - `TCP_NODELAY`. Events are small packets, and without it each may wait for the client's ACK of the one
//!   before.
//! - `TCP_USER_TIMEOUT`, 30 seconds or so (Linux). A peer that vanishes without a FIN is noticed when TCP
//!   gives up on what was written to it, and heartbeats are what it tries with; by itself Linux tries for
//!   about 15 minutes. The same timeout cuts clients that do not read their connection, once its buffers are
//!   full.
//!
//! ```no_run
//! use std::{io, time::Duration};
//!
//! use axum::{Router, serve::ListenerExt};
//! use tokio::net::TcpListener;
//!
//! # async fn serve(listener: TcpListener, app: Router) -> io::Result<()> {
//! let listener = listener.tap_io(|connection| {
//!     _ = connection.set_nodelay(true);
//!     #[cfg(target_os = "linux")]
//!     {
//!         let timeout = Some(Duration::from_secs(30));
//!         _ = socket2::SockRef::from(&*connection).set_tcp_user_timeout(timeout);
//!     }
//! });
//! axum::serve(listener, app).await
//! # }
//! ```
//!
//! Every stream over HTTP/1 is a file descriptor: raise the limit (`ulimit -n`, `LimitNOFILE=` of
//! systemd) above [`SseLayer::max_streams`], with room for what else the process opens. When there is none
//! left, `accept` fails again and again; axum waits a second between, a loop of your own must wait too.
//! HTTP/2 carries 100 or more streams over one, and lifts the browsers' limit of six connections to an
//! origin; hyper's default is `max_concurrent_streams(200)`.
//!
//! A client of HTTP/2 can read its connection, so that no timeout of TCP cuts it, and grant its
//! streams a window of zero bytes. Once there is something to write to such a stream, hyper does
//! not poll it before the window opens.
//!
//! | | with streams whose window is shut |
//! |---|---|
//! | [`max_age`](SseLayer::max_age), [`shutdown`](SseLayer::shutdown) | do not end them |
//! | [`max_streams`](SseLayer::max_streams) | they keep their places: up to `max_concurrent_streams` for one connection |
//! | a maximum age of connections, as in the example `graceful_hyper` | ends them |
//! | a deadline of the graceful shutdown | ends them, as it drops the connection |
//!
//! # Limits and memory
//!
//! [`SseLayer::max_streams`] counts streams as long as they are open. What comes above it is
//! [refused](Refusal) such that each client comes back in its own way.
//!
//! | a stream over HTTP/1, with all that hyper holds for its connection | |
//! |---|---|
//! | silent, with the default layer | 10.9 KiB; a bare body that is pending has 9.7, axum's `Sse` with `KeepAlive` 10.5 |
//! | silent, with shutdown, greatest age, limit, `Disconnect` and close report | 11.5 KiB |
//! | silent, a subscription to a topic of a [hub](#a-hub) | 11.1 KiB |
//! | silent, a subscription to that, and to a topic of its own | 11.6 KiB |
//! | a subscription whose client never reads, while 5 MB are published | 14 to 18 KiB |
//! | the same, if clients come back with ids of 64 different places | 19 KiB; 22 KiB with a topic of its own beside |
//! | always ready, whose client never reads | 72 to 84 KiB |
//! | the same, if it stops reading after 20 MB | 55 to 82 KiB |
//!
//! | a stream over HTTP/2, 100 to a connection | |
//! |---|---|
//! | silent, with the default layer | 2.5 KiB; a bare body that is pending has 2.0 |
//! | silent, with shutdown, maximum age, limit, `Disconnect` and close report | 2.9 KiB |
//! | always ready, with a window of zero bytes | 8 KiB |
//! | always ready, with a window of 64 KiB that is full | 82 KiB |
//! | always ready, with a wide window, whose client does not read its connection | 452 KiB; 82 with hyper's `max_send_buf_size(65_536)`, whose default is 400 KiB |
//!
//! (`served idle`, `served stalled` and `served stalled-hub` of the benchmarks, hyper 1.12; the kernel's socket buffers come on
//! top.) What the handler and its stream hold is theirs. A client that does not read holds its source back
//! and nothing else: nothing is queued for it here.
//!
//! # A hub
//!
//! What feature `hub` keeps is in this process. Its topics keep events for clients that come back, so that
//! [`retain_for`](crate::hub::HubBuilder::retain_for) has to be longer than clients are away: the 5 minutes that are the default
//! are enough for a deployment and a tunnel, not for a laptop that sleeps. A client that was away for longer gets an event
//! `gap`, and its page loads what it shows anew.
//!
//! After a restart the hub is another one. Clients come back with ids of the one before, are told a gap, and get all that is kept,
//! which after a restart is little. What must not be lost is to be stored elsewhere anyway; the hub is what makes pages see it soon.
//! With several processes, each has a hub of its own: a client that comes back to another process is told a gap too. With feature
//! `redis` they [share one](crate::redis), which also survives their restarts.
//!
//! An event wakes all that sleep in its topic, on the runtime's threads. To write it to a
//! socket costs some microseconds for each, most of them the kernel's: where there are many small events, a
//! [`flush_window`](crate::hub::Subscribe::flush_window) of some 20 ms writes several at once.
//!
//! On the way out, let the layer end the streams ([`SseLayer::shutdown`]), as it knows how each client comes back; [`Hub::close`](crate::hub::Hub::close)
//! is for when there is nothing more to say.
//!
//! In pages:
//!
//! - An `EventSource` that is new sends no id, and a page that is loaded again has a new one. Let the page keep the last id (in
//!   `sessionStorage`, together with what it shows), and send it in the query, which
//!   [`last_event_id_query`](SseLayer::last_event_id_query) lets in; the example `chat` does it. Or render
//!   [`Hub::position`](crate::hub::Hub::position) into the page, together with what the page shows at that moment.
//! - A page that is left can stay in the browser's back/forward cache together with its open stream (Chromium was seen to
//!   keep it so for more than 20 seconds). Close it on `pagehide`, and open it on `pageshow`.
//!
//! # Graceful shutdown
//!
//! Without [`SseLayer::shutdown`] the graceful shutdown of axum, hyper and tonic waits for open streams, which
//! is for ever. With it streams end as [`Drain`] says, and what comes meanwhile is [refused](Refusal).
//!
//! One thing no body can do: end the stream of a client that does not read, as hyper does not poll it, and
//! cannot write what it was given before. So put a deadline on the graceful shutdown, longer than the
//! [`Drain`] takes: 30 seconds for [`Drain::per_client`] (or the window or grace), 5 more for a source that
//! is amid an event, and one for a body that fails: 40 in all. Kubernetes kills after 30 unless told
//! otherwise (`terminationGracePeriodSeconds`). When the deadline passes, drop the connections; every
//! stream then has its close report, with
//! [`CloseReason::Disconnected`], or [`CloseReason::Drained`] if hyper had room for its last bytes.
//!
//! | host | example |
//! |---|---|
//! | axum | `examples/graceful_axum.rs`: `axum::serve` leaves its connections to the runtime, so they are dropped with it |
//! | hyper | `examples/graceful_hyper.rs`: `GracefulShutdown` of hyper-util, and a task per connection that can be aborted |
//! | tonic with tonic-web | `examples/graceful_tonic.rs`: as axum |
//!
//! In short, for axum:
//!
//! ```no_run
//! use std::{io, time::Duration};
//!
//! use axum::Router;
//! use tokio::net::TcpListener;
//! use tokio_util::sync::CancellationToken;
//!
//! # async fn serve(listener: TcpListener, app: Router, shutdown: CancellationToken) -> io::Result<()> {
//! let server = axum::serve(listener, app).with_graceful_shutdown(shutdown.clone().cancelled_owned());
//! let deadline = async {
//!     shutdown.cancelled().await;
//!     tokio::time::sleep(Duration::from_secs(40)).await;
//! };
//! tokio::select! {
//!     served = server => served,
//!     () = deadline => Ok(()),
//! }
//! # }
//! ```
//!
//! Give the orchestrator more time than that before it kills the process, and let the load balancer take
//! the server out before the token is cancelled, or clients come back to the server that is going.
//!
//! # Deployments without a storm
//!
//! Clients of a server that goes all come back, by default when they think best, which is at the same time.
//!
//! - The drain tells every client its own time to come back, between 2 and 10 seconds; with thousands of
//!   streams choose a longer range: [`Drain::retry`]. `fetch` clients do not all heed it.
//! - [`Drain::spread_over`] ends streams one by one over a window, so the others are still served.
//! - [`SseLayer::max_age`] with a jitter moves clients to new servers all day long, and shows early what a
//!   reconnection costs.
//! - Refused clients are spread in the same way: [`Refusal::retry`].
//! - In Firefox an `EventSource` of a page of another origin gives up for good when one connection
//!   is refused. So the server, or another in its place, must listen again before the first client
//!   comes back: within the shortest reconnection time of the drain, 2 seconds by default.
//!
//! # Clients that leave
//!
//! hyper drops the response, the source with it, and the [`CloseReport`] report says
//! [`CloseReason::Disconnected`]. Nothing fails, and nothing is logged above DEBUG.
//!
//! - On HTTP/1 hyper does not notice a FIN while the request's body is unread, while bytes of a next request
//!   are buffered (a stray CRLF will do), or with `half_close`. Handlers of `POST` must read the body. A
//!   failed write tells then: the second heartbeat after the client has left.
//! - Work that a handler spawned goes on. To stop it, there is [`Disconnect`]. If it shall go on, because the
//!   client comes back for the result, let it: keep it on its task, and its events where a resumed stream
//!   finds them.
//!
//! - Clients differ in how they come back. `@microsoft/fetch-event-source` waits for the last `retry` line it
//!   saw, not for `Retry-After`. undici's `EventSource` gave up for good, up to version 6, when a
//!   connection was refused: let servers overlap when you deploy.
//!
//! # Errors of the source
//!
//! | | between events | mid-event, or with a content coding |
//! |---|---|---|
//! | an error | [`on_error`](SseLayer::on_error) makes the last event; without it the body fails | the body fails |
//! | a cancellation, for an `EventSource` that the layer [looked at](#who-is-asking) | the stream ends cleanly | the body fails |
//! | a cancellation, for any other client | the body fails | the body fails |
//!
//! The close report says [`Failed`](CloseReason::Failed) or [`Cancelled`](CloseReason::Cancelled).
//!
//! A cancellation is the error of a task that the program cancelled, or an error that
//! [`cancellation_if`](SseLayer::cancellation_if) names. Name an error only if nothing but the program
//! itself can cause it. `io::Error::other(join_error)` is a cancellation, too, but tokio's
//! `io::Error::from(join_error)`, which `?` calls, keeps only the text. For tonic and hyper:
//!
//! ```
//! use std::error::Error;
//!
//! use tonic::{Code, Status};
//! use tower_sse::SseLayer;
//!
//! fn is_cancellation(error: &(dyn Error + 'static)) -> bool {
//!     // tonic reports timeouts as `Cancelled` too: only for calls without one.
//!     error.downcast_ref::<Status>().is_some_and(|status| status.code() == Code::Cancelled)
//!         // The program dropped the request. Never an upstream's reset or half a message.
//!         || error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
//! }
//!
//! # let layer: SseLayer =
//! SseLayer::new().cancellation_if(is_cancellation);
//! ```
//!
//! One upstream that breaks off goes unnoticed: hyper ends a body cleanly whose HTTP/2 stream was
//! reset with `NO_ERROR` ([RFC 9113, section 8.1](https://www.rfc-editor.org/rfc/rfc9113#section-8.1)).
//!
//! A body fails once the server has taken its last bytes, and 20 milliseconds later. Behind a
//! compressor that takes a second, because it keeps the last bytes until the next ones come.
//!
//! A body that fails makes noise in logs. It is the price of a client that notices:
//!
//! | | logs |
//! |---|---|
//! | hyper over HTTP/1 | `serve_connection` returns an error, `error from user's Body stream`, for which hyper's `is_user` is true; axum drops it |
//! | hyper over HTTP/2 | nothing; the stream is reset with `INTERNAL_ERROR` |
//! | nginx | `upstream prematurely closed connection` at level `error`, and the client's connection is cut |
//!
//! # Credentials that expire
//!
//! A stream lives longer than the check of its request. End it with the token that opened it, without grace,
//! and the client comes back with a fresh one or is turned away. Let the layer say
//! `.without_max_age()`, or it does not look [who is asking](#who-is-asking):
//!
//! ```
//! use std::time::Duration;
//!
//! use http::Response;
//! use tower_sse::{MaxAge, StreamOptions};
//!
//! fn until_expiry<B>(mut response: Response<B>, expires_in: Duration) -> Response<B> {
//!     let max_age = MaxAge::new(expires_in).grace(Duration::ZERO);
//!     response.extensions_mut().insert(StreamOptions::new().max_age(max_age));
//!     response
//! }
//! # until_expiry(Response::new(()), Duration::ZERO);
//! ```
//!
//! # A stream that is over for good
//!
//! An `EventSource` comes back after every end, also after one that was meant: a job is done, a game is over.
//! Answer its next request with `204 No Content`, which stops it ([HTML][html]); the layer lets every
//! status without a body pass. Or send a last event at which the page closes it:
//! [`SseLayer::terminator`].
//!
//! ```
//! use axum::{http::StatusCode, response::{IntoResponse, Response}};
//! use futures_util::stream;
//! use tower_sse::{Event, LastEventId};
//!
//! const LAST: u64 = 100;
//!
//! # #[cfg(feature = "axum")]
//! async fn job(last: Option<LastEventId>) -> Response {
//!     let seen = last.and_then(|last| last.parse().ok()).unwrap_or(0);
//!     if seen >= LAST {
//!         return StatusCode::NO_CONTENT.into_response();
//!     }
//!     let rest = stream::iter((seen + 1..=LAST).map(|n| Event::new().id(n).data("…")));
//!     tower_sse::response(rest).into_response()
//! }
//! ```
//!
//! # `BroadcastStream` and its `Lagged`
//!
//! A stream of `tokio::sync::broadcast` gives an error when its client was too slow and lost messages. As
//! an item that is an `Err` it fails the stream; thrown away it leaves a gap that nobody knows of. Say it, so
//! that the page can load what it has missed:
//!
//! ```
//! use futures_util::{Stream, StreamExt};
//! use tokio::sync::broadcast;
//! use tokio_stream::wrappers::{BroadcastStream, errors::BroadcastStreamRecvError::Lagged};
//! use tower_sse::{Encoded, Event};
//!
//! fn events(messages: broadcast::Receiver<Encoded>) -> impl Stream<Item = Encoded> {
//!     BroadcastStream::new(messages).map(|message| {
//!         message.unwrap_or_else(|Lagged(lost)| {
//!             Encoded::from(Event::new().event("gap").data(lost.to_string()))
//!         })
//!     })
//! }
//! ```
//!
//! # MCP
//!
//! rmcp's server answers `POST` requests with event streams, which are [calls](#who-is-asking) to
//! the layer. The example `mcp` shows one.
//!
//! | | |
//! |---|---|
//! | shutdown | Give the token to [`SseLayer::shutdown`] and not to rmcp: the layer lets calls in flight be answered, rmcp drops them all |
//! | `subscriptions/listen` | A `POST` without an end. Put `StreamOptions::new().drain(Drain::at_once())` into its response, or it holds the shutdown for the 30 seconds that calls have |
//! | [`max_age`](SseLayer::max_age) | Leave it off on these routes: an answer that takes 30 seconds longer than the age is lost |
//!
//! # What to watch
//!
//! [`Stats`] counts for every layer; `examples/metrics` serves it in Prometheus' text format.
//!
//! - Open streams, against [`SseLayer::max_streams`] and the file descriptors.
//! - Opened per second: reconnections. Many, with few closes by [`Drained`](CloseReason::Drained) or
//!   [`Expired`](CloseReason::Expired), mean that something on the way cuts streams: look at the ages of
//!   close reports, which then crowd below some proxy's timeout.
//! - Refused per second.
//! - Of a hub, [`Hub::stats`](crate::hub::Hub::stats): gaps per second, and the memory against
//!   [`max_memory`](crate::hub::HubBuilder::max_memory). With a broker also its health.
//! - Closes by [`Failed`](CloseReason::Failed) and [`Panicked`](CloseReason::Panicked).
//! - For one stream at a time: [`SseLayer::on_close`], [`StreamOptions::on_close`](crate::StreamOptions::on_close)
//!   or the DEBUG line of feature `tracing`.
//!
//! [html]: https://html.spec.whatwg.org/multipage/server-sent-events.html#sse-processing-model

// Names for the links above.
#[allow(unused_imports)]
use crate::{CloseReason, CloseReport, Disconnect, Drain, Refusal, SseLayer, Stats};
