use std::{
    collections::VecDeque,
    sync::{
        PoisonError, RwLock,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

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

/// The streams that a close has ended. Subjects are hashed by a random key.
///
/// A hash collision ends one more stream, whose client reconnects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Close {
    Subject(u64),
    /// The streams of the first subject that do not have the second.
    Except(u64, u64),
    All,
}

/// The number of closes in the log. A stream whose ticket is older is closed.
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
        since > newest.len() || newest.iter().rev().take(since).any(|close| close.ends(subjects))
    }
}

impl Close {
    fn ends(self, subjects: &[u64]) -> bool {
        match self {
            Self::Subject(subject) => subjects.contains(&subject),
            Self::Except(subject, kept) => subjects.contains(&subject) && !subjects.contains(&kept),
            Self::All => true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Close, CloseLog, MAX_LOGGED};

    #[test]
    fn a_close_ends_the_streams_of_older_tickets() {
        let closes = CloseLog::default();
        let before = closes.ticket();
        closes.log(Close::Subject(7));
        closes.log(Close::Except(1, 2));
        let after = closes.ticket();
        for (subjects, expected) in
            [(&[7][..], true), (&[8], false), (&[1], true), (&[1, 2], false), (&[2], false)]
        {
            assert_eq!(closes.has_closed(before, subjects), expected, "{subjects:?}");
            assert!(!closes.has_closed(after, subjects), "{subjects:?}");
        }
        closes.log(Close::All);
        assert!(closes.has_closed(after, &[8]));
    }

    #[test]
    fn a_ticket_that_is_older_than_the_log_counts_as_closed() {
        let closes = CloseLog::default();
        let ticket = closes.ticket();
        for _ in 0..MAX_LOGGED {
            closes.log(Close::Subject(1));
        }
        assert!(!closes.has_closed(ticket, &[2]));
        closes.log(Close::Subject(1));
        assert!(closes.has_closed(ticket, &[2]));
        assert!(!closes.has_closed(ticket + 1, &[2]));
    }
}
