//! Proxies and sockets: settings that make events arrive at once and keep idle streams open.
//!
//! # Idle timeouts
//!
//! The default heartbeat, after 15 seconds without a byte, is sent before any of these timeouts
//! fires:
//!
//! | proxy | default |
//! |---|---|
//! | nginx | 60 s (`proxy_read_timeout`) |
//! | Apache | 60 s (`Timeout`, `ProxyTimeout`); distributions set others |
//! | AWS Application Load Balancer | 60 s (idle timeout, 1 to 4,000 s) |
//! | Cloudflare | 100 to 120 s (proxy read timeout) |
//!
//! # Buffers
//!
//! - **nginx** passes each event at once, because the layer sets `x-accel-buffering: no`. If
//!   `proxy_ignore_headers X-Accel-Buffering` is set, it also needs `proxy_buffering off`.
//! - **Apache** (`mod_proxy_http`) passes each event at once, even through `mod_deflate` (tried
//!   with 2.4). Over FastCGI, set `flushpackets=on`.
//! - **AWS Application Load Balancers** pass each event at once.
//! - **Cloudflare's `cloudflared`** is reported to hold back `GET` streams in some set-ups, but not
//!   `POST` streams.
//! - **A proxy that waits for a number of bytes** needs [`padding`](SseLayer::padding).
//!
//! # nginx
//!
//! ```nginx
//! upstream app {
//!     # Otherwise nginx avoids the server for 10 seconds after a failure.
//!     server 127.0.0.1:3000 max_fails=0;
//! }
//!
//! server {
//!     listen 80;
//!     proxy_http_version 1.1;
//!     proxy_set_header Connection "";
//!
//!     location / {
//!         proxy_pass http://app;
//!     }
//!
//!     # Only for routes of `EventSource`s.
//!     location /events {
//!         proxy_pass http://app;
//!         error_page 502 504 =200 @later;
//!     }
//!     location @later {
//!         default_type text/event-stream;
//!         # A `POST` to the same route has failed.
//!         if ($request_method != GET) {
//!             return 503;
//!         }
//!         return 200 "retry: 1000\n\n";
//!     }
//! }
//! ```
//!
//! - **`proxy_http_version 1.1`**: older versions of nginx use HTTP/1.0 to the server by default.
//!   Over HTTP/1.0, a body that fails looks like one that has ended. A `fetch` client then does not
//!   reconnect, and a partial answer looks complete.
//! - **`error_page`**: while no server is up, nginx answers `502`, which stops an `EventSource` for
//!   good. After an empty stream it reconnects. Other clients would take the empty stream for the
//!   complete answer, so give their routes no such location. Errors that the server itself answers
//!   with are passed on.
//!
//! # What a proxy hides
//!
//! - **Headers.** If a proxy strips `Accept` or `Cache-Control` from requests, the layer classifies
//!   no client as an [`EventSource`](super::clients#how-clients-reconnect). If all clients are
//!   `EventSource`s, set [`Refusal::retry_later`].
//! - **Clients that do not read.** The server notices one only when the proxy's buffers are full.
//! - **Disconnects.** A proxy may keep its connection to the server open after the client has
//!   disconnected.
//!
//! # Sockets
//!
//! A layer cannot set options of sockets. Set these on every accepted connection:
//!
//! - **`TCP_NODELAY`.** Events are small packets. Without it, each one may wait for the client's
//!   ACK of the one before.
//! - **`TCP_USER_TIMEOUT`** (Linux), to about 30 seconds. The server notices a peer that vanished
//!   without a FIN when TCP gives up on unacknowledged bytes, such as heartbeats. By default, Linux
//!   retries for about 15 minutes. The timeout also disconnects clients that do not read, once the
//!   buffers are full.
//! - **`TCP_NOTSENT_LOWAT`** (Linux), to 16 KiB, if new events replace old ones, such as prices.
//!   Otherwise the kernel takes up to 4 MiB of events for a client that does not read.
//!
//! With the crate `socket2`:
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
//!         let socket = socket2::SockRef::from(&*connection);
//!         _ = socket.set_tcp_user_timeout(Some(Duration::from_secs(30)));
//!         _ = socket.set_tcp_notsent_lowat(16 * 1024);
//!     }
//! });
//! axum::serve(listener, app).await
//! # }
//! ```
//!
//! A stalled client receives bytes although newer ones have replaced them. These are the bytes for
//! 500 prices that change every 5 ms, for a client with a receive buffer of 16 KiB, and for one with
//! Linux's default. A server cannot set that buffer:
//!
//! - no option: 2,945 KiB and more, 3,036 KiB and more
//! - `TCP_NOTSENT_LOWAT` of 16 KiB: 42 KiB, 173 KiB
//! - `SO_SNDBUF` of 16 KiB: 58 KiB, 180 KiB
//!
//! Nearly all of it is in the buffers of the two sockets.
//! [`Subscription::response`](crate::hub::Subscription::response) makes no next frame of such values
//! until the server has written the last one. With `TCP_NOTSENT_LOWAT` of 16 KiB and a client with a
//! receive buffer of 4 KiB, these are the bytes after 30 seconds, and in brackets those of a response
//! that does not wait:
//!
//! - HTTP/1: 23 KB (51 KB)
//! - HTTP/2: 30 KB (440 KB)
//! - TLS by rustls: 90 KB (128 KB), and 29 KB (61 KB) if its
//!   [`set_buffer_limit`](https://docs.rs/rustls/0.23/rustls/struct.CommonState.html#method.set_buffer_limit)
//!   is 4 KiB; the default is 64 KiB
//!
//! The tests `stale_bytes` in `e2e/tests/examples/` measure it. A small `SO_SNDBUF` also limits the rate
//! at which distant clients receive events. `TCP_NOTSENT_LOWAT` does not, because it counts only what
//! was not sent.
//!
//! # Connections and file descriptors
//!
//! - **HTTP/1**: every stream is a connection and a file descriptor. Raise the limit (`ulimit -n`,
//!   or `LimitNOFILE=` of systemd) above [`max_streams`](SseLayer::max_streams), with room for
//!   other files. Without a free descriptor, every `accept` fails. axum waits a second between
//!   attempts; a loop of your own must wait too.
//! - **HTTP/2**: one connection carries 100 or more streams. hyper's default is
//!   `max_concurrent_streams(200)`. Over HTTP/1.1, a browser opens only six connections to an
//!   origin, event streams included.
//!
//! # HTTP/2 clients that grant no window
//!
//! A client can read its connection and still grant its streams a window of zero bytes. No TCP
//! timeout applies then. Once there is something to write to such a stream, hyper does not poll its
//! body until the window opens. Therefore:
//!
//! - [`max_age`](SseLayer::max_age) and [`shutdown`](SseLayer::shutdown) do not end these streams.
//! - They keep their permits of [`max_streams`](SseLayer::max_streams): up to
//!   `max_concurrent_streams` for one connection.
//! - A maximum age of connections ends them. The example `graceful_hyper` has one.
//! - A [deadline](super::shutdown#the-deadline) of the graceful shutdown ends them, because it
//!   drops the connection.
//!
//! # HTTP/2 clients that send empty frames
//!
//! h2 before 0.4.16, on which hyper's HTTP/2 is built, queues any number of empty DATA frames of a
//! request whose body nobody reads, so that a client can use up the memory of the server
//! ([RUSTSEC-2026-0258](https://rustsec.org/advisories/RUSTSEC-2026-0258.html)). Run `cargo update
//! --package h2`.

// Names for the links above.
#[allow(unused_imports)]
use crate::{Refusal, SseLayer};
