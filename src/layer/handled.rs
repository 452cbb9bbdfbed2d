use http::Extensions;

use crate::body::Inherited;

/// A mark that a layer leaves in a response's extensions for outer layers.
#[derive(Clone)]
pub(super) enum Handled {
    /// The response is an event stream. If its layer has no shutdown, an outer layer can put its
    /// own shutdown here.
    Stream(Option<Inherited>),
    /// The response is a refusal, which can look like an event stream.
    Refused,
}

impl Handled {
    pub(super) fn mark(self, extensions: &mut Extensions) {
        extensions.insert(self);
    }
}

/// Returns whether a response is a refusal, which can look like an event stream.
pub(crate) fn is_refusal(extensions: &Extensions) -> bool {
    matches!(extensions.get(), Some(Handled::Refused))
}

/// Removes the mark of an inner layer from a response whose body is replaced, so that an outer
/// layer opens its stream.
pub(crate) fn disown(extensions: &mut Extensions) {
    extensions.remove::<Handled>();
}
