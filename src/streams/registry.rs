use std::{
    array,
    collections::{HashMap, HashSet, hash_map::Entry},
    hash::{BuildHasher, Hash, Hasher, RandomState},
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio_util::sync::DropGuard;

use super::{
    closes::{Close, Closes, Ticket},
    membership::{Member, Membership, Revocation},
};

/// The open streams of each subject, and the log of closes.
#[derive(Debug)]
pub(super) struct Registry {
    closes: Closes,
    hasher: RandomState,
    shards: [Mutex<Shard>; SHARDS],
    /// Stops the task that follows the closes of other processes.
    _follower: Option<DropGuard>,
}

const SHARDS: usize = 16;

type Shard = HashMap<Arc<str>, Members>;

/// The open streams of one subject. Most sessions have one.
#[derive(Debug)]
enum Members {
    One(Arc<Member>),
    // Boxed, so that the entry of one stream stays small.
    #[allow(clippy::box_collection)]
    Many(Box<HashSet<ByAddress>>),
}

#[derive(Clone, Debug)]
struct ByAddress(Arc<Member>);

impl Registry {
    pub(super) fn new(follower: Option<DropGuard>) -> Self {
        Self {
            closes: Closes::default(),
            hasher: RandomState::new(),
            shards: array::from_fn(|_| Mutex::default()),
            _follower: follower,
        }
    }

    pub(super) fn ticket(&self) -> Ticket {
        self.closes.ticket()
    }

    /// Opens a stream of these subjects, which is closed at once if one of them was closed after
    /// the ticket was taken.
    pub(super) fn open(self: &Arc<Self>, ticket: Ticket, subjects: &[Arc<str>]) -> Membership {
        let names = subjects.iter().map(|subject| self.shared_name(subject)).collect();
        let membership = Membership::new(Arc::clone(self), names);
        let member = membership.member();
        for subject in member.subjects() {
            match self.shard(subject).entry(Arc::clone(subject)) {
                Entry::Occupied(mut listed) => listed.get_mut().insert(Arc::clone(member)),
                Entry::Vacant(unlisted) => {
                    unlisted.insert(Members::One(Arc::clone(member)));
                }
            }
        }
        // Looks after it has entered the lists: see `Closes`.
        if self.ticket() != ticket {
            let hashes: Vec<_> = subjects.iter().map(|subject| self.hash(subject)).collect();
            if self.closes.has_closed(ticket, &hashes) && member.revoke(Revocation::Subject) {
                self.leave(member);
            }
        }
        membership
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

    /// Closes the streams of a subject, and returns how many there were.
    pub(super) fn close(&self, subject: &str) -> usize {
        self.closes.log(Close::Subject(self.hash(subject)));
        let members = remove_list(&mut self.shard(subject), subject);
        let closed = members.map(Members::into_vec).unwrap_or_default();
        self.revoke(closed, Revocation::Subject)
    }

    /// Closes the streams of a subject that do not have the subject `kept`.
    pub(super) fn close_except(&self, subject: &str, kept: &str) -> usize {
        self.closes.log(Close::Except(self.hash(subject), self.hash(kept)));
        let mut closed = Vec::new();
        let mut shard = self.shard(subject);
        if let Some(members) = shard.get_mut(subject)
            && members.remove_without(kept, &mut closed)
        {
            remove_list(&mut shard, subject);
        }
        drop(shard);
        self.revoke(closed, Revocation::Subject)
    }

    /// Closes all streams that have a subject.
    pub(super) fn close_all(&self) -> usize {
        self.closes.log(Close::All);
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
                let both = [ByAddress(Arc::clone(first)), ByAddress(member)];
                *self = Self::Many(Box::new(HashSet::from(both)));
            }
            Self::Many(members) => {
                members.insert(ByAddress(member));
            }
        }
    }

    /// Removes one stream, and returns whether none is left.
    fn remove(&mut self, member: &Arc<Member>) -> bool {
        match self {
            Self::One(only) => Arc::ptr_eq(only, member),
            Self::Many(members) => {
                members.remove(&ByAddress(Arc::clone(member)));
                if is_sparse(members.len(), members.capacity()) {
                    members.shrink_to(2 * members.len());
                }
                members.is_empty()
            }
        }
    }

    /// Moves the streams that do not have the subject `kept` to `removed`, and returns whether none
    /// is left.
    fn remove_without(&mut self, kept: &str, removed: &mut Vec<Arc<Member>>) -> bool {
        match self {
            Self::One(only) if only.has(kept) => false,
            Self::One(only) => {
                removed.push(Arc::clone(only));
                true
            }
            Self::Many(members) => {
                members.retain(|member| {
                    let is_kept = member.0.has(kept);
                    if !is_kept {
                        removed.push(Arc::clone(&member.0));
                    }
                    is_kept
                });
                members.is_empty()
            }
        }
    }

    fn into_vec(self) -> Vec<Arc<Member>> {
        match self {
            Self::One(member) => vec![member],
            Self::Many(members) => members.into_iter().map(|member| member.0).collect(),
        }
    }
}

fn remove_list(shard: &mut Shard, subject: &str) -> Option<Members> {
    let members = shard.remove(subject);
    if is_sparse(shard.len(), shard.capacity()) {
        shard.shrink_to(2 * shard.len());
    }
    members
}

/// Returns whether a table should shrink, as after a storm of clients.
const fn is_sparse(len: usize, capacity: usize) -> bool {
    capacity > 64 && capacity / 8 > len
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl PartialEq for ByAddress {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for ByAddress {}

impl Hash for ByAddress {
    fn hash<H: Hasher>(&self, state: &mut H) {
        Arc::as_ptr(&self.0).hash(state);
    }
}
