use std::future::{Future, poll_fn};
use std::{io, pin::pin, task::Poll, time::Duration};

use tokio::{signal, time::sleep};
use tokio_util::sync::CancellationToken;

/// Cancels `shutdown` at the first Ctrl-C or SIGTERM (on Windows: at Ctrl-C, or when the console is
/// closed) and returns `deadline` later. Needs the feature `signal`.
///
/// Give the token to [`SseLayer::shutdown`](crate::SseLayer::shutdown) and to your server's
/// graceful shutdown, and return from `main` when either this future or the server is ready. The
/// deadline is for clients that don't read, or that have sent only half a request or HTTP/2
/// handshake: a server would wait for them forever.
///
/// ```no_run
/// use std::{io, time::Duration};
///
/// use axum::Router;
/// use tokio_util::sync::CancellationToken;
/// use tower_sse::SseLayer;
///
/// #[tokio::main]
/// async fn main() -> io::Result<()> {
///     let shutdown = CancellationToken::new();
///     let app = Router::new().layer(SseLayer::new().shutdown(shutdown.clone()));
///     let listener = tokio::net::TcpListener::bind("127.0.0.1:3000").await?;
///     let server = axum::serve(listener, app)
///         .with_graceful_shutdown(shutdown.clone().cancelled_owned());
///     let stop = tower_sse::stop_on_signal(shutdown, Duration::from_secs(10));
///     tokio::select! { served = server => served, stopped = stop => stopped }
/// }
/// ```
///
/// # Errors
///
/// Returns an error if the operating system accepts no handler for these signals.
///
/// # Panics
///
/// Panics if the future is polled outside of a tokio runtime, or in a runtime without IO or timers.
///
/// # Cancel safety
///
/// On Unix, the signals are handled from the first poll until the process ends: further signals do
/// nothing, even if the future was dropped. So a second Ctrl-C doesn't stop the program sooner. On
/// Windows, the process ends about 5 seconds after its console is closed.
pub async fn stop_on_signal(shutdown: CancellationToken, deadline: Duration) -> io::Result<()> {
    #[cfg(unix)]
    let mut terminated = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    #[cfg(windows)]
    let mut terminated = signal::windows::ctrl_close()?;
    let mut interrupted = pin!(signal::ctrl_c());
    let signalled = poll_fn(|cx| match terminated.poll_recv(cx) {
        Poll::Ready(_) => Poll::Ready(Ok(())),
        Poll::Pending => interrupted.as_mut().poll(cx),
    });
    signalled.await?;
    shutdown.cancel();
    sleep(deadline).await;
    Ok(())
}
