//! The state of the whole model, and the parts of the protocol that a test can leave out.

/// The rules of the protocol that close its holes. Without the first two rules, or without any one
/// of the others, the exploration must find a violation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Protocol {
    /// The claim of a run that is void, because its answer is no stream, stays in Redis.
    pub(crate) voids_keep_claims: bool,
    /// A run whose stream has an end is over, even if its claim is missing.
    pub(crate) ends_outlive_claims: bool,
    /// If a run is over and its owner has evicted events that Redis lacks, the owner ends the run as
    /// interrupted.
    pub(crate) reports_losses: bool,
    /// An owner compares the number of entries in Redis with the number that was acknowledged.
    pub(crate) counts_entries: bool,
    /// An owner sends everything again if a new connection leads to events that were not
    /// acknowledged.
    pub(crate) doubts_events: bool,
}

impl Protocol {
    pub(crate) const AS_BUILT: Self = Self {
        voids_keep_claims: true,
        ends_outlive_claims: true,
        reports_losses: true,
        counts_entries: true,
        doubts_events: true,
    };
}

/// The maximum number of epochs.
pub(crate) const EPOCHS: usize = 3;
pub(crate) const EVENTS: u8 = 2;

/// The limits of one trace.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    pub(crate) epochs: usize,
    pub(crate) faults: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Outcome {
    Completed,
    Cancelled,
    Interrupted,
}

/// The phase of a run at its owner, or of a claim.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    #[default]
    Starting,
    Running,
    Void,
    Ended(Outcome),
}

impl Phase {
    pub(crate) const fn is_live(self) -> bool {
        matches!(self, Self::Starting | Self::Running)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Claim {
    pub(crate) epoch: usize,
    pub(crate) phase: Phase,
    pub(crate) lease: Lease,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Lease {
    Held,
    /// The owner has not renewed the lease in time.
    Late,
    /// The owner was late over the whole grace period.
    Dead,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Stream {
    pub(crate) has_head: bool,
    /// A bit for each event.
    pub(crate) events: u8,
    /// The number of the event with the highest id, or 0 without an event.
    pub(crate) newest: u8,
    pub(crate) end: Option<(Outcome, u8)>,
}

impl Stream {
    pub(crate) const fn entries(&self) -> u8 {
        self.has_head as u8 + self.events.count_ones() as u8 + self.end.is_some() as u8
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Data {
    pub(crate) claim: Option<Claim>,
    pub(crate) streams: [Option<Stream>; EPOCHS],
}

/// A run at its owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Run {
    pub(crate) process: u8,
    pub(crate) phase: Phase,
    pub(crate) produced: u8,
    /// Whether events that Redis does not have were evicted to make room.
    pub(crate) is_evicted: bool,
    /// Whether a `Sync` was answered over the present connection, and no `Append` has failed since.
    pub(crate) is_in_step: bool,
    pub(crate) has_begun: bool,
    pub(crate) restores: bool,
    pub(crate) exported: u8,
    pub(crate) entries: u8,
    /// Whether Redis has the run's end, or will never have it.
    pub(crate) is_done: bool,
}

/// A client of another process. It is `Ended` if it has the whole answer or knows that it hasn't.
/// It is `Misled` if it takes a part for the whole.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Client {
    #[default]
    None,
    Attached {
        epoch: usize,
        received: u8,
    },
    Ended,
    Misled,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    pub(crate) redis: Data,
    /// Whether a proxy has led the connections to another server before the owners notice it.
    pub(crate) is_swapped: bool,
    pub(crate) runs: [Option<Run>; EPOCHS],
    /// The number of epochs that were given out.
    pub(crate) epochs: u8,
    /// The epoch of the claim whose reply was lost.
    pub(crate) lost_claim: Option<usize>,
    pub(crate) client: Client,
    pub(crate) has_cancelled: bool,
    pub(crate) faults: u8,
    /// A bit for each run that has ended in Redis, unless Redis has lost the end.
    pub(crate) ended: u8,
}

impl State {
    /// Returns the promise that this state breaks, if any.
    pub(crate) fn violation(&self) -> Option<String> {
        if self.client == Client::Misled {
            return Some("the client takes a part for the whole".to_owned());
        }
        let claim = self.redis.claim?;
        let epoch = claim.epoch;
        if claim.phase.is_live() && self.ended & (1 << epoch) != 0 {
            return Some(format!("run {epoch} has ended, and is live again"));
        }
        let stream = self.redis.streams[epoch]?;
        let has_hole = stream.events.count_ones() < u32::from(EVENTS);
        let is_completed = matches!(stream.end, Some((Outcome::Completed, _)));
        (is_completed && has_hole).then(|| format!("run {epoch} has completed with a hole"))
    }
}
