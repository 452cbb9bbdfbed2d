//! The subscriptions of a hub, each of which reads the logs of one client's topics.
//!
//! | | |
//! |---|---|
//! | `subscribe.rs` | the options of a subscription, and its start |
//! | `subscription.rs` | the stream: what it reads next, and the gaps that it reports |
//! | `preamble.rs` | what is sent before the next events, and how a gap is written |
//! | `messages.rs` | the stream decoded: as messages and gaps, or as one client sees them |
//! | `own_ids.rs` | ids that the program gives its messages |
//! | `cursors.rs` | the positions in all topics, and the order of their events |
//! | `flush_window.rs` | the delay in which events accumulate |

mod cursors;
mod flush_window;
mod messages;
mod own_ids;
mod preamble;
mod subscribe;
mod subscription;

pub use self::messages::{Gap, Messages, View};
pub use self::subscribe::{Subscribe, TopicNames};
pub use self::subscription::{GapPolicy, Subscription};
