//! Connections to the server.
//!
//! | | |
//! |---|---|
//! | `settings.rs` | what all connections of a hub have in common |
//! | `connection.rs` | one connection, with a time limit for each response |

#[allow(clippy::module_inception)]
mod connection;
mod settings;

pub(crate) use self::{
    connection::{Appended, Connection, Kind, LogRow, Opened},
    settings::{Clock, Encryption, Settings, Wakes, quoted, schema_name, since_epoch},
};
