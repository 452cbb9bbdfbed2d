use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{BuildHasher, RandomState},
    mem,
    sync::{Arc, Mutex, MutexGuard},
};

use tokio_util::sync::DropGuard;

use super::{
    Closing,
    close_log::{CloseLog, Ticket},
    limits::Limits,
    member::{Member, Revocation},
    members::Members,
    table::shrink_if_sparse,
};
use crate::lock::lock;

/// The open streams of each subject, and the log of closes.
#[derive(Debug, Default)]
pub(super) struct OpenStreams {
    closes: CloseLog,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    pub(super) limits: Arc<Limits>,
    /// Stops the task that follows the closes of other processes.
    _follower: Option<DropGuard>,
}

const SHARDS: usize = 16;

type Shard = HashMap<Arc<str>, Members>;

impl OpenStreams {
    pub(super) fn new(limits: Limits, follower: Option<DropGuard>) -> Self {
        Self { limits: Arc::new(limits), _follower: follower, ..Self::default() }
    }

    pub(super) fn ticket(&self) -> Ticket {
        self.closes.ticket()
    }

    /// Returns a stream of these subjects, which is in no list yet.
    pub(super) fn member(&self, subjects: &[Arc<str>]) -> Arc<Member> {
        Arc::new(Member::new(subjects.iter().map(|subject| self.shared_name(subject)).collect()))
    }

    /// Opens a stream, which is closed at once if one of its subjects was closed after the ticket
    /// was taken.
    pub(super) fn open(&self, ticket: Ticket, member: &Arc<Member>) {
        for subject in member.subjects() {
            self.enter(member, subject);
        }
        self.close_since(ticket, member);
    }

    /// Adds a stream to the list of one of its subjects.
    fn enter(&self, member: &Arc<Member>, subject: &Arc<str>) {
        match self.shard(subject).entry(Arc::clone(subject)) {
            Entry::Occupied(mut listed) => listed.get_mut().insert(Arc::clone(member)),
            Entry::Vacant(unlisted) => {
                unlisted.insert(Members::One(Arc::clone(member)));
            }
        }
    }

    /// Closes a stream that has entered its lists, if one of its subjects was closed after the
    /// ticket was taken. `CloseLog` says why this is checked last.
    fn close_since(&self, ticket: Ticket, member: &Arc<Member>) {
        if self.ticket() != ticket {
            let hashes: Vec<_> = member.subjects().iter().map(|name| self.hash(name)).collect();
            if self.closes.has_closed(ticket, &hashes) {
                member.revoke(Revocation::Subject);
            }
        }
        // A close may have removed it only from the lists that it had entered by then.
        if member.is_revoked() {
            self.leave(member);
        }
    }

    /// Returns the name that the streams of a subject share, or `subject` for the first of them.
    fn shared_name(&self, subject: &Arc<str>) -> Arc<str> {
        let shard = self.shard(subject);
        Arc::clone(shard.get_key_value(&**subject).map_or(subject, |(name, _)| name))
    }

    /// Returns how many streams of a subject are open.
    pub(super) fn count(&self, subject: &str) -> usize {
        self.shard(subject).get(subject).map_or(0, Members::len)
    }

    pub(super) fn subjects(&self) -> Vec<(Arc<str>, usize)> {
        let mut subjects = Vec::new();
        for shard in &self.shards {
            let shard = lock(shard);
            subjects.extend(shard.iter().map(|(name, members)| (Arc::clone(name), members.len())));
        }
        subjects
    }

    /// Closes streams, and returns how many there were.
    pub(super) fn close(&self, closing: Closing<&str>) -> usize {
        self.closes.log(Some(closing.map(|subject| self.hash(subject))));
        let closed = match closing.kept {
            Some(kept) => self.remove_without(closing.subject, kept),
            None => remove_list(&mut self.shard(closing.subject), closing.subject)
                .map(Members::into_vec)
                .unwrap_or_default(),
        };
        self.revoke(closed, Revocation::Subject)
    }

    /// Takes the streams that do not have the subject `kept` out of a list.
    fn remove_without(&self, subject: &str, kept: &str) -> Vec<Arc<Member>> {
        let mut shard = self.shard(subject);
        let Some(members) = shard.get_mut(subject) else { return Vec::new() };
        let (removed, is_empty) = members.remove_without(kept);
        if is_empty {
            remove_list(&mut shard, subject);
        }
        removed
    }

    /// Closes all streams that have a subject.
    pub(super) fn close_all(&self) -> usize {
        self.closes.log(None);
        let mut count = 0;
        for shard in &self.shards {
            let closed = mem::take(&mut *lock(shard));
            let closed = closed.into_values().flat_map(Members::into_vec).collect();
            count += self.revoke(closed, Revocation::All);
        }
        count
    }

    /// Closes streams that were taken out of a list, while no lock is held.
    fn revoke(&self, closed: Vec<Arc<Member>>, how: Revocation) -> usize {
        let mut count = 0;
        for member in closed {
            count += usize::from(member.revoke(how));
            if member.subjects().len() > 1 {
                self.leave(&member);
            }
        }
        count
    }

    /// Removes a stream from the lists in which it still is.
    pub(super) fn leave(&self, member: &Arc<Member>) {
        for subject in member.subjects() {
            let mut shard = self.shard(subject);
            if let Some(members) = shard.get_mut(subject)
                && members.remove(member)
            {
                remove_list(&mut shard, subject);
            }
        }
    }

    fn hash(&self, subject: &str) -> u64 {
        self.hasher.hash_one(subject)
    }

    fn shard(&self, subject: &str) -> MutexGuard<'_, Shard> {
        let index = self.hash(subject) as usize % SHARDS;
        // The index is below the length.
        #[allow(clippy::indexing_slicing)]
        lock(&self.shards[index])
    }
}

fn remove_list(shard: &mut Shard, subject: &str) -> Option<Members> {
    let members = shard.remove(subject);
    shrink_if_sparse(shard);
    members
}

#[cfg(test)]
mod tests {
    use std::{
        sync::Arc,
        thread,
        time::{Duration, Instant},
    };

    use super::{Closing, Member, OpenStreams, Revocation, remove_list};

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Another thread closes the first list before the stream has entered the second one.
    #[test]
    fn stream_that_is_closed_while_it_opens_is_in_no_list() {
        let open_streams = Arc::<OpenStreams>::default();
        let ticket = open_streams.ticket();
        let names: [Arc<str>; 2] = ["a", "b"].map(Arc::from);
        let member = Arc::new(Member::new(Box::new(names.clone())));
        open_streams.enter(&member, &names[0]);
        assert_eq!(open_streams.close(Closing { subject: "a", kept: None }), 1);
        open_streams.enter(&member, &names[1]);
        open_streams.close_since(ticket, &member);
        assert_eq!(open_streams.subjects(), []);
    }

    /// A stream that enters a list after that was emptied must find the close in the log.
    #[test]
    fn close_is_in_the_log_before_a_list_is_emptied() {
        let closes: [fn(&OpenStreams) -> usize; 3] = [
            |streams| streams.close(Closing { subject: "a", kept: None }),
            |streams| streams.close(Closing { subject: "a", kept: Some("b") }),
            OpenStreams::close_all,
        ];
        for close in closes {
            let open_streams = Arc::<OpenStreams>::default();
            let ticket = open_streams.ticket();
            let member = open_streams.member(&["a".into()]);
            open_streams.open(ticket, &member);
            thread::scope(|scope| {
                let list = open_streams.shard("a");
                let closing = scope.spawn(|| close(&open_streams));
                let started = Instant::now();
                while open_streams.ticket() == ticket {
                    assert!(started.elapsed() < PATIENCE, "the close waits for the list first");
                    thread::yield_now();
                }
                drop(list);
                assert_eq!(closing.join().unwrap(), 1);
            });
            assert!(member.revocation().is_some());
        }
    }

    /// The close is in the log before the stream has a ticket, and closes the first list later.
    #[test]
    fn stream_that_opens_while_it_is_closed_is_in_no_list() {
        let open_streams = Arc::<OpenStreams>::default();
        let names: [Arc<str>; 2] = ["a", "b"].map(Arc::from);
        let member = Arc::new(Member::new(Box::new(names.clone())));
        open_streams.closes.log(Some(Closing { subject: open_streams.hash("a"), kept: None }));
        let ticket = open_streams.ticket();
        open_streams.enter(&member, &names[0]);
        let closed = remove_list(&mut open_streams.shard("a"), "a").unwrap();
        assert_eq!(open_streams.revoke(closed.into_vec(), Revocation::Subject), 1);
        open_streams.enter(&member, &names[1]);
        open_streams.close_since(ticket, &member);
        assert_eq!(open_streams.subjects(), []);
    }
}
