use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::{collections::hash_map::Entry, mem, slice};

use tokio_util::sync::DropGuard;

use super::limits::{Class, SubjectLimits};
use super::member::{Member, Revocation};
use crate::{callback::without_panic, lock::lock, sparse::shrink_if_sparse};

#[derive(Debug, Default)]
pub(super) struct OpenStreams {
    closes: CloseLog,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    pub(super) limits: SubjectLimits,
    /// When dropped, stops the task that follows the close events of other processes.
    _follower: Option<DropGuard>,
}

const SHARDS: usize = 16;

type Shard = HashMap<Arc<str>, Members>;

impl OpenStreams {
    pub(super) fn new(limits: SubjectLimits, follower: Option<DropGuard>) -> Self {
        Self { limits, _follower: follower, ..Self::default() }
    }

    pub(super) fn ticket(&self) -> Ticket {
        self.closes.ticket()
    }

    pub(super) fn member(&self, subjects: &[Arc<str>], has_places: bool) -> Arc<Member> {
        let subjects = subjects.iter().map(|subject| self.shared_name(subject)).collect();
        Arc::new(Member::new(subjects, has_places))
    }

    /// Opens a stream. Closes it at once if one of its subjects was closed after the ticket was
    /// taken.
    pub(super) fn open(&self, ticket: Ticket, member: &Arc<Member>) {
        for subject in &member.subjects() {
            self.enter(member, subject);
        }
        self.close_since(ticket, member);
    }

    /// Ends a stream because a late subject has no place.
    pub(super) fn refuse(&self, member: &Arc<Member>, class: &Class) {
        member.list();
        if self.revoke(vec![Arc::clone(member)], Revocation::Subject) > 0 {
            class.count_refusal();
        }
        self.leave(member);
    }

    /// Adds a subject, whose place is taken, to an open stream. Closes the stream at once if the
    /// subject was closed after the ticket was taken.
    pub(super) fn grow(&self, ticket: Ticket, member: &Arc<Member>, subject: &Arc<str>) {
        member.list();
        let subject = self.shared_name(subject);
        if !member.add(&subject) {
            if member.has_places {
                self.limits.free(slice::from_ref(&subject), false);
            }
            return;
        }
        self.enter(member, &subject);
        self.close_since(ticket, member);
        // The stream may have ended and left its lists before it entered this list.
        if member.has_ended() {
            self.leave_one(member, &subject);
        }
    }

    fn enter(&self, member: &Arc<Member>, subject: &Arc<str>) {
        match self.shard(subject).entry(Arc::clone(subject)) {
            Entry::Occupied(mut listed) => listed.get_mut().insert(Arc::clone(member)),
            Entry::Vacant(unlisted) => {
                unlisted.insert(Members::One(Arc::clone(member)));
            }
        }
    }

    /// Closes a stream if a close after its ticket concerns it. [`CloseLog`] says why this comes
    /// last.
    fn close_since(&self, ticket: Ticket, member: &Arc<Member>) {
        if self.ticket() != ticket {
            let hashes: Vec<_> = member.subjects().iter().map(|name| self.hash(name)).collect();
            if self.closes.has_closed(ticket, &hashes) {
                _ = self.revoke(vec![Arc::clone(member)], Revocation::Subject);
            }
        }
        // A close may have removed the stream only from the lists that the stream had entered by
        // then.
        if member.is_revoked() {
            self.leave(member);
        }
    }

    fn shared_name(&self, subject: &Arc<str>) -> Arc<str> {
        let shard = self.shard(subject);
        Arc::clone(shard.get_key_value(&**subject).map_or(subject, |(name, _)| name))
    }

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

    fn remove_without(&self, subject: &str, kept: &str) -> Vec<Arc<Member>> {
        let mut shard = self.shard(subject);
        let Some(members) = shard.get_mut(subject) else { return Vec::new() };
        let (removed, is_empty) = members.remove_without(kept);
        if is_empty {
            remove_list(&mut shard, subject);
        }
        removed
    }

    pub(super) fn close_all(&self) -> usize {
        self.closes.log(None);
        let lists = self.shards.iter().flat_map(|shard| mem::take(&mut *lock(shard)).into_values());
        let mut closed: Vec<_> = lists.flat_map(Members::into_vec).collect();
        // About the order in which the streams opened. In the order of a hash table, consecutive
        // streams would free memory far apart.
        closed.sort_unstable_by_key(address);
        self.revoke(closed, Revocation::All)
    }

    pub(super) fn end(&self, member: &Arc<Member>) {
        member.set_ending();
        let (subjects, waker) = member.take(&self.limits);
        subjects.iter().for_each(|subject| self.leave_one(member, subject));
        _ = without_panic(|| drop(waker));
    }

    /// Closes the streams and returns how many were open. The caller must hold no lock of this
    /// `OpenStreams`.
    fn revoke(&self, closed: Vec<Arc<Member>>, how: Revocation) -> usize {
        let mut count = 0;
        for member in closed {
            count += usize::from(member.revoke(how, &self.limits));
            if member.has_several() {
                self.leave(&member);
            }
        }
        count
    }

    fn leave(&self, member: &Arc<Member>) {
        member.subjects().iter().for_each(|subject| self.leave_one(member, subject));
    }

    fn leave_one(&self, member: &Arc<Member>, subject: &Arc<str>) {
        let mut shard = self.shard(subject);
        if let Some(members) = shard.get_mut(subject)
            && members.remove(member)
        {
            remove_list(&mut shard, subject);
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

/// A close of the streams of a subject that do not also have the subject `kept`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Closing<T> {
    pub(crate) subject: T,
    pub(crate) kept: Option<T>,
}

impl<T> Closing<T> {
    pub(crate) fn map<'c, U>(&'c self, subject: impl Fn(&'c T) -> U) -> Closing<U> {
        Closing { subject: subject(&self.subject), kept: self.kept.as_ref().map(subject) }
    }
}

/// The open streams of one subject. Most subjects have one stream.
#[derive(Debug)]
enum Members {
    One(Arc<Member>),
    /// The streams by address. A hash table would move all of them at once when it grows.
    // Boxed, so that the entry of one stream stays small.
    #[allow(clippy::box_collection)]
    Many(Box<BTreeMap<Address, Arc<Member>>>),
}

type Address = usize;

impl Members {
    fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(members) => members.len(),
        }
    }

    fn insert(&mut self, member: Arc<Member>) {
        match self {
            Self::One(first) => {
                let both = [Arc::clone(first), member].map(|member| (address(&member), member));
                *self = Self::Many(Box::new(BTreeMap::from(both)));
            }
            Self::Many(members) => {
                members.insert(address(&member), member);
            }
        }
    }

    /// Removes a stream and returns whether none is left.
    fn remove(&mut self, member: &Arc<Member>) -> bool {
        match self {
            Self::One(only) => Arc::ptr_eq(only, member),
            Self::Many(members) => {
                members.remove(&address(member));
                members.is_empty()
            }
        }
    }

    /// Removes the streams without the subject `kept`, and also returns whether none is left.
    fn remove_without(&mut self, kept: &str) -> (Vec<Arc<Member>>, bool) {
        match self {
            Self::One(only) if only.has(kept) => (Vec::new(), false),
            Self::One(only) => (vec![Arc::clone(only)], true),
            Self::Many(members) => {
                let mut removed = Vec::new();
                members.retain(|_, member| {
                    let stays = member.has(kept);
                    if !stays {
                        removed.push(Arc::clone(member));
                    }
                    stays
                });
                (removed, members.is_empty())
            }
        }
    }

    fn into_vec(self) -> Vec<Arc<Member>> {
        match self {
            Self::One(member) => vec![member],
            Self::Many(members) => members.into_values().collect(),
        }
    }
}

fn address(member: &Arc<Member>) -> Address {
    Arc::as_ptr(member).addr()
}

/// The log of the newest `close` calls, and the number of all calls so far.
///
/// A stream first enters the lists of its subjects, then looks into the log. A close is first added
/// to the log, then removes streams from the lists. So the stream sees the close, or the close sees
/// the stream.
#[derive(Debug, Default)]
struct CloseLog {
    count: AtomicU64,
    newest: RwLock<VecDeque<Close>>,
}

/// The number of `close` calls before a request arrived, or before an open stream got a subject.
pub(super) type Ticket = u64;

/// A close of hashed subjects, or `None` for a close of all streams. The hash has a random key, so
/// clients can't force collisions.
pub(super) type Close = Option<Closing<u64>>;

/// The maximum number of `close` calls in the log. If a request arrived before a call that the log
/// no longer has, the request's stream is closed as soon as it opens.
const MAX_LOGGED: usize = 65_536;

impl CloseLog {
    fn ticket(&self) -> Ticket {
        self.count.load(SeqCst)
    }

    fn log(&self, close: Close) {
        let mut newest = self.newest.write().unwrap_or_else(PoisonError::into_inner);
        if newest.len() == MAX_LOGGED {
            newest.pop_front();
        }
        newest.push_back(close);
        self.count.fetch_add(1, SeqCst);
    }

    fn has_closed(&self, ticket: Ticket, subjects: &[u64]) -> bool {
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
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
    use std::task::{Wake, Waker};
    use std::thread;
    use std::time::{Duration, Instant};

    use super::{Closing, Member, OpenStreams, Revocation, SubjectLimits, remove_list};

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Simulates another thread that closes subject `a` after the stream has entered the list of
    /// `a`, and before it enters the list of `b`.
    #[test]
    fn stream_that_is_closed_while_it_opens_is_in_no_list() {
        let open_streams = Arc::<OpenStreams>::default();
        let ticket = open_streams.ticket();
        let names: [Arc<str>; 2] = ["a", "b"].map(Arc::from);
        let member = Arc::new(Member::new(Box::new(names.clone()), false));
        open_streams.enter(&member, &names[0]);
        assert_eq!(open_streams.close(Closing { subject: "a", kept: None }), 1);
        open_streams.enter(&member, &names[1]);
        open_streams.close_since(ticket, &member);
        assert_eq!(open_streams.subjects(), []);
    }

    /// A stream that enters a list after a close has emptied it must find the close in the log.
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
            let member = open_streams.member(&["a".into()], false);
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

    /// The close is logged before the stream takes its ticket. It empties the list of `a` after the
    /// stream has entered it, and before the stream enters the list of `b`.
    #[test]
    fn stream_that_opens_while_it_is_closed_is_in_no_list() {
        let open_streams = Arc::<OpenStreams>::default();
        let names: [Arc<str>; 2] = ["a", "b"].map(Arc::from);
        let member = Arc::new(Member::new(Box::new(names.clone()), false));
        open_streams.closes.log(Some(Closing { subject: open_streams.hash("a"), kept: None }));
        let ticket = open_streams.ticket();
        open_streams.enter(&member, &names[0]);
        let closed = remove_list(&mut open_streams.shard("a"), "a").unwrap();
        assert_eq!(open_streams.revoke(closed.into_vec(), Revocation::Subject), 1);
        open_streams.enter(&member, &names[1]);
        open_streams.close_since(ticket, &member);
        assert_eq!(open_streams.subjects(), []);
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Relaxed);
        }
    }

    /// The close takes the lists before the stream enters its first one.
    #[test]
    fn stream_that_gets_its_first_subject_while_all_are_closed_is_woken() {
        let (open_streams, wakes) = (OpenStreams::default(), Arc::<Wakes>::default());
        let member = open_streams.member(&[], false);
        open_streams.open(open_streams.ticket(), &member);
        member.register(&Waker::from(Arc::clone(&wakes)));
        let ticket = open_streams.ticket();
        assert_eq!(open_streams.close_all(), 0);
        open_streams.grow(ticket, &member, &"a".into());
        assert_eq!(wakes.0.load(Relaxed), 1);
        assert!(member.revocation().is_some());
        assert_eq!(open_streams.subjects(), []);
    }

    #[test]
    fn subject_that_is_added_while_its_stream_ends_leaves_nothing_behind() {
        for round in 0..2_000 {
            let streams = OpenStreams::new(SubjectLimits::new([("b".into(), 1)]), None);
            let ticket = streams.ticket();
            let has_one = round % 2 == 0;
            let first: &[Arc<str>] = if has_one { &["a".into()] } else { &[] };
            let member = streams.member(first, true);
            streams.open(ticket, &member);
            let ends: [&(dyn Fn() + Sync); 4] = [
                &|| _ = streams.close(Closing { subject: "b", kept: None }),
                &|| _ = streams.close(Closing { subject: "b", kept: Some("c") }),
                &|| _ = streams.close_all(),
                &|| streams.end(&member),
            ];
            let end = round / 2 % ends.len();
            thread::scope(|scope| {
                scope.spawn(|| {
                    assert!(streams.limits.take(&["b".into()]).is_ok());
                    streams.grow(ticket, &member, &"b".into());
                });
                scope.spawn(ends[end]);
            });
            let is_closed = member.revocation().is_some();
            assert_eq!(is_closed, end != 3, "{round}");
            assert_eq!(streams.subjects(), [], "{round}");
            streams.end(&member);
            assert!(streams.limits.has_place(&"b".into()), "{round}");
        }
    }
}
