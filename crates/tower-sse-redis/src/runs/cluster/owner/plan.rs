use std::sync::Arc;

use tower_sse::runs::__private::{Epoch, Record};
use tower_sse_broker::tasks::without_panic;

use crate::runs::seam::{Append, Command, End, EndMode, Keep, ProcessId, RunId, Sync, Trim};

/// The number of commands at which a pipeline is full. The commands of the last run may exceed it.
const MAX_COMMANDS: usize = 512;
/// The maximum size of a pipeline. The last batch may exceed it.
const MAX_BYTES: usize = 1 << 20;

/// The commands of one pipeline, and what each reply belongs to.
#[derive(Default)]
pub(crate) struct Plan {
    /// The commands in the order in which they are sent: looks, `first`, `rest`. Looks follow each
    /// other, so that the store can execute several at once.
    looks: Vec<(Target, Command)>,
    first: Vec<(Target, Command)>,
    rest: Vec<(Target, Command)>,
    bytes: usize,
    pub(super) forgotten: Forgotten,
}

/// The runs that have left the queue. Drop them only while the queue is unlocked: their options
/// contain closures, so dropping them runs code of the program.
#[derive(Default)]
pub(super) struct Forgotten(pub(super) Vec<Arc<Record>>);

impl Drop for Forgotten {
    fn drop(&mut self) {
        // A second panic during the unwinding of a first one would abort the process.
        for record in self.0.drain(..) {
            without_panic(|| drop(record));
        }
    }
}

/// What a reply belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Run(Epoch),
    /// A batch of a run: its last event and its size.
    Batch(Epoch, u64, usize),
    /// A trim of a run's events below this number.
    Trim(Epoch, u64),
    /// A claim that no run of this process has.
    Release(RunId),
    /// A run whose end is reported, or that has ended and is given up.
    Deleted,
}

impl Plan {
    pub(super) fn is_full(&self) -> bool {
        self.len() >= MAX_COMMANDS || self.bytes >= MAX_BYTES
    }

    /// Returns the number of commands besides looks.
    pub(super) const fn work(&self) -> usize {
        self.first.len() + self.rest.len()
    }

    pub(super) const fn len(&self) -> usize {
        self.looks.len() + self.first.len() + self.rest.len()
    }

    pub(super) fn sync(&mut self, sync: Sync) {
        self.first.push((Target::Run(sync.run.epoch), Command::Sync(sync)));
    }

    pub(super) fn look(&mut self, keep: Keep) {
        self.looks.push((Target::Run(keep.run.epoch), Command::Keep(keep)));
    }

    pub(super) fn release(&mut self, run: RunId) {
        let command = Command::End(End { run: run.clone(), mode: EndMode::Release });
        self.first.push((Target::Release(run), command));
    }

    /// Records that this run's end is reported: no other process needs to report it if this process
    /// dies.
    pub(super) fn report(&mut self, process: ProcessId, run: RunId) {
        self.first.push((Target::Deleted, Command::Reported(process, run)));
    }

    /// Deletes, in this mode, a run that has ended.
    pub(super) fn delete(&mut self, run: RunId, mode: EndMode) {
        self.first.push((Target::Deleted, Command::End(End { run, mode })));
    }

    pub(super) fn append(&mut self, append: Append) {
        let (last, len) = (append.batch.last, append.batch.bytes.len());
        // A batch that is pushed is sent twice.
        self.bytes += len * (1 + usize::from(append.pushes));
        self.rest.push((Target::Batch(append.run.epoch, last, len), Command::Append(append)));
    }

    pub(super) fn trim(&mut self, trim: Trim) {
        self.rest.push((Target::Trim(trim.run.epoch, trim.keep_from), Command::Trim(trim)));
    }

    pub(super) fn end(&mut self, run: RunId, mode: EndMode) {
        self.rest.push((Target::Run(run.epoch), Command::End(End { run, mode })));
    }

    pub(crate) fn into_commands(self) -> (Vec<Target>, Vec<Command>) {
        self.looks.into_iter().chain(self.first).chain(self.rest).unzip()
    }
}
