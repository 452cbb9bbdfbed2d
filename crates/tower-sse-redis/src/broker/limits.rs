use std::time::Duration;

use crate::RedisBroker;

/// The minimum of [`RedisBroker::max_len`]. A reader takes up to 1,000 entries at a time, and the stream
/// must not be trimmed past it meanwhile.
const MIN_MAX_LEN: usize = 10_000;

impl RedisBroker {
    /// Trims the stream to about the newest `entries` entries, counted over all topics. The default
    /// is 100,000, roughly 30 MB if events have 256 bytes.
    ///
    /// A process loads its history from the stream when it starts, and catches up from it after a
    /// disconnection. Set the limit to the total rate of events, multiplied by the longest history
    /// or disconnection to cover. All processes should set the same limit.
    ///
    /// ```
    /// # use tower_sse_redis::Redis;
    /// // 500 events a second, kept for 5 minutes.
    /// let broker = Redis::open("redis://127.0.0.1/")?.broker("news").max_len(500 * 300);
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    ///
    /// # Panics
    ///
    /// Panics if `entries` is less than 10,000: a process that is briefly behind would lose events.
    #[track_caller]
    pub fn max_len(mut self, entries: usize) -> Self {
        assert!(entries >= MIN_MAX_LEN, "a stream must keep at least {MIN_MAX_LEN} entries");
        self.max_len = entries;
        self
    }

    /// Also removes entries that are older than `age`, by the server's clock. By default, only
    /// [`max_len`](Self::max_len) trims the stream.
    ///
    /// Set it to give memory back after a busy time, or to keep data no longer than a rule allows.
    /// Every connected process removes such entries every two seconds. The newest is kept, so that
    /// other processes can tell that they have missed nothing. A process that is disconnected for
    /// longer than `age` reports a gap if entries were added meanwhile.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_redis::Redis;
    /// let broker = Redis::open("redis://127.0.0.1/")?.broker("news").max_age(Duration::from_secs(3600));
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    ///
    /// The user needs the permission for `XTRIM`.
    ///
    /// # Errors
    ///
    /// [`Hub::connect`](tower_sse::hub::Hub::connect) returns an error if `age` is less than
    /// the age of the hub's [`retention`](tower_sse::hub::HubBuilder::retention): clients would receive gaps instead of the
    /// history.
    pub fn max_age(mut self, age: Duration) -> Self {
        self.max_age = Some(age);
        self
    }

    /// Limits how long publishing an event may take, including the wait for a connection. The
    /// default is 2 seconds. If it is longer than the [time limit of
    /// answers](crate::Redis::timeout), that limit is raised to it.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_redis::Redis;
    /// let broker = Redis::open("redis://127.0.0.1/")?.broker("news").publish_deadline(Duration::from_millis(500));
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    pub fn publish_deadline(mut self, deadline: Duration) -> Self {
        self.publish_deadline = deadline;
        self
    }

    /// Sets a pause after each read that reaches the end of the stream, so that Redis answers
    /// fewer, larger reads. The pause delays each event by up to `pause`. The default is zero.
    ///
    /// Set a few milliseconds if many processes follow a stream with a high rate of events.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tower_sse_redis::Redis;
    /// let broker = Redis::open("redis://127.0.0.1/")?.broker("news").pause(Duration::from_millis(5));
    /// # Ok::<_, tower_sse_redis::Error>(())
    /// ```
    pub fn pause(mut self, pause: Duration) -> Self {
        self.pause = pause;
        self
    }
}
