//! Runs [`tower_sse`] hubs on PostgreSQL, so you can publish server-sent events in your own
//! transactions.
//!
//! You change a row, and clients should see the change. If you publish after the commit, a crash in
//! between loses the event. If you publish before the commit, the transaction can still roll back.
//! With this crate, you publish in the transaction: the event is published if and only if the
//! transaction commits.
//!
//! Connect a hub in each process that serves clients:
//!
//! ```no_run
//! use axum::{Router, extract::State, response::IntoResponse, routing::get};
//! use tower_sse::{LastEventId, SseLayer, hub::Hub};
//! use tower_sse_postgres::Postgres;
//!
//! async fn events(State(hub): State<Hub>, last: Option<LastEventId>) -> impl IntoResponse {
//!     hub.subscribe_to("orders:42").resume(last).response()
//! }
//!
//! # async fn run() -> Result<(), Box<dyn std::error::Error>> {
//! let postgres = Postgres::open("host=127.0.0.1 user=app dbname=shop")?;
//! postgres.install().await?; // or in a migration
//! let hub = Hub::connect(postgres.broker("orders")).await?;
//! let app: Router =
//!     Router::new().route("/events", get(events)).layer(SseLayer::new()).with_state(hub.clone());
//!
//! hub.publish("orders:42", "paid").await?;
//! # drop(app);
//! # Ok(())
//! # }
//! ```
//!
//! Any program can publish in its transactions, with any [client library](clients):
//!
//! ```sql
//! begin;
//! update orders set status = 'paid' where id = 42;
//! select tower_sse.publish('orders:42', 'paid', stream => 'orders', wake => true);
//! commit;
//! ```
//!
//! With [`wake => true`](#publishing-by-sql), clients receive the event a few milliseconds after the
//! commit. Clients can reconnect to any process and resume after the last event that they received.
//! The page [notifications] has a complete program, which also handles logouts.
//!
//! # Setup
//!
//! 1. To try the crate out, call [`Postgres::install`], which creates the schema. In production,
//!    apply [`SCHEMA`] in a migration, grant the [rights](operating#rights) to your roles, and insert
//!    a row for each stream: `insert into tower_sse.stream (name) values ('orders')`.
//! 2. Connect a hub, as above. You need PostgreSQL 14 or later, and a tokio runtime with timers and
//!    IO.
//! 3. Before you go live, read the page [operating].
//!
//! # What is guaranteed
//!
//! An event in a transaction is published *exactly once*, when the transaction commits. Clients
//! receive the event *at most once*. Losses are reported, except in the cases below and
//! [these](operating#losses).
//!
//! - If [`Hub::publish`](tower_sse::hub::Hub::publish) returns `Ok`, the event is published. If it
//!   returns [`Refused`](tower_sse::hub::PublishError::Refused), the event isn't published. If it
//!   returns [`Unknown`](tower_sse::hub::PublishError::Unknown), the event is published once or not
//!   at all.
//! - A client that stays connected or resumes receives each published event of its topics, or a
//!   [gap](tower_sse::hub::GapPolicy). This holds even after a crash, a restore or a failover. It
//!   doesn't hold for an event that is published after its topic [ended](tower_sse::hub::Hub::end),
//!   or in a topic that keeps only its [latest](tower_sse::Retention::latest) event.
//! - All clients of all processes receive a topic's events in the same order, without duplicates.
//! - An event that a client has received is on the server's disk, with its transaction's changes.
//!
//! Two more exceptions:
//!
//! - After a backup is restored or a lagging standby is promoted, clients can receive an event
//!   again, with another id. If all processes that had seen the events that the backup lacks have
//!   stopped, [one statement](operating#losses) before the next start tells clients of the loss.
//! - With `synchronous_commit = off`, a crash of the server can undo a commit. Clients then receive
//!   neither the transaction's events nor a gap.
//!
//! # Publishing by SQL
//!
//! `tower_sse.publish(topic, data, stream)` publishes an event. It has these optional parameters:
//!
//! - `event`: the event's name
//! - `ends`: whether the event is the [last event](tower_sse::hub::Hub::end) of its topic. Hubs drop
//!   later events of the topic until this event exceeds the hub's age limit or a loss is reported.
//! - `wake`: whether to wake the hubs that [listen](BrokerStats::listens) when the transaction
//!   commits, so that clients receive the event within a few milliseconds
//! - `retry`: a reconnection time in milliseconds
//! - `comment`: a comment, which clients ignore
//!
//! This crate has no Rust function that publishes in your transaction. Such a function would work
//! with one client library only, and could break with each new version of that library. The SQL
//! statement [works with every client library](clients).
//!
//! To publish many events in one statement, insert them into `tower_sse.inbox`:
//!
//! ```sql,insert
//! insert into tower_sse.inbox (stream, topic, data)
//!     select 'orders', 'orders:' || n, 'shipped' from generate_series(1, 100) n;
//! ```
//!
//! An invalid event makes the statement fail, which aborts its transaction. The stream must exist,
//! and neither topic nor data may be null. `retry` must not be negative, the event's name must not
//! contain a line break, and all texts must be within these [limits](operating#sizes).
//!
//! Leave out `wake` if you commit more than a few hundred transactions a second: with `wake`, they
//! commit one at a time. Also leave `wake` out if you use `PREPARE TRANSACTION`, which fails with
//! `wake`. A program with a hub can call the hub's [waker](PostgresBroker::waker) after the commit
//! instead, which costs less and is as fast.
//!
//! Without `wake` or the waker, a hub finds the event by polling, which takes up to 2.5 seconds. It
//! takes up to about 100 ms, or longer if the server is slow, while such events come at least once a
//! minute and no other events wake the hub. Hubs that don't listen poll about 10 times a second at
//! all times.
//!
//! An open transaction delays only its own events, unless it [stays open for hours or locks the
//! crate's tables](operating#transactions).
//!
//! ## A table as the source
//!
//! A trigger can publish each insert and update of a table. An event above 1 MiB makes the change
//! fail. If a row's JSON can be larger than that, publish only the row's key:
//!
//! ```sql,key
//! create function publish_order() returns trigger language plpgsql as $$
//! begin
//!     perform tower_sse.publish('orders', new.id::text, stream => 'orders');
//!     return null;
//! end $$;
//!
//! create trigger publish after insert or update on orders
//!     for each row execute function publish_order();
//! ```
//!
//! If all rows are small, publish the whole row:
//!
//! ```sql,row
//! create function publish_order() returns trigger language plpgsql as $$
//! begin
//!     perform tower_sse.publish('orders:' || new.id, to_json(new)::text, stream => 'orders');
//!     return null;
//! end $$;
//!
//! create trigger publish after insert or update on orders
//!     for each row execute function publish_order();
//! ```
//!
//! # TLS
//!
//! For `sslmode=require` or
//! [`Postgres::tls`](https://docs.rs/tower-sse-postgres/latest/tower_sse_postgres/struct.Postgres.html#method.tls),
//! enable the `tls` feature. Before you call `Postgres::open` or `Postgres::tls`, install a crypto
//! provider: depend on `rustls` and call
//! `rustls::crypto::aws_lc_rs::default_provider().install_default()` or the `ring` equivalent.
//!
//! # Features
//!
//! - `tls`: TLS connections, with rustls
//! - `tracing`: log lines at the levels DEBUG, WARN and ERROR
//!
//! # How it works
//!
//! If programs numbered their own rows, a reader could read row 8 before row 7 is committed and
//! would then miss row 7. So programs insert rows into the table `inbox`. Hubs move committed rows
//! into the table `log` and number them there.

#![cfg_attr(docsrs, feature(doc_cfg))]
#![doc(test(attr(deny(warnings, rust_2018_idioms), allow(dead_code, unused_variables))))]

// | `postgres.rs`, `tls.rs` | the server's address, credentials and certificates |
// | `postgres_broker.rs` | the broker of a stream, and its options |
// | `settings.rs` | what all connections of a hub have in common |
// | `log_row.rs` | a row of the log |
// | `connection.rs` | connecting and listening, and most statements that hubs send |
// | `numbering.rs` | the statements that number events |
// | `publisher.rs` | publishing in batches |
// | `postgres_log.rs` | reading the log, as `tower_sse_broker` follows it |
// | `error.rs` | the kinds of errors |

#[doc = include_str!("../docs/clients.md")]
pub mod clients {}
mod connection;
mod error;
mod log_row;
#[doc = include_str!("../docs/notifications.md")]
pub mod notifications {}
mod numbering;
#[doc = include_str!("../docs/operating.md")]
pub mod operating {}
mod postgres;
mod postgres_broker;
mod postgres_log;
mod publisher;
mod settings;
#[cfg(feature = "tls")]
mod tls;

pub use self::{postgres::Postgres, postgres_broker::PostgresBroker};
#[cfg(feature = "tls")]
#[doc(inline)]
pub use tower_sse_broker::Tls;
#[doc(inline)]
pub use tower_sse_broker::{BrokerStats, Credentials, Error, ErrorKind, Health, LogStats, Waiting};

/// The statements that create the schema `tower_sse`, for a migration. The package has them too, as
/// `schema/v1.sql`.
pub const SCHEMA: &str = include_str!("../schema/v1.sql");

/// The version of the schema that this crate needs.
const SCHEMA_VERSION: i32 = 1;

/// Returns [`SCHEMA`] with another name for the schema. Pass the same name to [`Postgres::schema`].
///
/// ```
/// let statements = tower_sse_postgres::schema_named("billing_events")?;
/// assert!(statements.contains("create table \"billing_events\".log"));
/// # Ok::<_, tower_sse_postgres::Error>(())
/// ```
///
/// # Errors
///
/// Returns an error if `name` isn't an identifier. An identifier has 1 to 63 lower-case ASCII
/// letters, digits and underscores, and doesn't begin with a digit.
pub fn schema_named(name: &str) -> Result<String, Error> {
    let name = settings::quoted(&settings::schema_name(name.to_owned())?);
    let statements = SCHEMA.replace("schema tower_sse", &format!("schema {name}"));
    Ok(statements.replace("tower_sse.", &format!("{name}.")))
}
