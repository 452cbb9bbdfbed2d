use std::time::Duration;

use crate::subject::Subject;

/// How events are published, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Regime {
    /// The publisher lets others run after each event. On one thread they do not all get their turn, so
    /// in Rust about 16 events are behind when a subscriber has its own.
    Saturated,
    /// After 32 events.
    Bursts,
    /// An event at a time, each after everybody has had the one before.
    Paced,
    /// An event every 5 ms, for one subscriber.
    Latency,
    /// Saturated, and beside the subscribers another that does not read.
    Stalled,
    /// The same without it.
    Unstalled,
}

/// What the publisher is told.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub events: u64,
    pub burst: u64,
    /// Between bursts; none is to let others run.
    pub gap: Duration,
}

impl Regime {
    pub const ALL: [(&'static str, Self); 6] = [
        ("saturated", Self::Saturated),
        ("bursts", Self::Bursts),
        ("paced", Self::Paced),
        ("latency", Self::Latency),
        ("stalled", Self::Stalled),
        ("unstalled", Self::Unstalled),
    ];

    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|(other, _)| *other == name).map(|(_, regime)| regime)
    }

    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, regime)| *regime == self).map_or("", |(name, _)| name)
    }

    /// Are the events far enough from each other that each has a delay of its own?
    pub const fn has_delays(self) -> bool {
        matches!(self, Self::Paced | Self::Latency)
    }

    /// As many events as are measured well, and no more than axum's channel keeps for a subscriber that has
    /// not had its turn: one that lost events would be none.
    pub fn plan(self, subject: Subject, subscribers: usize) -> Plan {
        let slow = match subject {
            Subject::BetterSse => 12,
            Subject::SseStarlette => 24,
            _ => 1,
        };
        let thousands = (subscribers as u64).div_ceil(1_000);
        let (events, burst, gap_ms) = match self {
            Self::Saturated => (4_000 / slow / thousands, 1, 0),
            Self::Bursts if thousands > 1 => (1_600 / slow, 32, 0),
            Self::Bursts => (4_000 / slow / 32 * 32, 32, 0),
            Self::Paced if subject == Subject::SseStarlette => (40, 1, 100 * thousands),
            Self::Paced => (150 / thousands, 1, 40 * thousands),
            Self::Latency => (400, 1, 5),
            Self::Stalled | Self::Unstalled => (8_000 / slow / thousands, 1, 0),
        };
        Plan { events: events.max(burst), burst, gap: Duration::from_millis(gap_ms) }
    }
}

impl Plan {
    /// The request that starts the publisher.
    pub fn path(self) -> String {
        let Self { events, burst, gap } = self;
        format!("/publish?events={events}&burst={burst}&gap_ms={}", gap.as_millis())
    }
}
