use super::Subscription;
use crate::{event::Encoded, history::Position};

/// What a subscription sends before the next events of its topics.
#[derive(Debug)]
pub(crate) enum Preamble {
    /// The first event of a first visit.
    Greeting(Encoded),
    /// A gap for each topic, after a loss that the broker reported.
    LossGaps {
        /// The id of all gaps except the last. A client that reconnects with it receives all of them
        /// again.
        before: Position,
        /// The id of the last gap, the position from which the subscription continues.
        last: Position,
        /// The index of the first topic whose gap has not been sent.
        next: usize,
    },
}

impl Subscription {
    /// Returns the next item of the preamble, if there is one.
    #[cold]
    pub(super) fn next_of_preamble(&mut self) -> Option<Encoded> {
        match *self.preamble.take()? {
            Preamble::Greeting(greeting) => Some(greeting),
            Preamble::LossGaps { before, last, next } => {
                Some(self.gaps_of_loss(before, last, next))
            }
        }
    }
}
