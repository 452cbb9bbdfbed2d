//! The scripts and commands that Redis executes, and the older states to which Redis can return.

use super::protocol::Stream;
use crate::*;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Synced {
    Ok {
        newest: u8,
        entries: u8,
    },
    /// The claim is gone, or the stream has another number of entries than the owner expects.
    Lacks,
    Over(Outcome),
}

impl State {
    /// `claim.lua`: returns whether the key now belongs to the run.
    pub(crate) fn claim(&mut self, epoch: usize) -> bool {
        let is_free = self.redis.claim.is_none_or(|Claim { phase, .. }| {
            !phase.is_live() && phase != Phase::Ended(Outcome::Completed)
        });
        if is_free {
            self.create_claim(epoch);
        }
        is_free
    }

    fn create_claim(&mut self, epoch: usize) {
        let (phase, lease) = (Phase::Starting, Lease::Held);
        self.redis.claim = Some(Claim { epoch, phase, lease });
    }

    pub(crate) fn add_end(&mut self, epoch: usize, outcome: Outcome) {
        let stream = self.redis.streams[epoch].get_or_insert_default();
        stream.end = Some((outcome, stream.newest));
        self.ended |= 1 << epoch;
    }

    pub(crate) fn set_phase(&mut self, phase: Phase) {
        if let Some(claim) = &mut self.redis.claim {
            claim.phase = phase;
        }
    }

    /// `sync.lua`
    pub(crate) fn sync(
        &mut self,
        protocol: Protocol,
        epoch: usize,
        expected: Option<u8>,
        restores: bool,
        has_head: bool,
    ) -> Synced {
        let end = self.redis.streams[epoch].and_then(|stream| stream.end);
        let claim = self.redis.claim;
        if let Some((outcome, _)) = end.filter(|_| protocol.ends_outlive_claims || claim.is_some())
        {
            if claim.is_some_and(|claim| claim.epoch == epoch && claim.phase.is_live()) {
                self.set_phase(Phase::Ended(outcome));
            }
            return Synced::Over(outcome);
        }
        // The server has lost the claim if the key has no run, or an earlier one.
        let is_lost = claim.is_none_or(|claim| claim.epoch < epoch);
        if is_lost && !restores {
            return Synced::Lacks;
        }
        if is_lost {
            self.create_claim(epoch);
        }
        let Some(claim) = self.redis.claim else { return Synced::Lacks };
        match claim.phase {
            _ if claim.epoch != epoch => return Synced::Over(Outcome::Interrupted),
            Phase::Ended(outcome) => return Synced::Over(outcome),
            Phase::Void => return Synced::Over(Outcome::Interrupted),
            Phase::Starting | Phase::Running => {}
        }
        if restores {
            self.redis.streams[epoch] = None;
        }
        let entries = self.redis.streams[epoch].map_or(0, |stream| stream.entries());
        let expected = expected.filter(|_| protocol.counts_entries && !restores);
        let is_behind = expected.is_some_and(|expected| expected != entries);
        if has_head && !is_behind {
            if entries == 0 {
                self.redis.streams[epoch] = Some(Stream { has_head: true, ..Stream::default() });
            }
            self.set_phase(Phase::Running);
        }
        if let Some(claim) = &mut self.redis.claim {
            claim.lease = Lease::Held;
        }
        let stream = self.redis.streams[epoch].unwrap_or_default();
        if is_behind {
            return Synced::Lacks;
        }
        Synced::Ok { newest: stream.newest, entries: stream.entries() }
    }

    /// `XADD`: returns whether the event was added.
    pub(crate) fn append(&mut self, epoch: usize, event: u8) -> bool {
        match &mut self.redis.streams[epoch] {
            Some(stream) if stream.end.is_none() && stream.newest < event => {
                stream.newest = event;
                stream.events |= 1 << (event - 1);
                true
            }
            _ => false,
        }
    }

    /// `end.lua` by the owner: returns whether the run is over. Otherwise Redis lacks something.
    /// Without an outcome, the owner has lost its events.
    pub(crate) fn end_own(
        &mut self,
        protocol: Protocol,
        epoch: usize,
        outcome: Option<Outcome>,
        newest: u8,
        expected: u8,
    ) -> bool {
        match self.redis.claim {
            None => return false,
            Some(claim) if claim.epoch != epoch || !claim.phase.is_live() => return true,
            Some(_) => {}
        }
        let stream = self.redis.streams[epoch].unwrap_or_default();
        if let Some((outcome, _)) = stream.end {
            self.set_phase(Phase::Ended(outcome));
            return true;
        }
        if outcome.is_some() {
            let is_counted = !protocol.counts_entries || stream.entries() == expected;
            if stream.newest != newest || !is_counted {
                return false;
            }
        }
        let outcome = outcome.unwrap_or(Outcome::Interrupted);
        self.add_end(epoch, outcome);
        self.set_phase(Phase::Ended(outcome));
        true
    }

    /// `end.lua`, called by the owner when the service's answer is no event stream.
    pub(crate) fn end_void(&mut self, protocol: Protocol, epoch: usize) {
        let claim = self.redis.claim.filter(|it| it.epoch == epoch && it.phase == Phase::Starting);
        match claim {
            Some(_) if protocol.voids_keep_claims => self.set_phase(Phase::Void),
            Some(_) => self.redis.claim = None,
            None => {}
        }
    }

    /// `end.lua` by any process: to cancel a run, to end the run of a dead owner, or to release a
    /// claim.
    pub(crate) fn end_any(&mut self, epoch: usize, outcome: Outcome) {
        let Some(claim) = self.redis.claim else { return };
        if claim.epoch != epoch || !claim.phase.is_live() {
            return;
        }
        let end = self.redis.streams[epoch].and_then(|stream| stream.end);
        if end.is_none() {
            self.add_end(epoch, outcome);
        }
        let outcome = end.map_or(outcome, |(outcome, _)| outcome);
        self.set_phase(Phase::Ended(outcome));
    }

    /// Replaces the data, because Redis has lost some.
    pub(crate) fn lose(&mut self, data: Data) {
        self.redis = data;
        self.ended = 0;
        for (epoch, stream) in data.streams.iter().enumerate() {
            if stream.is_some_and(|stream| stream.end.is_some()) {
                self.ended |= 1 << epoch;
            }
        }
    }
}

impl Data {
    /// Returns the data before the last change of the run that has the key, or `None` if no run has
    /// the key.
    pub(crate) fn older(mut self) -> Option<Self> {
        let claim = self.claim.as_mut()?;
        claim.lease = Lease::Held;
        let stream = &mut self.streams[claim.epoch];
        match stream {
            Some(Stream { has_head, end: end @ Some(_), .. }) => {
                *end = None;
                claim.phase = if *has_head { Phase::Running } else { Phase::Starting };
                if !*has_head {
                    *stream = None;
                }
            }
            Some(stream) if stream.events != 0 => {
                stream.events &= !(1 << (stream.newest - 1));
                stream.newest = u8::BITS as u8 - stream.events.leading_zeros() as u8;
            }
            Some(_) => {
                *stream = None;
                claim.phase = Phase::Starting;
            }
            None if claim.phase == Phase::Void => claim.phase = Phase::Starting,
            None => {
                let earlier = claim.epoch.checked_sub(1);
                self.claim = earlier.and_then(|epoch| {
                    let (outcome, _) = self.streams[epoch]?.end?;
                    Some(Claim { epoch, phase: Phase::Ended(outcome), lease: Lease::Held })
                });
            }
        }
        Some(self)
    }
}
