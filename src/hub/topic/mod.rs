//! The topics of a hub: what they keep, and when it is evicted.
//!
//! | | |
//! |---|---|
//! | `topic.rs` | one topic: its log, its end, the subscribers that wait for its next event, and what is remembered of it once it is removed |
//! | `topics.rs` | all topics by name: they are created, evicted and removed here |

#[allow(clippy::module_inception)]
mod topic;
mod topics;

pub(super) use self::topic::{Topic, TopicEnd, TopicState};
pub(super) use self::topics::{RetentionOf, Topics};
