//! What is logged on a thread.

// Each test uses only a part of this file.
#![allow(dead_code, unreachable_pub)]

use std::io;
use std::sync::{Arc, LazyLock, Mutex};

use tracing::subscriber::{DefaultGuard, set_default};
use tracing::{Dispatch, Level, Span, Subscriber};
use tracing_subscriber::registry::Registry;

/// The lines logged on a thread at DEBUG and above, each with the spans that it is in.
#[derive(Clone, Default)]
pub struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Records the lines of this thread until the guard is dropped.
    pub fn record() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let lines = tracing_subscriber::fmt()
            .with_max_level(Level::DEBUG)
            .with_writer(move || writer.clone())
            .without_time()
            .with_ansi(false)
            .finish();
        (log, record_by(lines))
    }

    pub fn all(&self) -> Vec<String> {
        let log = self.0.lock().unwrap();
        str::from_utf8(&log).unwrap().lines().map(|line| line.trim_start().to_owned()).collect()
    }

    /// Returns the lines that a crate called `tower_sse…` has logged.
    pub fn lines(&self) -> Vec<String> {
        self.all().into_iter().filter(|line| line.contains(" tower_sse")).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Makes `subscriber` the default of this thread until the guard is dropped.
pub fn record_by(subscriber: impl Subscriber + Send + Sync) -> DefaultGuard {
    /// With only one subscriber alive in the process, the first thread to reach a callsite decides
    /// for all threads whether the callsite is enabled. A thread without a subscriber disables the
    /// callsite. `OTHERS` keeps more than one subscriber alive.
    static OTHERS: LazyLock<[Dispatch; 2]> =
        LazyLock::new(|| [(); 2].map(|()| Dispatch::new(Registry::default())));
    LazyLock::force(&OTHERS);
    set_default(subscriber)
}

pub fn current_span() -> Option<&'static str> {
    Span::current().metadata().map(tracing::Metadata::name)
}
