use std::{collections::BTreeMap, sync::Arc};

use super::member::Member;

/// The open streams of one subject. Most sessions have one.
#[derive(Debug)]
pub(super) enum Members {
    One(Arc<Member>),
    /// By address. A hash table would move all of them at once when it grows.
    // Boxed, so that the entry of one stream stays small.
    #[allow(clippy::box_collection)]
    Many(Box<BTreeMap<Address, Arc<Member>>>),
}

type Address = usize;

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

    /// Removes the streams that do not have the subject `kept`. Returns them, and whether no stream
    /// is left.
    pub(super) fn remove_without(&mut self, kept: &str) -> (Vec<Arc<Member>>, bool) {
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
