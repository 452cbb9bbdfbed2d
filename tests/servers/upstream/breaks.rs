use h2::Reason;
use tonic::{Code, Status};

use crate::*;

/// A way to break off after half an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Break {
    /// HTTP/1, with chunks or a `content-length`, by a RST or only a FIN.
    H1 { chunked: bool, reset: bool },
    /// HTTP/2, RST_STREAM with this code.
    H2Reset(Reason),
    /// HTTP/2, the connection is closed.
    H2Closed,
    /// A stream of events that ends with an `io::Error`.
    Io(io::ErrorKind),
    /// A stream of events that ends with a status of tonic.
    Tonic(Code),
    /// A stream of events that ends with the error of a task that was cancelled.
    CancelledTask,
    /// A stream of events that ends with the error of a task that panicked.
    PanickedTask,
}

const KINDS: [io::ErrorKind; 20] = [
    io::ErrorKind::NotFound,
    io::ErrorKind::PermissionDenied,
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::HostUnreachable,
    io::ErrorKind::NetworkUnreachable,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::NotConnected,
    io::ErrorKind::AddrInUse,
    io::ErrorKind::NetworkDown,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::WouldBlock,
    io::ErrorKind::InvalidInput,
    io::ErrorKind::InvalidData,
    io::ErrorKind::TimedOut,
    io::ErrorKind::WriteZero,
    io::ErrorKind::Interrupted,
    io::ErrorKind::Unsupported,
    io::ErrorKind::UnexpectedEof,
    io::ErrorKind::Other,
];

impl Break {
    pub(crate) fn all() -> Vec<Self> {
        let both = [(true, true), (true, false), (false, true), (false, false)];
        let h1 = both.into_iter().map(|(chunked, reset)| Self::H1 { chunked, reset });
        // The codes of RFC 9113, section 7.
        let h2 = (0..=0xd).map(|code| Self::H2Reset(Reason::from(code)));
        let io = KINDS.into_iter().map(Self::Io);
        let tonic = (0..=16).map(|code| Self::Tonic(Code::from_i32(code)));
        let others = [Self::H2Closed, Self::CancelledTask, Self::PanickedTask];
        h1.chain(h2).chain(io).chain(tonic).chain(others).collect()
    }

    /// Returns its index among all, used as a path of the proxy.
    pub(crate) fn index(self) -> usize {
        Self::all().iter().position(|other| *other == self).unwrap()
    }

    /// Returns the error of the stream of events that breaks off in this way, if it is one.
    pub(crate) async fn error(self) -> Option<BoxError> {
        Some(match self {
            Self::H1 { .. } | Self::H2Reset(_) | Self::H2Closed => return None,
            Self::Io(kind) => io::Error::from(kind).into(),
            Self::Tonic(code) => Status::new(code, "upstream").into(),
            Self::CancelledTask => cancelled_task().await.into(),
            Self::PanickedTask => {
                tokio::spawn(async { panic!("in a task") }).await.unwrap_err().into()
            }
        })
    }
}
