//! A function of the guide's page `serving`. The deadline of the shutdown is in `main.rs`.

use std::io;

use tokio::signal;
use tokio_util::sync::CancellationToken;

pub(crate) async fn cancel_on_signal(shutdown: CancellationToken) -> io::Result<()> {
    #[cfg(unix)]
    let mut terminated = signal::unix::signal(signal::unix::SignalKind::terminate())?;
    #[cfg(windows)]
    let mut terminated = signal::windows::ctrl_close()?;
    tokio::select! { it = signal::ctrl_c() => it?, _ = terminated.recv() => {} }
    shutdown.cancel();
    Ok(())
}
