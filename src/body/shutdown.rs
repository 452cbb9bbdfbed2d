use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::signals::Inherited;

/// The token that ends a stream at the shutdown, or a slot for it.
///
/// Each stream polls a child token of its own, because polling the shared token takes a lock that
/// all streams share.
pub(crate) enum Shutdown {
    /// A child of the token of the stream's own layer.
    Own(CancellationToken),
    /// The token of an outer layer, if there is one.
    Inherited(Inherited),
}

impl Shutdown {
    /// Takes the token of the stream's own layer, or leaves a slot for that of an outer layer.
    pub(crate) fn of(shutdown: Option<&CancellationToken>) -> Self {
        match shutdown {
            Some(shutdown) => Self::Own(shutdown.child_token()),
            None => Self::Inherited(Arc::default()),
        }
    }

    pub(crate) fn inherited(&self) -> Option<Inherited> {
        match self {
            Self::Own(_) => None,
            Self::Inherited(inherited) => Some(Arc::clone(inherited)),
        }
    }

    pub(super) fn into_token(self) -> Option<CancellationToken> {
        match self {
            Self::Own(shutdown) => Some(shutdown),
            Self::Inherited(inherited) => inherited.get().map(CancellationToken::child_token),
        }
    }
}
