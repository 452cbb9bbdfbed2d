//! Connections to the server.
//!
//! | | |
//! |---|---|
//! | `settings.rs` | what all connections of a hub have in common |
//! | `opened.rs` | opens the two connections of a session, and checks the server |
//! | `connection.rs` | one connection, with a time limit for each response |
//! | `statements.rs` | the functions of the schema that hubs call |
//! | `row.rs` | a row of the log |

#[allow(clippy::module_inception)]
mod connection;
mod opened;
mod row;
mod settings;
mod statements;

pub(crate) use self::{
    connection::{Connection, Parameter},
    opened::Opened,
    row::{Kind, LogRow, number},
    settings::{Encryption, Settings, Wakes, quoted, schema_name},
    statements::signed,
};
