use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::{runtime::Id, task::JoinHandle, time::Instant};

use crate::runs::key::{epoch_after, unique_epoch};
use crate::runs::record::{Deferred, Phase, Record, State};
use crate::runs::stats::RunCounters;
use crate::runs::{Outcome, RunKey, StartError};
use crate::{history::Epoch, runs::options::Options, runs::outcome::Failure};

/// All runs, by key and by age. Lock order: this lock before a record's.
#[derive(Debug)]
pub(crate) struct Registry {
    pub(super) by_key: HashMap<RunKey, Arc<Record>>,
    /// Runs that are starting or running. Later runs have later epochs.
    pub(super) running: BTreeMap<Epoch, Arc<Record>>,
    pub(super) running_by_owner: HashMap<Arc<str>, usize>,
    pub(super) kept: EndedRuns<Arc<Record>>,
    /// Runs that have ended, until the store has their ends.
    pub(super) ending: BTreeMap<Epoch, Arc<Record>>,
    /// Whether the runs are shared through a store.
    pub(super) is_connected: bool,
    /// Runs that were forgotten while clients were still reading them.
    pub(super) lingering: Vec<Weak<Record>>,
    pub(super) newest_epoch: Option<Epoch>,
    pub(crate) is_draining: bool,
    /// The number of ended runs that are being reported.
    pub(super) reporting: usize,
    /// The tasks that forget runs when they are due. Each runtime that starts or ends runs has one,
    /// because nothing may drive the others.
    pub(super) sweepers: Vec<(Id, JoinHandle<()>)>,
}

impl Registry {
    pub(crate) fn new(is_connected: bool, max_memory_per_owner: Option<usize>) -> Self {
        Self {
            by_key: HashMap::new(),
            running: BTreeMap::new(),
            running_by_owner: HashMap::new(),
            kept: EndedRuns::new(max_memory_per_owner, |record| &record.key),
            ending: BTreeMap::new(),
            is_connected,
            lingering: Vec::new(),
            newest_epoch: None,
            is_draining: false,
            reporting: 0,
            sweepers: Vec::new(),
        }
    }

    pub(crate) fn get(&self, key: &RunKey) -> Option<&Arc<Record>> {
        self.by_key.get(key)
    }

    pub(super) fn has_sweeper(&self, runtime: Id) -> bool {
        self.sweepers.iter().any(|(id, task)| *id == runtime && !task.is_finished())
    }

    /// Called by a sweeper that ends. Dropping its handle runs no code of the program.
    pub(super) fn remove_sweeper(&mut self, runtime: Id) {
        self.sweepers.retain(|(id, _)| *id != runtime);
    }

    pub(super) fn is_idle(&self) -> bool {
        self.running.is_empty() && self.reporting == 0
    }

    /// Lets requests find a run by its key, and forgets an earlier one, which must have
    /// [ended](Self::end).
    pub(crate) fn enter(&mut self, record: &Arc<Record>, deferred: &mut Deferred) {
        if let Some(earlier) = self.by_key.get(&record.key).cloned() {
            self.forget(&earlier, deferred);
        }
        self.by_key.insert(record.key.clone(), Arc::clone(record));
    }

    pub(crate) fn acknowledge_end(&mut self, record: &Arc<Record>, deferred: &mut Deferred) {
        if self.ending.remove(&record.epoch).is_some() {
            record.lock().ended_at = Some(Instant::now());
            self.keep(record, deferred);
        }
    }

    /// Returns whether the run was still running.
    pub(crate) fn end(
        &mut self,
        record: &Arc<Record>,
        outcome: Outcome,
        failure: Option<Failure>,
        deferred: &mut Deferred,
    ) -> bool {
        self.end_by(record, deferred, |state, deferred| {
            state.end(record, outcome, failure, deferred);
        })
    }

    /// Ends a run that the caller then forgets: it takes the place of no other ended run. Returns
    /// whether it was still running.
    pub(crate) fn end_forgotten(
        &mut self,
        record: &Arc<Record>,
        outcome: Outcome,
        failure: Option<Failure>,
        deferred: &mut Deferred,
    ) -> bool {
        self.end_by(record, deferred, |state, deferred| {
            state.end(record, outcome, failure, deferred);
            state.is_forgotten = true;
        })
    }

    /// Returns whether the run was still running.
    pub(crate) fn cancel(
        &mut self,
        record: &Arc<Record>,
        lines: Option<&[u8]>,
        deferred: &mut Deferred,
    ) -> bool {
        self.end_by(record, deferred, |state, deferred| {
            if let Some(lines) = lines {
                record.append_last(state, lines, &mut deferred.drops);
            }
            state.end(record, Outcome::Cancelled, None, deferred);
        })
    }

    /// Ends a run if no client is attached. Returns whether this call ended the run.
    pub(crate) fn end_unattended(
        &mut self,
        record: &Arc<Record>,
        outcome: Outcome,
        deferred: &mut Deferred,
    ) -> bool {
        let is_unattended = |state: &State| !state.readers.is_attended(Instant::now());
        self.end_if(record, deferred, is_unattended, |state, deferred| {
            state.end(record, outcome, None, deferred);
        })
    }

    /// Returns whether the run was still running.
    fn end_by(
        &mut self,
        record: &Arc<Record>,
        deferred: &mut Deferred,
        end: impl FnOnce(&mut State, &mut Deferred),
    ) -> bool {
        self.end_if(record, deferred, |_| true, end)
    }

    fn end_if(
        &mut self,
        record: &Arc<Record>,
        deferred: &mut Deferred,
        ends: impl FnOnce(&State) -> bool,
        end: impl FnOnce(&mut State, &mut Deferred),
    ) -> bool {
        let mut state = record.lock();
        if !state.phase.is_live() || !ends(&state) {
            return false;
        }
        end(&mut state, deferred);
        drop(state);
        deferred.changed.push(Arc::clone(record));
        self.remove_running(record);
        if self.is_connected {
            self.ending.insert(record.epoch, Arc::clone(record));
        } else {
            self.keep(record, deferred);
        }
        true
    }

    /// Returns whether the run was still starting.
    pub(crate) fn void(&mut self, record: &Arc<Record>, deferred: &mut Deferred) -> bool {
        {
            let mut state = record.lock();
            if state.phase != Phase::Starting {
                return false;
            }
            state.void(deferred);
        }
        deferred.changed.push(Arc::clone(record));
        self.remove_running(record);
        self.remove_key(record);
        true
    }

    fn remove_running(&mut self, record: &Record) {
        if self.running.remove(&record.epoch).is_none() {
            return;
        }
        if let Some(owner) = record.key.shared_owner()
            && let Some(count) = self.running_by_owner.get_mut(owner)
        {
            *count -= 1;
            if *count == 0 {
                self.running_by_owner.remove(owner);
            }
        }
        shrink(&mut self.running_by_owner);
    }

    pub(super) fn remove_key(&mut self, record: &Arc<Record>) {
        if self.by_key.get(&record.key).is_some_and(|other| Arc::ptr_eq(other, record)) {
            self.by_key.remove(&record.key);
            shrink(&mut self.by_key);
        }
    }
}

/// The limits of number and memory: which runs may start.
impl Registry {
    /// The run counts as running, but requests find it only once it's [entered](Self::enter).
    pub(crate) fn reserve(
        &mut self,
        key: &RunKey,
        earlier: Option<Epoch>,
        options: &Options,
        counters: &Arc<RunCounters>,
    ) -> Result<Arc<Record>, StartError> {
        let is_replaced = earlier.is_some_and(|epoch| self.running.contains_key(&epoch));
        self.check(key, usize::from(is_replaced), options)?;
        let next = if self.is_connected { unique_epoch } else { epoch_after };
        let epoch = next(self.newest_epoch);
        self.newest_epoch = Some(epoch);
        let record = Record::new(key.clone(), epoch, options, Arc::clone(counters));
        let record = Arc::new(record);
        if let Some(owner) = key.shared_owner() {
            *self.running_by_owner.entry(Arc::clone(owner)).or_default() += 1;
        }
        self.running.insert(epoch, Arc::clone(&record));
        Ok(record)
    }

    /// The new run takes the place of `replaced` running runs.
    fn check(&self, key: &RunKey, replaced: usize, options: &Options) -> Result<(), StartError> {
        if self.is_draining {
            return Err(StartError::Draining);
        }
        let running = self.running.len() - replaced;
        let memory = options.memory_of_running(running + 1).saturating_add(self.ending_memory());
        if running >= options.limits.running || memory > options.max_memory {
            return Err(StartError::Full);
        }
        let of_owner = key.shared_owner().and_then(|owner| self.running_by_owner.get(owner));
        if of_owner.is_some_and(|count| count - replaced >= options.limits.running_per_owner) {
            return Err(StartError::OwnerFull);
        }
        Ok(())
    }

    /// The memory of ending runs, which are never evicted unless another run has their key.
    fn ending_memory(&self) -> usize {
        let states = self.ending.values().map(|record| record.lock());
        states.filter(|state| !state.is_forgotten).map(|state| state.memory()).sum()
    }
}

impl Registry {
    pub(super) fn keep(&mut self, record: &Arc<Record>, deferred: &mut Deferred) {
        let (ended_at, memory) = {
            let state = record.lock();
            let (false, Some(ended_at)) = (state.is_forgotten, state.ended_at) else {
                return;
            };
            (ended_at, state.memory())
        };
        self.kept.add((ended_at, record.epoch), Arc::clone(record), memory);
        while let Some(excess) = self.kept.remove_excess(&record.key) {
            self.evict(excess, deferred);
        }
    }

    fn evict(&mut self, record: Arc<Record>, deferred: &mut Deferred) {
        self.forget(&record, deferred);
        record.lock().clear(deferred);
        deferred.changed.push(record);
    }

    /// Frees the key of a run. Clients that are still reading can read the rest.
    pub(crate) fn forget(&mut self, record: &Arc<Record>, deferred: &mut Deferred) {
        self.remove_key(record);
        let mut state = record.lock();
        state.is_forgotten = true;
        if let Some(ended_at) = state.ended_at {
            self.kept.remove((ended_at, record.epoch));
        }
        if state.readers.count() == 0 {
            state.clear(deferred);
        } else {
            self.lingering.push(Arc::downgrade(record));
            if self.lingering.len().is_power_of_two() {
                self.lingering.retain(|record| record.strong_count() > 0);
            }
        }
        // Dropping the record runs code of the program, because its options contain closures.
        deferred.changed.push(Arc::clone(record));
    }

    /// Returns when the next run is due.
    pub(crate) fn expire(&mut self, age: Duration, deferred: &mut Deferred) -> Option<Instant> {
        loop {
            let ((ended_at, _), record) = self.kept.runs.first_key_value()?;
            let due = ended_at.checked_add(age)?;
            if due > Instant::now() {
                return Some(due);
            }
            let record = Arc::clone(record);
            self.forget(&record, deferred);
        }
    }

    /// Evicts an ended run. With `is_read`, it may have clients, and forgotten ones come first.
    /// Returns whether there was one.
    pub(crate) fn evict_ended(&mut self, is_read: bool, deferred: &mut Deferred) -> bool {
        if let Some(lingering) = is_read.then(|| self.lingering.pop()).flatten() {
            if let Some(record) = lingering.upgrade() {
                record.lock().clear(deferred);
                deferred.changed.push(record);
            }
            return true;
        }
        let oldest = self.kept.runs.values().find(|record| is_read || !record.is_read()).cloned();
        let is_found = oldest.is_some();
        oldest.into_iter().for_each(|oldest| self.evict(oldest, deferred));
        is_found
    }
}

fn shrink<K: std::hash::Hash + Eq, V>(map: &mut HashMap<K, V>) {
    if map.capacity() > 64 && map.len() < map.capacity() / 4 {
        map.shrink_to(map.capacity() / 2);
    }
}

/// The end of a run, and its epoch, which no other run of the process has.
type At = (Instant, Epoch);

/// Ended runs in the order of their ends. Without a limit of memory, owners are not tracked.
#[derive(Debug)]
pub(super) struct EndedRuns<R> {
    pub(super) runs: BTreeMap<At, R>,
    key_of: fn(&R) -> &RunKey,
    max_per_owner: Option<usize>,
    owners: HashMap<Arc<str>, (BTreeMap<At, usize>, usize)>,
}

impl<R> EndedRuns<R> {
    pub(crate) fn new(max_per_owner: Option<usize>, key_of: fn(&R) -> &RunKey) -> Self {
        Self { runs: BTreeMap::new(), key_of, max_per_owner, owners: HashMap::new() }
    }

    pub(crate) fn add(&mut self, at: At, run: R, bytes: usize) {
        if let (Some(_), Some(owner)) = (self.max_per_owner, (self.key_of)(&run).shared_owner()) {
            let (runs, total) = self.owners.entry(Arc::clone(owner)).or_default();
            runs.insert(at, bytes);
            *total += bytes;
        }
        self.runs.insert(at, run);
    }

    pub(crate) fn remove(&mut self, at: At) -> Option<R> {
        let run = self.runs.remove(&at)?;
        if let Some(owner) = (self.key_of)(&run).shared_owner()
            && let Some((runs, total)) = self.owners.get_mut(owner)
        {
            *total -= runs.remove(&at).unwrap_or(0);
            if runs.is_empty() {
                self.owners.remove(owner);
                shrink(&mut self.owners);
            }
        }
        Some(run)
    }

    pub(crate) fn remove_excess(&mut self, key: &RunKey) -> Option<R> {
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
        assert_eq!(runs.runs.first_key_value(), Some((&at(2), &(2, ann))));
        for run in (1..=8).rev() {
            runs.remove(at(run));
        }
        assert_eq!((runs.runs.len(), runs.owners.len()), (0, 0));
    }

    #[test]
    fn no_owner_is_remembered_without_a_limit() {
        let mut runs = EndedRuns::new(None, |run: &Run| &run.1);
        runs.add(clock()(1), (1, RunKey::new("ann", "x").unwrap()), 40);
        assert!(runs.owners.is_empty());
    }
}
