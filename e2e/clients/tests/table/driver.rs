//! A client's process, and what the client and its server have seen.

use std::collections::BTreeMap;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::http::HeaderMap;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::Notify;
use tokio::time::timeout;

/// What a driver prints about one situation, as a line of JSON.
#[derive(Deserialize)]
struct Line {
    /// The situation.
    at: String,
    #[serde(default)]
    event: String,
    /// The first 40 characters of the data.
    #[serde(default)]
    data: String,
    /// The length of the data.
    #[serde(default)]
    size: usize,
    /// Present if the client has returned. Any text but an empty one counts as an error.
    over: Option<String>,
}

pub(crate) struct Received {
    pub(crate) event: String,
    pub(crate) data: String,
    pub(crate) size: usize,
}

#[derive(Default)]
pub(crate) struct Seen {
    /// What the client handed to its program.
    pub(crate) received: Vec<Received>,
    /// What the driver printed when the client returned. Any text but an empty one counts as an
    /// error. If the driver exited first, the text says that.
    pub(crate) over: Option<String>,
    /// When the server got each request.
    pub(crate) requests: Vec<Instant>,
    /// The headers of the first request.
    pub(crate) head: Option<HeaderMap>,
    pub(crate) opened: usize,
    /// The number of the last event that the server published, and when.
    pub(crate) published: Option<(usize, Instant)>,
    /// When each stream was closed.
    pub(crate) closed: Vec<Instant>,
}

impl Seen {
    pub(crate) fn is_open(&self) -> bool {
        self.opened > self.closed.len()
    }

    pub(crate) fn last(&self) -> usize {
        self.published.map_or(0, |(number, _)| number)
    }

    pub(crate) fn has(&self, number: usize) -> bool {
        self.received.iter().any(|it| it.data.parse() == Ok(number))
    }

    /// Returns whether the last request came within the last four seconds, and at least three of
    /// the last five came within two seconds after the previous request.
    pub(crate) fn is_hammered(&self) -> bool {
        let soon = Duration::from_secs(2);
        let Some(last) = self.requests.last_chunk::<6>() else { return false };
        let quick = last.windows(2).filter(|pair| pair[1] - pair[0] < soon).count();
        quick >= 3 && last[5].elapsed() < 2 * soon
    }

    pub(crate) fn requests_within(&self, window: Duration) -> usize {
        self.requests.iter().filter(|at| at.elapsed() < window).count()
    }
}

#[derive(Clone, Default)]
pub(crate) struct Shared {
    state: Arc<(Mutex<Seen>, Notify)>,
}

impl Shared {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Seen> {
        self.state.0.lock().unwrap()
    }

    pub(crate) fn change(&self, change: impl FnOnce(&mut Seen)) {
        change(&mut self.lock());
        self.state.1.notify_waiters();
    }

    /// Waits until `is_met` holds and returns whether it did within `bound`.
    pub(crate) async fn until(&self, bound: Duration, is_met: impl Fn(&Seen) -> bool) -> bool {
        let met = async {
            loop {
                let notified = self.state.1.notified();
                tokio::pin!(notified);
                notified.as_mut().enable();
                if is_met(&self.lock()) {
                    return;
                }
                notified.await;
            }
        };
        timeout(bound, met).await.is_ok()
    }
}

/// Starts a client's driver. Dropping the returned process kills the driver.
pub(crate) fn start(
    command: &[String],
    client: &str,
    situations: BTreeMap<String, (String, Shared)>,
) -> Child {
    let mut process = Command::new(&command[0]);
    process.args(&command[1..]).arg(client);
    process.args(situations.iter().map(|(name, (url, _))| format!("{name}={url}")));
    process.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = process.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = child.stdout.take().expect("a piped stdout");
    let client = client.to_owned();
    tokio::spawn(async move {
        let mut lines = BufReader::new(stdout).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let Ok(line) = serde_json::from_str::<Line>(&line) else {
                eprintln!("{client}: {line}");
                continue;
            };
            let (_, shared) = &situations[&line.at];
            shared.change(|seen| match line.over {
                Some(error) => seen.over = Some(error),
                None => seen.received.push(Received {
                    event: line.event,
                    data: line.data,
                    size: line.size,
                }),
            });
        }
        for (_, shared) in situations.values() {
            shared.change(|seen| _ = seen.over.get_or_insert("has exited".to_owned()));
        }
    });
    child
}
