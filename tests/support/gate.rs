use std::sync::atomic::AtomicBool;

use futures_util::task::AtomicWaker;
use tokio::io::ReadBuf;

use super::*;

/// A connection whose reading side a [`Gate`] can close for a while.
pub struct Gated<I> {
    pub io: I,
    pub gate: Arc<Gate>,
}

#[derive(Default)]
pub struct Gate {
    closed: AtomicBool,
    reader: AtomicWaker,
}

impl Gate {
    pub fn close(&self) {
        self.closed.store(true, SeqCst);
    }

    pub fn open(&self) {
        self.closed.store(false, SeqCst);
        self.reader.wake();
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Gated<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.gate.reader.register(cx.waker());
        if self.gate.closed.load(SeqCst) {
            return Poll::Pending;
        }
        Pin::new(&mut self.io).poll_read(cx, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Gated<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
