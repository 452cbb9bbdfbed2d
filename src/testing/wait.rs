use std::{fmt::Display, panic::Location};

use tokio::time::timeout;

use super::{reader::Reader, stream::TestStream};

/// The waits of a stream, and the panics by which they fail a test.
impl TestStream {
    /// Waits until `take` returns something.
    pub(super) async fn wait<T>(
        &mut self,
        what: impl Display + Send,
        caller: &Location<'_>,
        take: impl FnMut(&mut Reader) -> Option<T> + Send,
    ) -> T {
        let limit = self.time_limit;
        match timeout(limit, self.reader.read_until(take)).await {
            Ok(Some(taken)) => taken,
            Ok(None) => self.fail(&format!("{}while waiting for {what}", self.end()), caller),
            Err(_elapsed) => {
                self.fail(&format!("still waiting for {what} after {limit:?}"), caller)
            }
        }
    }

    /// Returns how the stream has ended, as the beginning of a sentence.
    pub(super) fn end(&self) -> String {
        self.reader.end.as_ref().map(|end| format!("{end} ")).unwrap_or_default()
    }

    pub(super) fn fail(&self, what: &str, caller: &Location<'_>) -> ! {
        // How a test fails.
        panic!("{what}, at {caller}\n{}", self.reader);
    }
}
