//! Running event streams in production: what to set around the layer, and what to watch.
//!
//! The layer sees only requests and responses. It cannot control these:
//!
//! - **The socket.** `TCP_NODELAY` and TCP's timeouts are set where the server accepts connections.
//! - **Clients that do not read.** The server does not poll their bodies, so nothing in a body can
//!   end their streams.
//! - **Proxies.** They buffer responses, and close connections that are idle for too long.
//! - **The process.** Its file descriptors, its memory, and the time that it has for a shutdown.
//!
//! # Checklist
//!
//! 1. Add the layer after the routes, and [CORS, authentication and tracing](placement) after the
//!    layer.
//! 2. Set [`TCP_NODELAY` and `TCP_USER_TIMEOUT`](proxies#sockets) on accepted connections.
//! 3. Serve browsers over HTTP/2: over HTTP/1.1 they open only [six
//!    connections](proxies#connections-and-file-descriptors) to an origin. Your lock file needs
//!    [h2 0.4.16](proxies#http2-clients-that-send-empty-frames) or later.
//! 4. Configure [nginx](proxies#nginx) so that `EventSource`s survive a time without servers. Keep
//!    the heartbeat shorter than every [idle timeout](proxies#idle-timeouts).
//! 5. Set [`max_streams`](SseLayer::max_streams), and raise the limit of [file
//!    descriptors](proxies#connections-and-file-descriptors) above it.
//! 6. Set [`max_age`](SseLayer::max_age) with jitter, so that clients [move to new
//!    servers](shutdown#reconnection-storms).
//! 7. Give [`shutdown`](SseLayer::shutdown) the server's token, and the graceful shutdown a
//!    [deadline](shutdown#the-deadline).
//! 8. Let the [orchestrator](shutdown#deployments) wait longer than that deadline.
//! 9. End streams when their [credentials expire](clients#credentials-that-expire), and stop the
//!    clients of streams that are [over for good](clients#streams-that-are-over-for-good).
//! 10. Export [`Stats`], and watch [these figures](#what-to-watch).
//!
//! # Pages
//!
//! | page | for |
//! |---|---|
//! | [placement] | ordering the layer among other layers |
//! | [clients] | how clients reconnect, disconnect and stop |
//! | [proxies] | proxies, sockets and connections |
//! | [compression] | compressing event streams, and what it costs |
//! | [limits] | limits, the memory of a stream, a hub in production |
//! | [shutdown] | graceful shutdown, deployments, MCP servers |
//! | [errors] | errors of the source, cancellations, `Lagged` |
//! | [upstreams] | forwarding the streams of another server |
//!
//! For several processes on one hub, see [`redis::operating`](crate::redis::operating).
//!
//! # What to watch
//!
//! [`Stats`] counts the streams of a layer, and displays as metrics of Prometheus. The example
//! `metrics` adds them to a registry, with a dashboard for Grafana.
//!
//! - **Open streams**, against [`max_streams`](SseLayer::max_streams) and the file descriptors.
//! - **Streams opened per second**, which are mostly reconnections. If there are many, but few
//!   closes are [`Drained`](CloseReason::Drained), [`Expired`](CloseReason::Expired) or
//!   [`Revoked`](CloseReason::Revoked), something between client and server cuts streams. The ages
//!   in the close reports then cluster at some timeout of a proxy.
//! - **Streams refused per second.**
//! - **Closes** with [`Failed`](CloseReason::Failed) and [`Panicked`](CloseReason::Panicked).
//! - **For a hub**, [`Hub::stats`](crate::hub::Hub::stats): gaps per second, and the memory against
//!   [`max_memory`](crate::hub::HubBuilder::max_memory). With a broker, also its health.
//!
//! To watch single streams, use [`SseLayer::on_close`],
//! [`StreamOptions::on_close`](crate::StreamOptions::on_close) or the DEBUG lines of feature
//! `tracing`.

pub mod clients;
pub mod compression;
pub mod errors;
pub mod limits;
pub mod placement;
pub mod proxies;
pub mod shutdown;
pub mod upstreams;

// Names for the links above.
#[allow(unused_imports)]
use crate::{CloseReason, SseLayer, Stats};
