//! Recipes for applications: how to choose between a hub and a run, which clients may attach, and
//! what client libraries need.
//!
//! - [`clients`]: `EventSource`, the AI SDK, TanStack AI and LangGraph, and the limits of libraries
//! - [`openai`]: APIs like those of OpenAI
//! - [`shutdown`]: restarts, and shutdowns in which answers complete
//!
//! The example `runs` serves a page that starts runs and reads them with an `EventSource`.
//!
//! # A hub or a run
//!
//! | | [hub](crate::hub) | run |
//! |---|---|---|
//! | events come from | any part of the program, at any time | one call |
//! | end | none, or the last event of a topic ([`Hub::end`](crate::hub::Hub::end)) | the end of the answer, with an [`Outcome`] |
//! | an id is valid | in all topics of the hub | in its run |
//! | without clients | the oldest events are evicted | the call continues until it is abandoned |
//! | a client that missed events gets | a `gap` event and the rest | `404`, or its body fails |
//! | the process that makes the events dies | the topic does not end, and clients wait | the run ends, and clients are told |
//! | stopping the work | the program's own, such as a [topic](#stopping-work-over-a-hub) for it | any process [cancels](Runs::cancel) the run, also [after a last event](Runs::cancel_with) |
//! | processes | one, or several over Redis | one, or several over a [store](crate::runs#several-processes) |
//!
//! Notifications, chat rooms and dashboards are hubs. The answer of a language model and an export are
//! runs. The [progress of a job](crate::hub#progress-of-a-job) is a topic of a hub if a late client
//! needs only the latest state, and a run if it needs every event. A hub can notify a user's other
//! pages that a run has begun.
//!
//! # Stopping work over a hub
//!
//! The process that receives the request to stop may not be the one that works. It publishes to a
//! topic, which the work follows:
//!
//! ```
//! # #[cfg(feature = "hub")]
//! # mod with_hub {
//! use futures_util::StreamExt;
//! use tower_sse::{Event, hub::{Hub, PublishError}};
//! # async fn next_part() -> String { String::new() }
//!
//! async fn work(hub: Hub, job: u64) -> Result<(), PublishError> {
//!     let topic = format!("job:{job}");
//!     let mut stops = hub.subscribe_to(format!("stop:{job}")).resume(None).messages();
//!     for _ in 0..100 {
//!         tokio::select! {
//!             part = next_part() => hub.publish(&topic, part).await?,
//!             _ = stops.next() => break,
//!         };
//!     }
//!     hub.end(&topic, Event::new().event("done").data("")).await?;
//!     Ok(())
//! }
//!
//! async fn stop(hub: Hub, job: u64) -> Result<(), PublishError> {
//!     hub.publish(format!("stop:{job}"), "").await?;
//!     Ok(())
//! }
//! # }
//! ```
//!
//! # Owners
//!
//! A client for whose request the program makes a run's key can read that run and, where a handler
//! allows it, stop it.
//!
//! - [`RunKey::new`] is for names that a client chooses or can guess. The owner comes from the
//!   authenticated session. A client of another owner gets the answers for an unknown run, even
//!   with the same name and a valid id.
//! - [`RunKey::shared`] is for names that the server generates with a cryptographic random
//!   generator, and for public answers. These runs have no owner, so
//!   [`max_running_per_owner`](RunsBuilder::max_running_per_owner) does not limit them.
//!
//! Check permissions outside of the layer: only the request that starts a run reaches the handler.
//!
//! # Storing answers
//!
//! [`Run::messages`] returns the decoded events of a run. Store them when the run has ended, on a
//! task of its own, because the client may have disconnected:
//!
//! ```
//! use tower_sse::runs::{Outcome, Run};
//! # async fn save(_: &str, _: String) {}
//!
//! fn store_when_ended(run: Run) {
//!     tokio::spawn(async move {
//!         let outcome = run.ended().await;
//!         let Some(messages) = run.messages() else { return };
//!         if outcome == Some(Outcome::Completed) {
//!             let text = messages.iter().map(|message| message.data.as_str()).collect();
//!             save(run.key().name(), text).await;
//!         }
//!     });
//! }
//! ```
//!
//! Call it in the handler with the run that [`Runs::start`] or [`Runs::replace`] returns. With
//! several processes, call it only where the run was started, or each process stores the answer.
//!
//! # MCP
//!
//! Return no key for requests of MCP 2026-07-28. That version has no resumption, and its clients
//! cancel a call by closing the stream, which does not stop a run.

pub mod clients;
pub mod openai;
pub mod shutdown;

// Names for the links above.
#[allow(unused_imports)]
use crate::runs::{Outcome, Run, RunKey, Runs, RunsBuilder};
