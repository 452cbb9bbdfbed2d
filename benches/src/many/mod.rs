//! Very many event streams over HTTP/2 in one process: the server, and a client that costs less
//! than the server.

pub mod client;
pub mod server;

/// What answers the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// hyper with a body that waits in a list, and the headers of an event stream.
    Bare,
    /// The layer with a heartbeat, a shutdown, a limit and a close report. Each stream subscribes to
    /// a shared topic and to one of its own.
    Draft,
    /// The same as `Draft`, and each stream has its own subject.
    Full,
}

impl Subject {
    pub const ALL: [Self; 3] = [Self::Bare, Self::Draft, Self::Full];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Bare => "bare",
            Self::Draft => "draft",
            Self::Full => "full",
        }
    }

    /// Returns the subject with this name.
    ///
    /// # Panics
    ///
    /// If there is none.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let found = Self::ALL.into_iter().find(|subject| subject.name() == name);
        found.unwrap_or_else(|| panic!("no subject {name}"))
    }
}

/// The streams of a connection: the most that hyper lets a client open by default.
pub const STREAMS_EACH: usize = 200;

/// A byte that is once in each event, and nowhere else in a stream.
pub const MARK: u8 = 1;
