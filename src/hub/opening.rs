use std::sync::Arc;

use super::{cursor::TopicCursor, gap, position::Position};
use crate::event::Encoded;

/// How many gaps at one place are one item.
pub(super) const GAPS_AT_ONCE: usize = 256;

/// What a subscription gives before the events of its topics: after an id that no hub gave out, a
/// gap for every topic, and at a first visit the greeting.
#[derive(Debug)]
pub(super) struct Opening {
    /// The id until the last gap was given: it says the same as the client's.
    pub(super) again: Position,
    /// Where the subscription begins.
    pub(super) begin: Position,
    /// The index of the next topic whose gap is to be given.
    pub(super) gaps_from: usize,
    pub(super) greeting: Option<Encoded>,
    /// The subscription ends after the gaps.
    pub(super) ends: bool,
}

impl Opening {
    /// Returns the next item.
    pub(super) fn next(&mut self, places: &[TopicCursor]) -> Option<Encoded> {
        let rest = places.get(self.gaps_from..).unwrap_or_default();
        if rest.is_empty() {
            return self.greeting.take();
        }
        let told = rest.iter().take(GAPS_AT_ONCE);
        let topics: Vec<_> = told.map(|place| Arc::clone(place.topic().name())).collect();
        self.gaps_from += topics.len();
        let is_last = topics.len() == rest.len();
        Some(gap::tell(&topics, self.again, if is_last { self.begin } else { self.again }))
    }

    /// Whether all of it was given.
    pub(super) const fn is_done(&self, places: &[TopicCursor]) -> bool {
        self.gaps_from >= places.len() && (self.greeting.is_none() || self.ends)
    }
}
