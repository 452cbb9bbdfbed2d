use std::{
    collections::BTreeMap,
    ops::Bound::{Excluded, Unbounded},
    sync::Arc,
};

use super::membership::Member;

/// The open streams of one subject. Most sessions have one.
#[derive(Debug)]
pub(super) enum Members {
    One(Arc<Member>),
    /// By address, so that a close can visit them in pieces while others open and leave. A hash
    /// table would move all of them at once when it grows.
    // Boxed, so that the entry of one stream stays small.
    #[allow(clippy::box_collection)]
    Many(Box<BTreeMap<Address, Arc<Member>>>),
}

pub(super) type Address = usize;

/// The number of streams that a close visits while it holds the lock.
const MAX_VISITED: usize = 512;

/// What a close removed while it held the lock.
#[derive(Debug, Default)]
pub(super) struct Piece {
    pub(super) removed: Vec<Arc<Member>>,
    /// The last stream that was visited, if the list may have more.
    pub(super) last: Option<Address>,
}

impl Members {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(members) => members.len(),
        }
    }

    pub(super) fn insert(&mut self, member: Arc<Member>) {
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

    /// Removes one stream, and returns whether none is left.
    pub(super) fn remove(&mut self, member: &Arc<Member>) -> bool {
        match self {
            Self::One(only) => Arc::ptr_eq(only, member),
            Self::Many(members) => {
                members.remove(&address(member));
                members.is_empty()
            }
        }
    }

    /// Visits the next streams after `last`, and removes those that do not have the subject `kept`.
    /// Returns the removed ones, and whether no stream is left.
    pub(super) fn remove_without(&mut self, kept: &str, last: Option<Address>) -> (Piece, bool) {
        match self {
            Self::One(only) if only.has(kept) => (Piece::default(), false),
            Self::One(only) => (Piece { removed: vec![Arc::clone(only)], last: None }, true),
            Self::Many(members) => {
                let (mut piece, mut visited) = (Piece::default(), 0);
                let behind = (last.map_or(Unbounded, Excluded), Unbounded);
                for (address, member) in members.range(behind).take(MAX_VISITED) {
                    visited += 1;
                    piece.last = Some(*address);
                    if !member.has(kept) {
                        piece.removed.push(Arc::clone(member));
                    }
                }
                if visited < MAX_VISITED {
                    piece.last = None;
                }
                for member in &piece.removed {
                    members.remove(&address(member));
                }
                (piece, members.is_empty())
            }
        }
    }

    pub(super) fn into_vec(self) -> Vec<Arc<Member>> {
        match self {
            Self::One(member) => vec![member],
            Self::Many(members) => members.into_values().collect(),
        }
    }
}

fn address(member: &Arc<Member>) -> Address {
    Arc::as_ptr(member).addr()
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc};

    use super::{Address, MAX_VISITED, Members, address};
    use crate::streams::{membership::Membership, open_streams::OpenStreams};

    fn open(open_streams: &Arc<OpenStreams>, is_kept: bool) -> Membership {
        let names: &[&str] = if is_kept { &["a", "kept"] } else { &["a"] };
        let names = names.iter().copied().map(Arc::from).collect();
        Membership::new(Arc::clone(open_streams), names)
    }

    /// Between the pieces, streams open and leave, including visited and removed ones.
    #[test]
    fn the_pieces_of_a_close_visit_every_stream_that_stays() {
        for round in 0..8 {
            let open_streams = Arc::<OpenStreams>::default();
            let count = 4 * MAX_VISITED + round;
            let first: Vec<_> = (0..count).map(|n| open(&open_streams, n % 3 == 0)).collect();
            let mut members = Members::One(Arc::clone(first[0].member()));
            for membership in &first[1..] {
                members.insert(Arc::clone(membership.member()));
            }
            let (mut later, mut left, mut removed) = (Vec::new(), HashSet::new(), HashSet::new());
            let (mut last, mut pieces) = (None, 0);
            loop {
                let (piece, _) = members.remove_without("kept", last);
                assert!(piece.removed.len() <= MAX_VISITED);
                removed.extend(piece.removed.iter().map(address));
                last = piece.last;
                pieces += 1;
                if last.is_none() {
                    break;
                }
                for step in 0..round * 50 {
                    let leaving = first[(step * 7_919 + pieces * 31) % count].member();
                    members.remove(leaving);
                    left.insert(address(leaving));
                    if step % 8 == 0 {
                        later.push(open(&open_streams, step % 16 == 0));
                        members.insert(Arc::clone(later.last().unwrap().member()));
                    }
                }
            }
            assert!(pieces > 2, "{pieces}");
            let listed: HashSet<Address> = members.into_vec().iter().map(address).collect();
            for (number, membership) in first.iter().enumerate() {
                let (address, is_kept) = (address(membership.member()), number % 3 == 0);
                let stays = is_kept && !left.contains(&address);
                assert_eq!(listed.contains(&address), stays, "round {round}, stream {number}");
                assert!(!is_kept || !removed.contains(&address), "{round}, stream {number}");
            }
            for membership in &later {
                let address = address(membership.member());
                assert_ne!(listed.contains(&address), removed.contains(&address), "{round}");
            }
            assert!(round > 0 || removed.len() == count - count.div_ceil(3));
        }
    }
}
