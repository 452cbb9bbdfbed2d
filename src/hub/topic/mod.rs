//! The topics of a hub: what they keep, and when it is evicted.
//!
//! | | |
//! |---|---|
//! | `topic.rs` | one topic: its log, and the subscribers that wait for its next event |
//! | `end.rs` | the end of a topic, and how long its name is taken |
//! | `topics.rs` | all topics by name; they are created and removed here |
//! | `eviction.rs` | where events are evicted by age and by memory |
//! | `eviction_queue.rs` | the topics in the order of eviction |
//! | `place.rs` | the place of a topic in this order |
//! | `tombstones.rs` | the ends of removed topics, and which of their events were evicted, so that clients receive a gap |

mod end;
mod eviction;
mod eviction_queue;
mod place;
mod tombstones;
#[allow(clippy::module_inception)]
mod topic;
mod topics;

pub(super) use self::{
    end::TopicEnd,
    topic::{Topic, TopicState},
    topics::{RetentionOf, Topics},
};
