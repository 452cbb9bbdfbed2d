use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, sleep};

use super::{
    Error,
    connector::Connector,
    gate::Session,
    mutant,
    reader::{Reader, Stop},
    stream::{PAGE, Stream},
};

/// The delay before the first attempt to connect again.
const MIN_BACKOFF: Duration = Duration::from_millis(50);
const MAX_BACKOFF: Duration = Duration::from_secs(2);
/// A session that lasted this long was a success, after which delays start over.
const STABLE_SESSION: Duration = Duration::from_secs(5);

/// Follows the stream for as long as the hub exists, over one connection after another.
pub(super) struct Follower {
    pub(super) connector: Arc<Connector>,
    pub(super) reader: Reader,
    /// The time between a read and the next.
    pub(super) pause: Duration,
}

/// What the reader and the publishers use between two breaks.
pub(super) struct Connections {
    pub(super) reading: Stream,
    pub(super) publishing: Stream,
}

impl Follower {
    /// Starts a task that follows the stream until the hub is gone. The reader has caught up over
    /// these connections, and publishers can use them when this returns.
    pub(super) fn spawn(mut self, Connections { reading, publishing }: Connections) {
        let feed = self.reader.feed.clone();
        let session = self.open_gate(publishing);
        tokio::spawn(async move {
            feed.run_until_closed(self.follow(reading, session)).await;
            self.reader.gate.retire();
            self.reader.health.set_following(false);
        });
    }

    async fn follow(&mut self, reading: Stream, session: Session) {
        let mut attempts = 0;
        let mut opened = Instant::now();
        let mut stop = self.follow_session(reading, session).await;
        while let Stop::Error(error) = stop {
            self.record_break(&error);
            if opened.elapsed() >= STABLE_SESSION {
                attempts = 0;
            }
            sleep(backoff(attempts)).await;
            attempts = attempts.saturating_add(1);
            opened = Instant::now();
            stop = self.reconnect().await;
        }
    }

    fn record_break(&mut self, error: &Error) {
        let known = self.reader.gate.shut();
        self.reader.resume(known);
        self.reader.health.set_following(false);
        self.reader.health.set_error(error);
        self.connector.follow_redirect(error);
        warn!(error = %super::health::display_with_sources(error), "connection to Redis lost");
    }

    async fn reconnect(&mut self) -> Stop {
        let Connections { mut reading, publishing } = match self.connector.connect().await {
            Ok(connections) => connections,
            Err(error) => return Stop::Error(error),
        };
        let early = mutant::opens_the_gate_early().then(|| self.open_gate(publishing.clone()));
        match self.reader.catch_up(&mut reading).await {
            Ok(()) => {
                let session = early.unwrap_or_else(|| self.open_gate(publishing));
                self.follow_session(reading, session).await
            }
            Err(stop) => stop,
        }
    }

    /// Lets publishers through.
    fn open_gate(&self, publishing: Stream) -> Session {
        let session = self.reader.gate.open(publishing);
        self.reader.health.set_following(true);
        debug!(last = %self.reader.last(), "following the stream in Redis");
        session
    }

    /// Follows the stream until one of the connections breaks.
    async fn follow_session(&mut self, mut reading: Stream, session: Session) -> Stop {
        let ended = session.ended.clone();
        match ended.run_until_cancelled(self.read_on(&mut reading, session)).await {
            Some(stop) => stop,
            None => Stop::Error(Error::new("publish", "the publishers' connection is unusable")),
        }
    }

    async fn read_on(&mut self, reading: &mut Stream, mut session: Session) -> Stop {
        loop {
            if let Err(stop) = self.read_next(reading, &mut session).await {
                return stop;
            }
        }
    }

    async fn read_next(&mut self, reading: &mut Stream, session: &mut Session) -> Result<(), Stop> {
        let entries = reading.wait_after(self.reader.last()).await?;
        let is_idle = entries.is_empty();
        if is_idle || entries.len() >= PAGE {
            // Neither proves that nothing is missing.
            self.reader.catch_up(reading).await?;
        } else {
            self.reader.read(reading, entries).await?;
        }
        if is_idle {
            // A proxy may have cut the connection that has nothing to do.
            session.stream.ping().await?;
        }
        if !self.pause.is_zero() {
            sleep(self.pause).await;
        }
        Ok(())
    }
}

/// Returns the delay before an attempt: up to twice as long after each, and random, so that the
/// processes do not return to Redis at the same time.
fn backoff(attempts: u32) -> Duration {
    let most = MIN_BACKOFF.saturating_mul(1 << attempts.min(8)).min(MAX_BACKOFF);
    most.mul_f64(0.5 + fastrand::f64() / 2.0)
}
