use std::sync::{Arc, OnceLock};

use http::Extensions;
use tokio_util::sync::CancellationToken;

use crate::stats::Stats;

/// A slot into which an outer layer puts its token before the body is polled.
pub(crate) type Inherited = Arc<OnceLock<CancellationToken>>;

/// A mark that a layer leaves in a response's extensions for outer layers.
#[derive(Clone)]
pub(crate) enum Handled {
    /// The response is an event stream. If its layer has no shutdown, an outer layer can put its
    /// own shutdown here.
    Stream(Option<Inherited>),
    /// The response is a refusal, which can look like an event stream. A refusal by the program is
    /// counted by the first layer that it reaches, and has `is_counted: false` until then.
    Refused { is_counted: bool },
}

impl Handled {
    pub(crate) fn mark(self, extensions: &mut Extensions) {
        extensions.insert(self);
    }

    /// Counts a refusal of the program, unless an inner layer has counted it.
    pub(crate) fn count_refusal(extensions: &mut Extensions, stats: &Stats) {
        if let Some(Self::Refused { is_counted: is_counted @ false }) = extensions.get_mut() {
            *is_counted = true;
            stats.refused();
        }
    }
}

/// Returns whether a response is a refusal, which can look like an event stream.
pub(crate) fn is_refusal(extensions: &Extensions) -> bool {
    matches!(extensions.get(), Some(Handled::Refused { .. }))
}

/// Removes the mark of an inner layer from a response whose body is replaced, so that an outer
/// layer opens its stream.
pub(crate) fn disown(extensions: &mut Extensions) {
    extensions.remove::<Handled>();
}
