use std::{
    collections::VecDeque,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use super::Closing;

/// The log of the newest closes, and the number of all closes so far.
///
/// A stream first enters the lists of its subjects, and then looks here. A close is first added
/// here, and then empties the list of its subject. So at least one of them sees the other.
#[derive(Debug, Default)]
pub(super) struct CloseLog {
    count: AtomicU64,
    newest: RwLock<VecDeque<Close>>,
}

/// The number of closes before a request arrived.
pub(super) type Ticket = u64;

/// A close of hashed subjects, or `None` for a close of all streams. The hash has a random key.
///
/// A hash collision ends one more stream, whose client reconnects.
pub(super) type Close = Option<Closing<u64>>;

/// The number of closes in the log. A stream is closed if its request came before all of them.
const MAX_LOGGED: usize = 65_536;

impl CloseLog {
    /// Returns a ticket for a request that arrives now.
    pub(super) fn ticket(&self) -> Ticket {
        self.count.load(SeqCst)
    }

    pub(super) fn log(&self, close: Close) {
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        if newest.len() == MAX_LOGGED {
            newest.pop_front();
        }
        newest.push_back(close);
        self.count.fetch_add(1, SeqCst);
    }

    /// Returns whether a stream of these subjects was closed after the ticket was taken.
    pub(super) fn has_closed(&self, ticket: Ticket, subjects: &[u64]) -> bool {
        if self.ticket() == ticket {
            return false;
        }
        let newest = self.newest.read().unwrap_or_else(PoisonError::into_inner);
        let Ok(since) = usize::try_from(self.ticket().saturating_sub(ticket)) else {
            return true;
        };
        let has = |subject| subjects.contains(&subject);
        let ends = |close: &Close| {
            close.is_none_or(|Closing { subject, kept }| has(subject) && !kept.is_some_and(has))
        };
        since > newest.len() || newest.iter().rev().take(since).any(ends)
    }
}

#[cfg(test)]
mod tests {
    use super::{CloseLog, Closing, MAX_LOGGED};

    const fn close(subject: u64, kept: Option<u64>) -> Option<Closing<u64>> {
        Some(Closing { subject, kept })
    }

    #[test]
    fn close_ends_the_streams_of_older_tickets() {
        let closes = CloseLog::default();
        let before = closes.ticket();
        closes.log(close(7, None));
        closes.log(close(1, Some(2)));
        let after = closes.ticket();
        for (subjects, expected) in
            [(&[7][..], true), (&[8], false), (&[1], true), (&[1, 2], false), (&[2], false)]
        {
            assert_eq!(closes.has_closed(before, subjects), expected, "{subjects:?}");
            assert!(!closes.has_closed(after, subjects), "{subjects:?}");
        }
        closes.log(None);
        assert!(closes.has_closed(after, &[8]));
    }

    #[test]
    fn ticket_that_is_older_than_the_log_counts_as_closed() {
        let closes = CloseLog::default();
        let ticket = closes.ticket();
        for _ in 0..MAX_LOGGED {
            closes.log(close(1, None));
        }
        assert!(!closes.has_closed(ticket, &[2]));
        closes.log(close(1, None));
        assert!(closes.has_closed(ticket, &[2]));
        assert!(!closes.has_closed(ticket + 1, &[2]));
    }
}
