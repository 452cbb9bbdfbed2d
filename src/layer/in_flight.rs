use http::Request;

use super::{
    Config,
    admission::{Refused, RequestInfo},
};
use crate::{
    body::Report,
    connection::{CloseReason, Disconnect, DisconnectGuard},
};

/// Who is to be told when a response is over, while its head is awaited.
pub(super) enum InFlight {
    /// The layer outside of this one made it, and fires it for responses that are no stream of ours.
    Outside(Disconnect),
    Disconnect(DisconnectGuard),
    /// A stream that is open already, because every answer of its service is one.
    Stream(Report),
}

impl InFlight {
    /// The response becomes a stream, whose report tells its end.
    pub(super) fn into_guard(self) -> Option<DisconnectGuard> {
        match self {
            Self::Outside(disconnect) => Some(DisconnectGuard::fired_outside(disconnect)),
            Self::Disconnect(guard) => Some(guard),
            Self::Stream(_) => None,
        }
    }

    /// The response is a stream of a layer further in.
    pub(super) const fn follow(&mut self) {
        if let Self::Disconnect(guard) = self {
            guard.follow();
        }
    }

    /// What a call of the inner service's future returns. If it panics, that is the reason.
    pub(super) fn within<T>(&mut self, call: impl FnOnce() -> T) -> T {
        match self {
            Self::Outside(_) => call(),
            Self::Disconnect(guard) => guard.within(call),
            Self::Stream(report) => report.within_source(call),
        }
    }

    /// It is over, for this `reason`.
    pub(super) fn over(self, reason: CloseReason) {
        match self {
            Self::Outside(_) => {}
            Self::Disconnect(mut guard) => guard.set_reason(reason),
            Self::Stream(mut report) => report.set_reason(reason),
        }
    }
}

impl Config {
    /// Makes sure that whoever wants to know is told when the response is over. Where every answer is a
    /// stream, it is opened or refused now.
    #[cold]
    pub(super) fn in_flight<B>(
        &self,
        request: &mut Request<B>,
        request_info: RequestInfo,
        streams: bool,
    ) -> Result<Box<InFlight>, Refused> {
        let place = if streams { self.admit(request_info)? } else { None };
        let in_flight = match request.extensions().get::<Disconnect>() {
            Some(outside) => {
                outside.start_over();
                InFlight::Outside(outside.clone())
            }
            None => {
                let disconnect = Disconnect::new();
                request.extensions_mut().insert(disconnect.clone());
                InFlight::Disconnect(DisconnectGuard::new(disconnect))
            }
        };
        Ok(Box::new(if streams && !request_info.head {
            InFlight::Stream(self.open(&self.rules, place, in_flight.into_guard()))
        } else {
            in_flight
        }))
    }
}
