use std::{future::Future, pin::Pin};

use super::{CloseError, Closing};

/// Publishes a close to other processes, and waits for its acknowledgement.
pub(crate) type Relay = dyn Fn(Closing<&str>) -> Publishing + Send + Sync;

pub(crate) type Publishing = Pin<Box<dyn Future<Output = Result<(), CloseError>> + Send>>;
