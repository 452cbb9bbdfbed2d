use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use tokio::time::Instant;

use crate::{history::Epoch, runs::RunKey};

/// The end of a run, and its epoch, which no other run of the process has.
type At = (Instant, Epoch);

/// Runs that have ended, in the order of their ends, with a limit on the memory of each owner's
/// runs.
///
/// Without a limit, no owner is remembered. Runs without an owner are not limited.
#[derive(Debug)]
pub struct EndedRuns<R> {
    runs: BTreeMap<At, R>,
    key_of: fn(&R) -> &RunKey,
    max_per_owner: Option<usize>,
    /// The memory of each run of an owner, and the total.
    owners: HashMap<Arc<str>, (BTreeMap<At, usize>, usize)>,
}

impl<R> EndedRuns<R> {
    pub fn new(max_per_owner: Option<usize>, key_of: fn(&R) -> &RunKey) -> Self {
        Self { runs: BTreeMap::new(), key_of, max_per_owner, owners: HashMap::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.runs.len()
    }

    pub fn add(&mut self, at: At, run: R, bytes: usize) {
        if let (Some(_), Some(owner)) = (self.max_per_owner, (self.key_of)(&run).shared_owner()) {
            let (runs, total) = self.owners.entry(Arc::clone(owner)).or_default();
            runs.insert(at, bytes);
            *total += bytes;
        }
        self.runs.insert(at, run);
    }

    pub fn remove(&mut self, at: At) -> Option<R> {
        let run = self.runs.remove(&at)?;
        if let Some(owner) = (self.key_of)(&run).shared_owner()
            && let Some((runs, total)) = self.owners.get_mut(owner)
        {
            *total -= runs.remove(&at).unwrap_or(0);
            if runs.is_empty() {
                self.owners.remove(owner);
            }
        }
        Some(run)
    }

    /// Returns the first run to which `is_wanted` applies, in the order of their ends.
    pub(crate) fn find(&self, mut is_wanted: impl FnMut(&R) -> bool) -> Option<&R> {
        self.runs.values().find(|run| is_wanted(run))
    }

    /// Returns the run that ended first, and when it ended.
    pub fn oldest(&self) -> Option<(At, &R)> {
        self.runs.first_key_value().map(|(at, run)| (*at, run))
    }

    /// Removes the run that ended first of the owner of `key`, if the owner has several runs and they
    /// exceed the limit.
    pub fn remove_excess(&mut self, key: &RunKey) -> Option<R> {
        let (runs, total) = self.owners.get(key.shared_owner()?)?;
        let is_over = runs.len() > 1 && self.max_per_owner.is_some_and(|max| *total > max);
        let (oldest, _) = runs.first_key_value().filter(|_| is_over)?;
        self.remove(*oldest)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::Instant;

    use super::{At, EndedRuns};
    use crate::{history::Epoch, runs::RunKey};

    /// Returns a function that gives each run the time of its end, in the order of the numbers.
    fn clock() -> impl Fn(u32) -> At {
        let (start, epoch) = (Instant::now(), Epoch::now());
        move |run| (start + Duration::from_secs(run.into()), epoch)
    }

    type Run = (u32, RunKey);

    #[test]
    fn oldest_runs_of_an_owner_exceed_its_limit_but_never_the_newest() {
        let mut runs = EndedRuns::new(Some(100), |run: &Run| &run.1);
        let at = clock();
        let [ann, bob, carl] = ["ann", "bob", "carl"].map(|owner| RunKey::new(owner, "x").unwrap());
        let shared = RunKey::shared("x").unwrap();
        let of_ann = [(&ann, 40); 4];
        let others = [(&bob, 500), (&shared, 500), (&carl, 50), (&carl, 50)];
        for (run, (key, bytes)) in (1..).zip(of_ann.into_iter().chain(others)) {
            runs.add(at(run), (run, key.clone()), bytes);
        }
        assert_eq!(runs.remove_excess(&bob), None, "its only one");
        assert_eq!(runs.remove_excess(&shared), None);
        assert_eq!(runs.remove_excess(&carl), None, "not above the limit");
        assert_eq!(runs.remove_excess(&ann), Some((1, ann.clone())));
        assert_eq!(runs.remove(at(3)), Some((3, ann.clone())));
        assert_eq!(runs.remove_excess(&ann), None, "no longer above it");
        assert_eq!(runs.oldest(), Some((at(2), &(2, ann))));
        for run in (1..=8).rev() {
            runs.remove(at(run));
        }
        assert_eq!((runs.len(), runs.owners.len()), (0, 0));
    }

    #[test]
    fn no_owner_is_remembered_without_a_limit() {
        let mut runs = EndedRuns::new(None, |run: &Run| &run.1);
        runs.add(clock()(1), (1, RunKey::new("ann", "x").unwrap()), 40);
        assert!(runs.owners.is_empty());
    }
}
