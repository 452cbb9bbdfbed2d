use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional_with_sizes,
    net::{TcpListener, TcpStream},
    sync::watch,
};

use crate::*;

/// More than a pipeline, which Redis would otherwise receive in pieces.
const BUFFER: usize = 256 * 1024;

/// The connection of one process to Redis, which a test can break.
pub(crate) struct Wire {
    pub(crate) address: SocketAddr,
    is_cut: watch::Sender<bool>,
}

impl Wire {
    pub(crate) async fn start(redis: u16) -> Self {
        let (listener, address) = listen().await;
        let is_cut = watch::Sender::new(false);
        tokio::spawn(accept(listener, redis, is_cut.subscribe()));
        Self { address, is_cut }
    }

    /// Breaks all connections, and refuses new ones.
    pub(crate) fn cut(&self) {
        self.is_cut.send_replace(true);
    }

    pub(crate) fn heal(&self) {
        self.is_cut.send_replace(false);
    }
}

async fn accept(listener: TcpListener, redis: u16, is_cut: watch::Receiver<bool>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut is_cut = is_cut.clone();
        tokio::spawn(async move {
            let relaying = async {
                let mut server = TcpStream::connect(("127.0.0.1", redis)).await.ok()?;
                _ = (client.set_nodelay(true), server.set_nodelay(true));
                copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER, BUFFER).await.ok()
            };
            tokio::select! {
                _ = is_cut.wait_for(|is_cut| *is_cut) => {}
                _ = relaying => {}
            }
        });
    }
}
