use std::{
    error::Error,
    fmt::{self, Display},
};

use tower_sse::BoxError;

/// An error of the program.
#[derive(Debug)]
pub struct Root;

impl Display for Root {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("root")
    }
}

impl Error for Root {}

/// An error with a cause.
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
