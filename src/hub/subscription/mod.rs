//! The subscriptions of a hub: one client's way through the logs of its topics.
//!
//! | | |
//! |---|---|
//! | `subscribe.rs` | the options of a subscription |
//! | `start.rs` | where a subscription starts, and what it sends first |
//! | `subscription.rs` | the stream |
//! | `read.rs` | the next events in the order of publication |
//! | `gap.rs` | where a gap is made, and what the client receives |
//! | `gap_policy.rs` | the action of a subscription with a gap |
//! | `wait.rs` | the wait for the next event of any topic |
//! | `answer.rs` | the response, which tells a client that its topics have ended |
//! | `messages.rs` | the decoded messages, for consumers in the process |
//! | `cursor.rs` | the position in one topic |
//! | `cursors.rs` | the positions in all topics |
//! | `merge_queue.rs` | the order in which the cursors are read |
//! | `preamble.rs` | what is sent before the next events: the gaps of a loss, and the greeting |
//! | `flush_window.rs` | the delay in which events accumulate |

mod answer;
mod cursor;
mod cursors;
mod flush_window;
mod gap;
mod gap_policy;
mod merge_queue;
mod messages;
mod preamble;
mod read;
mod start;
mod subscribe;
#[allow(clippy::module_inception)]
mod subscription;
mod topic_names;
mod wait;

pub use self::{
    gap_policy::GapPolicy, messages::Messages, subscribe::Subscribe, subscription::Subscription,
    topic_names::TopicNames,
};
