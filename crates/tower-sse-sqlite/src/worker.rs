use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{sync::Arc, thread};

use tokio::sync::{Mutex, Notify, oneshot};
use tokio::time::timeout;
use tower_sse_broker::__private::Identity;

use crate::error::{failed, of_sqlite};
use crate::files::REMOVED;
use crate::table::{LOCK_LIMIT, LOCK_PAUSE, Source, Table};
use crate::{Error, ErrorKind};

/// The time between two looks for other connections' commits.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long a caller waits for a job, a new thread or the end of the previous thread.
const JOB_LIMIT: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce(&Table) + Send>;
/// The newest row of all files that were removed or replaced while a hub had them open, even if the
/// hub has not read the row. A worker's thread holds this lock until it has closed its file.
pub(crate) type LastRow = Arc<Mutex<Option<Identity>>>;

/// A handle to the thread that has the connection. The thread ends when the last handle is dropped
/// or when one of the database's files was removed or replaced.
#[derive(Clone)]
pub(crate) struct Worker {
    jobs: mpsc::Sender<Job>,
    /// The newest row of all files before this one, if any.
    pub(crate) last_row: Option<Identity>,
    /// Notified when the table may have new rows, and when a removed or replaced file ends the
    /// thread.
    pub(crate) changed: Arc<Notify>,
}

impl Worker {
    /// Waits until the previous thread has ended, then starts a thread that opens the file. Without
    /// the wait, threads would pile up while a disk hangs. Fails if either step takes longer than
    /// [`JOB_LIMIT`].
    pub(crate) async fn start(source: Source, last_row: &LastRow) -> Result<Self, Error> {
        let last_row = timeout(JOB_LIMIT, Arc::clone(last_row).lock_owned()).await;
        let mut last_row = last_row.map_err(|late| failed(ErrorKind::Unreachable, late))?;
        let ((jobs, queue), (opened, opening)) = (mpsc::channel(), oneshot::channel());
        let worker = Self { jobs, last_row: *last_row, changed: Arc::default() };
        let changed = Arc::clone(&worker.changed);
        let run = move || match open(&source) {
            Ok(table) => {
                _ = opened.send(Ok(()));
                serve(&table, &queue, &changed, &mut last_row);
            }
            Err(error) => _ = opened.send(Err(error)),
        };
        let started = thread::Builder::new().name("tower-sse-sqlite".to_owned()).spawn(run);
        started.map_err(|error| failed(ErrorKind::Other, error))?;
        answer(opening).await?.map(|()| worker)
    }

    pub(crate) async fn run<T: Send + 'static>(
        &self,
        job: impl FnOnce(&Table) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, Error> {
        let (reply, replied) = oneshot::channel();
        // If the thread has ended, this drops the job with `reply`, and `answer` returns an error.
        _ = self.jobs.send(Box::new(move |table| _ = reply.send(job(table))));
        answer(replied).await?.map_err(of_sqlite)
    }
}

async fn answer<T>(answer: oneshot::Receiver<T>) -> Result<T, Error> {
    let answer =
        timeout(JOB_LIMIT, answer).await.map_err(|late| failed(ErrorKind::Unreachable, late))?;
    answer.map_err(|_| failed(ErrorKind::Unreachable, REMOVED))
}

/// Opens a table. Tries again for [`LOCK_LIMIT`] while the file is locked, because processes that
/// create the same file at once can lock each other out.
fn open(source: &Source) -> Result<Table, Error> {
    let (until, mut pause) = (Instant::now() + LOCK_LIMIT, LOCK_PAUSE);
    loop {
        match Table::open(source.clone()) {
            Err(error) if error.kind() == ErrorKind::Locked && Instant::now() < until => {
                thread::sleep(pause);
                // Pause longer each time: an attempt can hinder a program that closes the file.
                pause *= 2;
            }
            opened => return opened,
        }
    }
}

/// Runs jobs and looks for other connections' commits until the last handle is dropped or a file
/// is no longer in place.
fn serve(table: &Table, queue: &Receiver<Job>, changed: &Notify, last_row: &mut Option<Identity>) {
    let (mut version, mut next_poll) = (None, Instant::now());
    loop {
        match queue.recv_timeout(next_poll.saturating_duration_since(Instant::now())) {
            _ if !table.files.are_in_place() => {
                let newest = table.newest().ok();
                *last_row = [*last_row, newest].into_iter().flatten().max_by_key(|row| row.number);
                table.files.leave(&table.connection);
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
    use std::path::{Path, PathBuf};
    use std::{env, fs, process};

    use super::*;

    /// Creates a file with a mark in a new directory and opens it.
    async fn start(name: &str) -> (PathBuf, Worker, LastRow) {
        let directory = env::temp_dir().join(format!("tower-sse-sqlite-{}-{name}", process::id()));
        fs::create_dir_all(&directory).unwrap();
        let last_row = LastRow::default();
        let worker = Worker::start(source(&directory), &last_row).await.unwrap();
        worker.run(|table| table.append(0, None, &[])).await.unwrap();
        (directory, worker, last_row)
    }

    fn source(directory: &Path) -> Source {
        let (path, table) = (directory.join("events.db"), "news".to_owned());
        Source { path, table, ..Source::default() }
    }

    /// Otherwise, the hub could open the next file before the thread has noticed the removal, and
    /// the removed file's newest row would be forgotten.
    #[tokio::test]
    async fn newest_row_is_remembered_before_a_job_ends_the_session() {
        let (directory, worker, last_row) = start("job").await;
        let job = move |table: &Table| {
            fs::remove_dir_all(directory).unwrap();
            // Returns `Ok`, as the job of a batch does even after an error.
            Ok(table.append(0, None, &[]).is_err())
        };
        assert!(worker.run(job).await.unwrap());
        assert!(last_row.lock().await.is_some());
    }

    #[tokio::test]
    async fn newest_row_is_remembered_although_the_session_ends_at_once() {
        let (directory, worker, last_row) = start("end").await;
        fs::remove_dir_all(directory).unwrap();
        drop(worker);
        assert!(last_row.lock().await.is_some());
    }

    /// A job that waits stands for a disk that doesn't respond: the first thread can't end.
    #[tokio::test]
    async fn no_thread_is_started_before_the_last_one_has_ended() {
        let (directory, worker, last_row) = start("hang").await;
        let (release, released) = mpsc::channel::<()>();
        tokio::time::pause();
        let hanging = worker.run(move |_| Ok(released.recv().is_ok()));
        assert_eq!(hanging.await.unwrap_err().kind(), ErrorKind::Unreachable);
        drop(worker);
        let other = directory.join("other");
        fs::create_dir(&other).unwrap();
        for _ in 0..10 {
            let refused = Worker::start(source(&other), &last_row).await.map(|_| ());
            assert_eq!(refused.unwrap_err().kind(), ErrorKind::Unreachable);
        }
        release.send(()).unwrap();
        drop(last_row.lock().await);
        assert_eq!(fs::read_dir(&other).unwrap().count(), 0);
        fs::remove_dir_all(directory).unwrap();
    }
}
