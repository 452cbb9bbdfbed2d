use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

/// The items of each owner that count towards its limit, in ascending order.
///
/// Without a limit, nothing is remembered. Items without an owner are not limited.
#[derive(Debug)]
pub(crate) struct Owners<I> {
    limit: Option<usize>,
    owners: HashMap<Arc<str>, Items<I>>,
}

#[derive(Debug)]
struct Items<I> {
    items: VecDeque<(I, usize)>,
    bytes: usize,
}

impl<I: Copy + Ord> Owners<I> {
    pub(crate) fn new(limit: Option<usize>) -> Self {
        Self { limit, owners: HashMap::new() }
    }

    /// Adds an item. Of two runs that end at the same instant, the later one can have the lower item.
    pub(crate) fn add(&mut self, owner: Option<&Arc<str>>, item: I, bytes: usize) {
        if let (Some(_), Some(owner)) = (self.limit, owner) {
            let new = || Items { items: VecDeque::new(), bytes: 0 };
            let of_owner = self.owners.entry(Arc::clone(owner)).or_insert_with(new);
            let at = of_owner.items.partition_point(|(other, _)| *other < item);
            of_owner.items.insert(at, (item, bytes));
            of_owner.bytes += bytes;
        }
    }

    pub(crate) fn remove(&mut self, owner: Option<&Arc<str>>, item: I) {
        let Some(owner) = owner else { return };
        let Some(of_owner) = self.owners.get_mut(owner) else { return };
        if let Ok(at) = of_owner.items.binary_search_by_key(&item, |(item, _)| *item)
            && let Some((_, bytes)) = of_owner.items.remove(at)
        {
            of_owner.bytes -= bytes;
        }
        if of_owner.items.is_empty() {
            self.owners.remove(owner);
        }
    }

    /// Returns the oldest item of an owner that exceeds the limit, unless it has only one.
    pub(crate) fn excess(&self, owner: Option<&Arc<str>>) -> Option<I> {
        let of_owner = self.owners.get(owner?)?;
        let is_over = self.limit.is_some_and(|limit| of_owner.bytes > limit);
        let oldest = of_owner.items.front().filter(|_| is_over && of_owner.items.len() > 1)?;
        Some(oldest.0)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::Owners;

    #[test]
    fn oldest_items_of_an_owner_exceed_its_limit_but_never_the_newest() {
        let mut owners = Owners::new(Some(100));
        let (ann, bob) = (Some(Arc::from("ann")), Some(Arc::from("bob")));
        for item in 1..=3 {
            owners.add(ann.as_ref(), item, 40);
        }
        owners.add(bob.as_ref(), 4, 500);
        owners.add(None, 5, 500);
        assert_eq!(owners.excess(ann.as_ref()), Some(1));
        assert_eq!(owners.excess(bob.as_ref()), None, "its only one");
        assert_eq!(owners.excess(None), None);
        owners.remove(ann.as_ref(), 2);
        assert_eq!(owners.excess(ann.as_ref()), None);
        let carl = Some(Arc::from("carl"));
        owners.add(carl.as_ref(), 6, 50);
        owners.add(carl.as_ref(), 7, 50);
        assert_eq!(owners.excess(carl.as_ref()), None, "not above the limit");
        owners.remove(carl.as_ref(), 6);
        owners.remove(carl.as_ref(), 7);
        for (owner, item) in [(&ann, 1), (&ann, 3), (&bob, 4), (&bob, 4)] {
            owners.remove(owner.as_ref(), item);
        }
        assert!(owners.owners.is_empty());
    }

    #[test]
    fn nothing_is_remembered_without_a_limit() {
        let mut owners = Owners::new(None);
        owners.add(Some(&Arc::from("ann")), 1, 40);
        assert!(owners.owners.is_empty());
    }
}
