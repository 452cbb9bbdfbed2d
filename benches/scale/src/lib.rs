//! Very many event streams over HTTP/2 in one process: the server, and a client that costs less
//! than the server.

#[cfg(unix)]
pub mod client;
pub mod http2;
#[cfg(unix)]
pub mod process;
#[cfg(unix)]
pub mod server;

/// What answers the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// hyper with a body that waits in a list, and the headers of an event stream.
    Bare,
    /// The layer with a heartbeat, a shutdown, a limit and a close report. Each stream subscribes
    /// to a shared topic and to one of its own.
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

/// The number of streams of all connections together, and of each connection.
#[derive(Clone, Copy, Debug)]
pub struct Streams {
    pub all: usize,
    pub each: usize,
}

impl Streams {
    /// Parses a number of streams, or a number of connections and of the streams on each, as in
    /// `2400x50`. A number alone puts 200 streams on each connection, the most that hyper lets a
    /// client open by default.
    ///
    /// # Panics
    ///
    /// If `name` is neither.
    #[must_use]
    pub fn named(name: &str) -> Self {
        let number = |text: &str| text.parse().expect("a number of streams");
        match name.split_once('x') {
            Some((connections, each)) => {
                Self { all: number(connections) * number(each), each: number(each) }
            }
            None => Self { all: number(name), each: 200 },
        }
    }
}

/// A byte that is once in each event, and nowhere else in a stream.
pub const MARK: u8 = 1;
