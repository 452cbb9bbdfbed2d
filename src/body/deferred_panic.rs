use std::{
    any::Any,
    error::Error,
    fmt,
    mem::ManuallyDrop,
    panic::resume_unwind,
    sync::{Mutex, PoisonError},
};

use crate::BoxError;

/// A panic of a stream that resumes after the events before it, in place of an error.
///
/// The mutex is never locked. It makes the payload `Sync`, as bodies are.
pub(super) struct DeferredPanic(Mutex<Payload>);

/// The payload is leaked if the panic never resumes, because dropping it could panic again.
type Payload = ManuallyDrop<Box<dyn Any + Send>>;

impl DeferredPanic {
    pub(super) const fn new(payload: Box<dyn Any + Send>) -> Self {
        Self(Mutex::new(ManuallyDrop::new(payload)))
    }

    /// Resumes the panic that `error` stands for, or returns the error if it is another one.
    pub(super) fn resume(error: BoxError) -> BoxError {
        match error.downcast::<Self>() {
            Ok(panic) => {
                let payload = panic.0.into_inner().unwrap_or_else(PoisonError::into_inner);
                resume_unwind(ManuallyDrop::into_inner(payload))
            }
            Err(error) => error,
        }
    }
}

opaque_debug!(DeferredPanic);

impl fmt::Display for DeferredPanic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the stream panicked")
    }
}

impl Error for DeferredPanic {}
