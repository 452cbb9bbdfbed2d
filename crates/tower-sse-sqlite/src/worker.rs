use std::sync::{Arc, Mutex, mpsc, mpsc::RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{fmt, thread};

use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;
use tower_sse_broker::{Identity, tasks::lock};

use crate::table::{LOCK_LIMIT, LOCK_PAUSE, Source, Table};
use crate::{Error, ErrorKind};

/// The time between two looks for other connections' commits.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long a job may take.
const JOB_LIMIT: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce(&Table) + Send>;
/// The newest row of all files that were removed or replaced. The process may not have read it.
pub(crate) type LastRow = Arc<Mutex<Option<Identity>>>;

/// A handle to the thread that has the connection. The thread ends when the last handle is dropped,
/// or when the file was removed or replaced.
#[derive(Clone)]
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
    last_row: LastRow,
    /// Notified when the table may have new rows, and when the thread ends.
    pub(crate) changed: Arc<Notify>,
}

impl Worker {
    /// Starts a thread, which opens the file.
    pub(crate) async fn start(source: Source, last_row: &LastRow) -> Result<Self, Error> {
        let ((jobs, queue), (opened, opening)) = (mpsc::channel(), oneshot::channel());
        let worker = Self { jobs, last_row: Arc::clone(last_row), changed: Arc::default() };
        let (changed, last_row) = (Arc::clone(&worker.changed), Arc::clone(last_row));
        let run = move || match open(&source) {
            Ok(table) => {
                _ = opened.send(Ok(()));
                serve(&table, &queue, &changed, &last_row);
            }
            Err(error) => _ = opened.send(Err(error)),
        };
        let started = thread::Builder::new().name("tower-sse-sqlite".to_owned()).spawn(run);
        started.map_err(|error| Error::new(ErrorKind::Other, error))?;
        answer(opening).await?.map(|()| worker)
    }

    /// Runs a job on the thread.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Table) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, replied) = oneshot::channel();
        // If the thread has ended, the job and its reply are dropped.
        let last_row = Arc::clone(&self.last_row);
        _ = self.jobs.send(Box::new(move |table| {
            let result = job(table);
            // Before the reply: an error can end the session, also one in the result of a batch.
            if !table.is_in_place() {
                remember(table, &last_row);
            }
            _ = reply.send(result);
        }));
        answer(replied).await?.map_err(Error::of_sqlite)
    }
}

/// Waits for an answer of the thread.
async fn answer<T>(answer: oneshot::Receiver<T>) -> Result<T, Error> {
    let unreachable = |reason: &dyn fmt::Display| Error::new(ErrorKind::Unreachable, reason);
    let answer = timeout(JOB_LIMIT, answer).await.map_err(|late| unreachable(&late))?;
    answer.map_err(|_| unreachable(&"the file was removed or replaced"))
}

/// Opens a table. Processes that create the same file can lock each other out.
fn open(source: &Source) -> Result<Table, Error> {
    let until = Instant::now() + LOCK_LIMIT;
    loop {
        match Table::open(source.clone()) {
            Err(error) if error.kind() == ErrorKind::Locked && Instant::now() < until => {
                thread::sleep(LOCK_PAUSE);
            }
            opened => return opened,
        }
    }
}

fn remember(table: &Table, last_row: &LastRow) {
    let newest = table.newest().ok();
    let mut last_row = lock(last_row);
    *last_row = [*last_row, newest].into_iter().flatten().max_by_key(|row| row.number);
}

/// Runs jobs, and looks for other connections' commits.
fn serve(table: &Table, queue: &mpsc::Receiver<Job>, changed: &Notify, last_row: &LastRow) {
    let (mut version, mut next_poll) = (None, Instant::now());
    loop {
        match queue.recv_timeout(next_poll.saturating_duration_since(Instant::now())) {
            _ if !table.is_in_place() => {
                // Before the job is dropped, which ends the session.
                remember(table, last_row);
                break;
            }
            Err(RecvTimeoutError::Disconnected) => return,
            Ok(job) => job(table),
            Err(RecvTimeoutError::Timeout) => {}
        }
        if Instant::now() >= next_poll {
            next_poll = Instant::now() + POLL_INTERVAL;
            let found = table.number("pragma data_version").ok();
            if found != version {
                version = found;
                changed.notify_one();
            }
        }
    }
    changed.notify_one();
}

#[cfg(test)]
mod tests {
    use std::{env, fs, path::PathBuf, process};

    use tokio::task::yield_now;

    use super::*;

    /// Opens a file, which has a mark, in a directory of its own.
    async fn start(name: &str) -> (PathBuf, Worker, LastRow) {
        let directory = env::temp_dir().join(format!("tower-sse-sqlite-{}-{name}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        let (path, last_row) = (directory.join("events.db"), LastRow::default());
        let source = Source { path, table: "news".to_owned(), ..Source::default() };
        let worker = Worker::start(source, &last_row).await.unwrap();
        worker.run(|table| table.append(0, None, &[])).await.unwrap();
        (directory, worker, last_row)
    }

    /// The hub could forget the row if it opened the next file before the thread noticed the loss
    /// of this one.
    #[tokio::test]
    async fn newest_row_is_remembered_before_a_job_ends_the_session() {
        let (directory, worker, last_row) = start("job").await;
        let job = move |table: &Table| {
            fs::remove_dir_all(directory).unwrap();
            // The job of a batch returns the batch even then.
            Ok(table.append(0, None, &[]).is_err())
        };
        assert!(worker.run(job).await.unwrap());
        assert!(lock(&last_row).is_some());
    }

    #[tokio::test]
    async fn newest_row_is_remembered_although_the_session_ends_at_once() {
        let (directory, worker, last_row) = start("end").await;
        fs::remove_dir_all(directory).unwrap();
        drop(worker);
        while Arc::strong_count(&last_row) > 1 {
            yield_now().await;
        }
        assert!(lock(&last_row).is_some());
    }
}
