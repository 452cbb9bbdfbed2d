use std::time::Duration;

use crate::history::Log;

/// The place of a topic in the [eviction queue](super::eviction_queue::EvictionQueue), by memory
/// and by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) by_memory: ByMemory,
    pub(super) by_age: ByAge,
}

/// What a topic evicts next if memory is short, and the sequence number of its oldest event, which
/// makes the place unique.
pub(super) type ByMemory = (Evictable, u64);

/// The time in nanoseconds after which the topic's oldest event is too old, and its sequence
/// number.
pub(super) type ByAge = (u64, u64);

/// What a topic evicts next if memory is short, in the order of eviction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Evictable {
    /// Frames, which can be assembled again.
    Frames,
    /// An event that is not its topic's newest.
    Older,
    Newest,
    /// The memory of the topic counts apart from that of others.
    Nothing,
}

impl Evictable {
    #[inline]
    pub(super) fn of(log: &Log) -> Option<Self> {
        match log.len() {
            0 => None,
            _ if !log.shares_memory() => Some(Self::Nothing),
            _ if log.keeps_frames() => Some(Self::Frames),
            1 => Some(Self::Newest),
            _ => Some(Self::Older),
        }
    }
}

impl Place {
    /// Returns the exact place, or `None` if the log has no events.
    pub(super) fn of(log: &Log) -> Option<Self> {
        let evictable = Evictable::of(log)?;
        let (oldest, due) = log.oldest()?;
        Some(Self { by_memory: (evictable, oldest), by_age: (nanoseconds(due), oldest) })
    }
}

/// Returns the nanoseconds of a duration. Those of more than 584 years are as many.
#[inline]
pub(super) const fn nanoseconds(time: Duration) -> u64 {
    time.as_secs().saturating_mul(1_000_000_000).saturating_add(time.subsec_nanos() as u64)
}
