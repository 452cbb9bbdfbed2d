//! The topics of a hub: what they keep, and when it is evicted.
//!
//! | | |
//! |---|---|
//! | `topics.rs` | all topics by name: they are created and removed here, and their events evicted |
//! | `topic.rs` | one topic: its log, its end, and the subscribers that wait for its next event |
//! | `eviction_queue.rs` | the order in which topics evict events, by memory and by age |
//! | `tombstones.rs` | what the hub remembers about removed topics |

mod eviction_queue;
mod tombstones;
#[allow(clippy::module_inception)]
mod topic;
mod topics;

pub(super) use self::topic::{Topic, TopicEnd, TopicState};
pub(super) use self::topics::{RetentionOf, Topics};
