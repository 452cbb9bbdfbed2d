//! The subscriptions of a hub: one client's way through the logs of its topics.
//!
//! | | |
//! |---|---|
//! | `subscribe.rs` | the options of a subscription, and where it starts |
//! | `subscription.rs` | the stream |
//! | `read.rs` | the next events in the order of publication |
//! | `gap.rs` | where a gap is made, and what the client receives |
//! | `wait.rs` | the wait for the next event of any topic |
//! | `messages.rs` | the decoded messages, for consumers in the process |
//! | `cursor.rs` | the position in one topic |
//! | `cursors.rs` | the positions in all topics |
//! | `merge_queue.rs` | the order in which the cursors are read |
//! | `preamble.rs` | what is sent before the next events: the gaps of a loss, and the greeting |
//! | `flush_window.rs` | the delay in which events accumulate |

mod cursor;
mod cursors;
mod flush_window;
mod gap;
mod merge_queue;
mod messages;
mod preamble;
mod read;
mod subscribe;
#[allow(clippy::module_inception)]
mod subscription;
mod wait;

pub use self::{
    gap::GapPolicy, messages::Messages, subscribe::Subscribe, subscription::Subscription,
};
