use std::error::Error;

/// A boxed error: what the body of an event stream fails with, and what the error of an item, or of
/// a body inside the layer, must become.
pub type BoxError = Box<dyn Error + Send + Sync>;
