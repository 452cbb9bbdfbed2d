use crate::{BrokerStats, Error, ErrorKind, debug};

/// The state of the connections to a store, for a hub or for runs. Call `health` on the broker or
/// on `RedisRuns` to get it, even before you connect. Clones share one state.
///
/// Use it for metrics and alerts, as in the example [`metrics`], but not for a load balancer's
/// probe. While the store is down, no process is ready, so the load balancer would refuse all
/// clients. But a hub that isn't ready still serves the events that it has received.
///
/// [`metrics`]: https://docs.rs/crate/tower-sse-redis/latest/source/examples/metrics/main.rs
#[derive(Clone, Debug, Default)]
pub struct Health(BrokerStats);

impl Health {
    /// For a hub, returns whether it's connected and has caught up with its log. For runs, returns
    /// whether they're connected.
    ///
    /// If a hub needs more than a second to look for new events in PostgreSQL or SQLite, the result
    /// is `false` until it has caught up again. For Redis, the result can stay `true`: to notice
    /// that a hub is behind, use [`HubStats::lag`](tower_sse::hub::HubStats::lag).
    ///
    /// While Redis refuses writes ([`ReadOnly`](ErrorKind::ReadOnly)), the result is `false`. While
    /// PostgreSQL or SQLite refuses writes, for example because the disk is full, it can be `true`.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.0.update(|facts| facts.is_ready)
    }

    /// Returns the newest error, if any, even after the connection has recovered. With PostgreSQL
    /// and SQLite, this can be an error from `publish`.
    #[must_use]
    pub fn last_error(&self) -> Option<Error> {
        self.0.update(|facts| facts.last_error.clone())
    }

    /// Returns how many times the hub or the runs have reconnected after a break or to report a
    /// loss.
    #[must_use]
    pub fn reconnections(&self) -> u64 {
        self.0.update(|facts| facts.reconnections)
    }

    #[doc(hidden)]
    #[must_use]
    pub const fn stats(&self) -> &BrokerStats {
        &self.0
    }

    /// Returns the error for an unsent event: the newest error if the hub isn't ready. Otherwise,
    /// the error says that earlier events await their reply.
    #[doc(hidden)]
    #[must_use]
    pub fn not_sent(&self, action: &str) -> Error {
        match self.last_error().filter(|_| !self.is_ready()) {
            Some(error) => Error::new(action, error.kind(), error),
            None => Error::new(action, ErrorKind::Unreachable, "earlier events await their reply"),
        }
    }

    /// Sets the newest error. `follow` does this for errors from the log.
    #[doc(hidden)]
    pub fn set_error(&self, error: Error) {
        self.0.update(|facts| facts.last_error.replace(error));
    }

    /// Records an error of a log's upkeep that doesn't end the session, for example a missing
    /// permission. Returns any other error.
    #[doc(hidden)]
    pub fn tolerate<T>(
        &self,
        done: Result<T, Error>,
        ends_session: impl FnOnce(&Error) -> bool,
    ) -> Result<Option<T>, Error> {
        match done {
            Err(error) if !ends_session(&error) => {
                debug!(%error, "failed to trim or survey the log");
                self.set_error(error);
                Ok(None)
            }
            done => done.map(Some),
        }
    }

    /// Sets whether the connection is ready. `follow` calls this too.
    #[doc(hidden)]
    pub fn set_ready(&self, is_ready: bool) {
        self.0.update(|facts| facts.is_ready = is_ready);
    }

    /// Counts a reconnection. `follow` calls this too.
    #[doc(hidden)]
    pub fn count_reconnection(&self) {
        self.0.update(|facts| facts.reconnections += 1);
    }
}
