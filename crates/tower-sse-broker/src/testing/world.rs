use std::{error::Error, fmt, pin::Pin};

use tower_sse::hub::broker::Broker;

use crate::tasks::with_causes;

/// A future that causes a fault in a [`World`] when it is polled.
pub type Fault<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// An empty log with its own name, and the faults that a test can cause in it.
///
/// Scenes never share a world. Worlds may share a server if each has its own log on it, such as
/// a key or table. By default, the method for each fault returns `None`, and the scenes that need
/// this fault are skipped. Keep the default if the fault cannot happen, or if the broker's
/// documentation says that it goes unnoticed.
///
/// ```
/// use tower_sse::testing::MemoryBroker;
/// use tower_sse_broker::testing::{Fault, World};
///
/// struct Memory(MemoryBroker);
///
/// impl World for Memory {
///     type Broker = MemoryBroker;
///
///     fn broker(&self) -> MemoryBroker {
///         self.0.clone()
///     }
///
///     fn lose(&self) -> Option<Fault<'_>> {
///         Some(Box::pin(async { self.0.lose_history() }))
///     }
/// }
/// # _ = Memory(MemoryBroker::new());
/// ```
pub trait World: Send + Sync {
    /// The broker under test.
    type Broker: Broker;

    /// Returns a broker that connects one more process to this world's log.
    fn broker(&self) -> Self::Broker;

    /// Removes the oldest events until `keep` events are left, like a limit on the log's length.
    /// The broker's own entries, such as marks of losses, do not count as events.
    fn trim(&self, keep: usize) -> Option<Fault<'_>> {
        _ = keep;
        None
    }

    /// Loses the whole log, like a server that restarts without its data. This must work with and
    /// without connected processes. The connections may break or stay open.
    fn lose(&self) -> Option<Fault<'_>> {
        None
    }

    /// Returns two futures, which the scenes await in this order: the first copies the log, the
    /// second replaces the log with the copy, as when a backup is restored. The world can hold the
    /// copy in a `Mutex<Option<T>>`.
    fn roll_back(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        None
    }

    /// Breaks all connections to the server. The server must accept new ones immediately.
    ///
    /// To find more mistakes, withhold the server's answers for a few milliseconds before the
    /// break. The log then has events that were never acknowledged. The broker must neither publish
    /// them again nor report them as refused.
    fn cut(&self) -> Option<Fault<'_>> {
        None
    }

    /// Returns two futures, which the scenes await in this order: the first makes the server
    /// unavailable, the second makes it available again. An unavailable server can, for example,
    /// break all connections and refuse new ones.
    fn outage(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        None
    }
}

/// The reason why a scene failed or was skipped.
#[derive(Debug)]
pub struct Problem {
    text: String,
    is_skipped: bool,
}

impl Problem {
    pub(super) fn new(text: impl fmt::Display) -> Self {
        Self { text: text.to_string(), is_skipped: false }
    }

    pub(super) fn caused_by(what: impl fmt::Display, error: &(dyn Error + 'static)) -> Self {
        Self::new(format_args!("{what}: {}", with_causes(error)))
    }

    /// Creates the problem for a world that can't cause the scene's fault.
    pub(super) fn skipped(fault: &'static str) -> Self {
        Self { text: format!("the world has no `{fault}`"), is_skipped: true }
    }

    /// Returns whether the scene was skipped because its [`World`] returns `None` for a fault.
    #[must_use]
    pub const fn is_skipped(&self) -> bool {
        self.is_skipped
    }
}

tower_sse::error_text!(Problem, |it| "{}", it.text);

/// Makes the scene return a [`Problem`] with this text unless the condition holds.
macro_rules! ensure {
    ($holds:expr, $($text:tt)+) => {
        if !$holds {
            return Err($crate::testing::Problem::new(format!($($text)+)));
        }
    };
}

pub(super) use ensure;
