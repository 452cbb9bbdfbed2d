//! The topics of a hub: which events they keep, and when they evict them.
//!
//! | | |
//! |---|---|
//! | `topics.rs` | all topics by name: their creation and removal, and the eviction of their events |
//! | `topic.rs` | one topic: its log, its end, and the subscribers that wait for its next event |
//! | `eviction_queue.rs` | the order in which topics evict events, by memory and by age |
//! | `tombstones.rs` | what the hub remembers about removed topics |

mod eviction_queue;
mod tombstones;
mod topic;
mod topics;

pub(super) use self::topic::{IdIndex, Topic, TopicEnd, TopicState};
pub(super) use self::topics::{RetentionOf, Topics};
