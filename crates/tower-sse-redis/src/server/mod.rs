//! A server, or a primary with replicas, and the connections to it.
//!
//! - `Servers` opens all connections to the primary, with the credentials of `Provider`, and
//!   `keeper` replaces those that break.
//! - [`RedisHealth`] is what a program sees of them, and [`Error`] why one fails.
//! - `ServerInfo` and `Lineage` are what a server reports about itself: the lineage shows whether
//!   an older state can have replaced a key.

pub(crate) mod connection;
pub(crate) mod credentials;
mod error;
pub(crate) mod health;
pub(crate) mod keeper;
pub(crate) mod lineage;
pub(crate) mod server_info;
pub(crate) mod servers;
#[cfg(tower_sse_simulation)]
mod simulation;
#[cfg(feature = "tls")]
mod tls;

#[cfg(tower_sse_simulation)]
pub use self::simulation::{Dialing, Transport, set_dialer};
#[cfg(feature = "tls")]
pub use self::tls::Tls;
pub use self::{
    credentials::Credentials,
    error::{Error, ErrorKind},
    health::RedisHealth,
};
