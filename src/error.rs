use std::error::Error;

/// A boxed error.
///
/// The body of an event stream fails with an error of this type. The errors of a stream's items,
/// and of a body inside the layer, must convert into it.
pub type BoxError = Box<dyn Error + Send + Sync>;
