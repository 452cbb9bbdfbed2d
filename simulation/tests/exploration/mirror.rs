//! What a client of another process receives.

use super::protocol::{Client, EVENTS, Outcome, Phase, State};

impl State {
    /// Attaches a client to the run that has the key.
    pub(crate) fn attach(&mut self) -> bool {
        let Some(claim) = self.redis.claim else { return false };
        let is_usable = claim.phase.is_live() || claim.phase == Phase::Ended(Outcome::Completed);
        if is_usable {
            self.client = Client::Attached { epoch: claim.epoch, received: 0 };
        }
        is_usable
    }

    /// Checks and loads the run of the client, as `owner_checks` and `Mirror::load` do. Pushes are not
    /// needed for that, so each of them may be lost.
    pub(crate) fn load(&mut self) {
        let Client::Attached { epoch, received } = self.client else { return };
        let claim = self.redis.claim.filter(|claim| claim.epoch == epoch);
        let end = self.redis.streams[epoch].and_then(|stream| stream.end);
        match claim.map(|claim| claim.phase) {
            Some(Phase::Void) => {
                self.client = Client::Ended;
                return;
            }
            Some(Phase::Ended(_)) if end.is_none() => {
                // Whatever is left must not look complete.
                let stream = self.redis.streams[epoch].get_or_insert_default();
                stream.end = Some((Outcome::Interrupted, stream.newest));
                self.ended |= 1 << epoch;
                if let Some(claim) = &mut self.redis.claim {
                    claim.phase = Phase::Ended(Outcome::Interrupted);
                }
            }
            Some(Phase::Starting | Phase::Running) => {
                if let (Some((outcome, _)), Some(claim)) = (end, &mut self.redis.claim) {
                    claim.phase = Phase::Ended(outcome);
                }
            }
            _ => {}
        }
        self.client = self.read(epoch, received, claim.is_none() && self.redis.claim.is_some());
    }

    fn read(&self, epoch: usize, mut received: u8, has_lost_its_key: bool) -> Client {
        let stream = self.redis.streams[epoch].unwrap_or_default();
        while received < EVENTS && stream.events & (1 << received) != 0 {
            received += 1;
        }
        let has_hole = stream.events >> received != 0;
        match stream.end {
            // The next event is missing.
            _ if has_hole => Client::Ended,
            Some((Outcome::Completed, newest)) if received >= newest && received < EVENTS => {
                Client::Misled
            }
            Some(_) => Client::Ended,
            None if has_lost_its_key => Client::Ended,
            None => Client::Attached { epoch, received },
        }
    }
}
