use std::collections::{BTreeMap, HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::Ordering::{AcqRel, Acquire, Relaxed, Release, SeqCst};
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::{collections::hash_map::Entry, mem, slice, task::Waker, vec};

use tokio_util::sync::DropGuard;

use super::limits::{Class, SubjectLimits};
use super::member::{Generation, Member, Revocation};
use crate::wake::{BATCH, Runtimes, in_batches};
use crate::{callback::without_panic, lock::lock, sparse::shrink_if_sparse};

#[derive(Debug, Default)]
pub(super) struct OpenStreams {
    closes: CloseLog,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// The current [`Generation`]. Changed only while all shards are locked.
    generation: AtomicU32,
    /// The generation in the upper half, and the number of its open streams in the lower half.
    open: AtomicU64,
    pub(super) limits: SubjectLimits,
    /// The runtimes of streams that were polled while more than [`BATCH`] were open. Other runtimes
    /// aren't kept here, because a handle keeps resources of a runtime that has ended.
    runtimes: Mutex<Runtimes>,
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
        Arc::new(Member::new(subjects, self.generation(), has_places))
    }

    /// Opens a stream. Closes it at once if one of its subjects was closed after the ticket was
    /// taken.
    pub(super) fn open(&self, ticket: Ticket, member: &Arc<Member>) {
        if member.is_listed() {
            self.count_open(member, 1);
        }
        for subject in &member.subjects() {
            self.enter(member, subject);
        }
        self.close_since(ticket, member);
    }

    /// Ends a stream because a late subject has no place.
    pub(super) fn refuse(&self, member: &Arc<Member>, class: &Class) {
        self.list(member);
        if self.revoke(vec![Arc::clone(member)], Revocation::Subject) > 0 {
            class.count_refusal();
        }
        self.leave(member);
    }

    /// Adds a subject, whose place is taken, to an open stream. Closes the stream at once if the
    /// subject was closed after the ticket was taken.
    pub(super) fn grow(&self, ticket: Ticket, member: &Arc<Member>, subject: &Arc<str>) {
        self.list(member);
        let subject = self.shared_name(subject);
        if !member.add(&subject) {
            if member.has_places {
                self.limits.free(slice::from_ref(&subject));
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

    fn list(&self, member: &Member) {
        if member.list(self.generation()) {
            self.count_open(member, 1);
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
        // A close of all streams may have taken the lists before the stream entered them, and
        // nothing else would wake a stream that was idle until it got its first subject.
        if member.generation() != self.generation() {
            _ = member.revoke(Revocation::All);
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
        // Locks all shards at once, so that no stream of the new generation is in a list that is
        // taken here.
        let mut shards: Vec<_> = self.shards.iter().map(lock).collect();
        let next = self.generation().wrapping_add(1);
        let open = self.open.swap(packed(next, 0), AcqRel);
        self.generation.store(next, Release);
        let lists = shards.iter_mut().map(|shard| mem::take(&mut **shard)).collect();
        drop(shards);
        // Taken after the generation has changed: a stream notes its runtime before comparing
        // generations.
        let runtimes = mem::take(&mut *lock(&self.runtimes));
        let revoke = |closed: Option<Arc<Member>>| {
            closed.map(|member| member.revoke(Revocation::All));
        };
        in_batches(AllClosed { lists, ..AllClosed::default() }, revoke, runtimes);
        // The lower half is below zero if a stream has ended before it was counted.
        (open as i32).max(0) as usize
    }

    #[inline]
    pub(super) fn generation(&self) -> Generation {
        self.generation.load(Acquire)
    }

    fn count_open(&self, member: &Member, change: i32) {
        let changed = self.open.fetch_update(Relaxed, Relaxed, |open| {
            let (generation, count) = ((open >> 32) as u32, open as u32);
            (generation == member.generation())
                .then(|| packed(generation, count.wrapping_add_signed(change)))
        });
        if changed == Ok(packed(member.generation(), 1)) && change < 0 {
            let runtimes = mem::take(&mut *lock(&self.runtimes));
            // Dropped without the lock, because dropping the last handle frees a runtime.
            drop(runtimes);
        }
    }

    /// Lets a close of the stream wake `waker`. With many open streams, notes the runtime.
    pub(super) fn register(&self, member: &Member, waker: &Waker) {
        if member.register(waker) {
            // The lower half of `open` is the number of open streams.
            let open = self.open.load(Relaxed) as u32 as usize;
            if open > BATCH {
                lock(&self.runtimes).note();
            }
        }
    }

    /// Notes that a stream is about to end. The stream stays in its lists.
    pub(super) fn begin_end(&self, member: &Member) {
        if member.set_ending() {
            self.count_open(member, -1);
        }
    }

    pub(super) fn end(&self, member: &Arc<Member>) {
        self.begin_end(member);
        let (subjects, waker) = member.take();
        // The lists of an earlier generation are gone.
        if member.generation() == self.generation() {
            subjects.iter().for_each(|subject| self.leave_one(member, subject));
        }
        if member.has_places {
            self.limits.free(&subjects);
        }
        _ = without_panic(|| drop(waker));
    }

    /// Closes the streams and returns how many were open. The caller must hold no lock of this
    /// `OpenStreams`.
    fn revoke(&self, closed: Vec<Arc<Member>>, how: Revocation) -> usize {
        let mut count = 0;
        for member in closed {
            if member.revoke(how) {
                self.count_open(&member, -1);
                count += 1;
            }
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

const fn packed(generation: Generation, open: u32) -> u64 {
    (generation as u64) << 32 | open as u64
}

/// An iterator over all streams in the order of their addresses, which is about the order in which
/// they opened. In the order of a hash table, consecutive streams would free memory far apart.
///
/// The iterator first collects the lists of all subjects and yields a `None` for each, so a batch
/// collects no more lists than it could wake streams.
#[derive(Default)]
struct AllClosed {
    lists: Vec<Shard>,
    shard: Option<ShardIter>,
    unsorted: Vec<Arc<Member>>,
    /// The streams of each shard, in the order of their addresses.
    sorted: Vec<vec::IntoIter<Arc<Member>>>,
}

type ShardIter = std::collections::hash_map::IntoValues<Arc<str>, Members>;

impl AllClosed {
    /// Collects the streams of the next list. Returns `false` if no list is left.
    fn collect(&mut self) -> bool {
        loop {
            if let Some(shard) = &mut self.shard {
                if let Some(members) = shard.next() {
                    match members {
                        Members::One(member) => self.unsorted.push(member),
                        many @ Members::Many(_) => self.unsorted.extend(many.into_vec()),
                    }
                    return true;
                }
                let mut sorted = mem::take(&mut self.unsorted);
                sorted.sort_unstable_by_key(Arc::as_ptr);
                self.sorted.push(sorted.into_iter());
            }
            self.shard = self.lists.pop().map(HashMap::into_values);
            if self.shard.is_none() {
                return false;
            }
        }
    }
}

impl Iterator for AllClosed {
    type Item = Option<Arc<Member>>;

    fn next(&mut self) -> Option<Option<Arc<Member>>> {
        if self.collect() {
            return Some(None);
        }
        let shards = self.sorted.iter_mut();
        let first =
            shards.min_by_key(|shard| shard.as_slice().first().map_or(usize::MAX, address))?;
        first.next().map(Some)
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
    use std::sync::{Arc, atomic::AtomicUsize};
    use std::task::{Wake, Waker};
    use std::thread;
    use std::time::{Duration, Instant};

    use tokio::runtime::Builder;

    use super::{BATCH, Closing, Member, OpenStreams, Revocation};
    use super::{SubjectLimits, packed, remove_list};

    const PATIENCE: Duration = Duration::from_secs(30);

    /// Simulates another thread that closes subject `a` after the stream has entered the list of
    /// `a`, and before it enters the list of `b`.
    #[test]
    fn stream_that_is_closed_while_it_opens_is_in_no_list() {
        let open_streams = Arc::<OpenStreams>::default();
        let ticket = open_streams.ticket();
        let names: [Arc<str>; 2] = ["a", "b"].map(Arc::from);
        let member = Arc::new(Member::new(Box::new(names.clone()), 0, false));
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
            assert!(member.revocation(open_streams.generation()).is_some());
        }
    }

    /// The close is logged before the stream takes its ticket. It empties the list of `a` after the
    /// stream has entered it, and before the stream enters the list of `b`.
    #[test]
    fn stream_that_opens_while_it_is_closed_is_in_no_list() {
        let open_streams = Arc::<OpenStreams>::default();
        let names: [Arc<str>; 2] = ["a", "b"].map(Arc::from);
        let member = Arc::new(Member::new(Box::new(names.clone()), 0, false));
        open_streams.closes.log(Some(Closing { subject: open_streams.hash("a"), kept: None }));
        let ticket = open_streams.ticket();
        open_streams.enter(&member, &names[0]);
        let closed = remove_list(&mut open_streams.shard("a"), "a").unwrap();
        assert_eq!(open_streams.revoke(closed.into_vec(), Revocation::Subject), 1);
        open_streams.enter(&member, &names[1]);
        open_streams.close_since(ticket, &member);
        assert_eq!(open_streams.subjects(), []);
    }

    /// The close of all streams is in the log before the stream has a ticket, and takes the lists
    /// before the stream enters them.
    #[test]
    fn stream_that_opens_while_all_are_closed_is_closed() {
        let open_streams = OpenStreams::default();
        open_streams.closes.log(None);
        let ticket = open_streams.ticket();
        let member = open_streams.member(&["a".into()], false);
        open_streams.open.store(packed(1, 0), super::Relaxed);
        open_streams.generation.store(1, super::Relaxed);
        open_streams.open(ticket, &member);
        assert_eq!(member.revocation(open_streams.generation()), Some(Revocation::All));
        assert_eq!(open_streams.subjects(), []);
    }

    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, super::Relaxed);
        }
    }

    /// The close of all streams is in the log before the open stream gets its first subject, and
    /// takes the lists before the stream enters one.
    #[test]
    fn stream_that_gets_its_first_subject_while_all_are_closed_is_woken() {
        let (open_streams, wakes) = (OpenStreams::default(), Arc::<Wakes>::default());
        let member = open_streams.member(&[], false);
        open_streams.open(open_streams.ticket(), &member);
        open_streams.register(&member, &Waker::from(Arc::clone(&wakes)));
        open_streams.closes.log(None);
        let (ticket, subject) = (open_streams.ticket(), "a".into());
        assert!(member.list(open_streams.generation()));
        open_streams.open.store(packed(1, 0), super::Relaxed);
        open_streams.generation.store(1, super::Relaxed);
        assert!(member.add(&subject));
        open_streams.enter(&member, &subject);
        open_streams.close_since(ticket, &member);
        assert_eq!(wakes.0.load(super::Relaxed), 1);
        assert_eq!(member.revocation(open_streams.generation()), Some(Revocation::All));
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
            let is_closed = member.revocation(streams.generation()).is_some();
            assert_eq!(is_closed, end != 3, "{round}");
            assert_eq!(streams.subjects(), [], "{round}");
            streams.end(&member);
            assert!(streams.limits.has_place(&"b".into()), "{round}");
            assert_eq!(streams.open.load(super::Relaxed) as u32, 0, "{round}");
        }
    }

    /// A handle would keep the file descriptors of a runtime that has ended.
    #[test]
    fn runtime_that_has_ended_is_not_kept() {
        let open_streams = OpenStreams::default();
        let polled_in_runtime = || {
            let held = Arc::new(());
            let hook = Arc::clone(&held);
            let runtime = Builder::new_current_thread().on_thread_park(move || _ = &hook).build();
            let member = open_streams.member(&["a".into()], false);
            open_streams.open(open_streams.ticket(), &member);
            runtime.unwrap().block_on(async { open_streams.register(&member, Waker::noop()) });
            (held, member)
        };
        let (held, member) = polled_in_runtime();
        assert_eq!(Arc::strong_count(&held), 1);
        open_streams.end(&member);
        // With one more stream, more streams are open than one turn closes.
        open_streams.open.store(packed(0, BATCH as u32), super::Relaxed);
        let (held, member) = polled_in_runtime();
        assert_eq!(Arc::strong_count(&held), 2);
        open_streams.open.store(packed(0, 1), super::Relaxed);
        open_streams.end(&member);
        assert_eq!(Arc::strong_count(&held), 1);
    }
}
