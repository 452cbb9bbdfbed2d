use std::{error::Error, fmt};

use tokio::task::JoinError;

use super::*;

pub async fn cancelled_task() -> JoinError {
    let task = tokio::spawn(std::future::pending::<()>());
    task.abort();
    task.await.unwrap_err()
}

/// An error without a source.
#[derive(Debug)]
pub struct Root;

impl Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("root")
    }
}

impl Error for Root {}

/// An error with a source.
#[derive(Debug)]
pub struct Caused(pub BoxError);

impl Display for Caused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("caused")
    }
}

impl Error for Caused {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}
