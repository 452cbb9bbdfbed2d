use std::time::Duration;

use tokio::time::timeout;

use super::Runs;

impl Runs {
    /// Prepares for the end of the process: refuses new runs, waits up to `grace` until the running
    /// ones have ended, and ends the rest as [`Interrupted`](super::Outcome::Interrupted).
    ///
    /// The wait includes the closures of [`on_end`](super::RunsBuilder::on_end) for runs that end
    /// meanwhile.
    ///
    /// The server's graceful shutdown waits until the bodies of all clients have ended, so drain
    /// the runs at the same time:
    ///
    /// ```no_run
    /// use std::time::Duration;
    ///
    /// use axum::Router;
    /// use tokio::net::TcpListener;
    /// use tokio_util::sync::CancellationToken;
    /// use tower_sse::runs::Runs;
    ///
    /// # async fn run(
    /// #     listener: TcpListener,
    /// #     app: Router,
    /// #     runs: Runs,
    /// #     shutdown: CancellationToken,
    /// # ) -> std::io::Result<()> {
    /// let server = axum::serve(listener, app)
    ///     .with_graceful_shutdown(shutdown.clone().cancelled_owned());
    /// let drain = async {
    ///     shutdown.cancelled().await;
    ///     runs.drain(Duration::from_secs(20)).await;
    /// };
    /// tokio::join!(server, drain).0
    /// # }
    /// ```
    ///
    /// The [recipe](crate::guide::runs_shutdown) shows what cancels the token, and a deadline.
    ///
    /// # Cancel safety
    ///
    /// From the first poll on, no run starts at this process, even if the future is dropped. Dropping
    /// it does not interrupt any run.
    pub async fn drain(&self, grace: Duration) {
        self.process.lock().is_draining = true;
        if timeout(grace, self.process.idle()).await.is_err() {
            self.process.interrupt();
        }
        self.exported().await;
    }
}
