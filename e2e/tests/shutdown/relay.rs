//! A relay that stands in for a slow network: it can delay the server's bytes.

use crate::*;

/// The types of HTTP/2 frames (RFC 9113, section 6).
pub(crate) const HEADERS: u8 = 1;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const GOAWAY: u8 = 7;

/// The relay of one connection.
pub(crate) struct Relay {
    pub(crate) address: SocketAddr,
    held: watch::Sender<bool>,
    /// All bytes that the server has sent, delayed or not.
    sent: watch::Receiver<Vec<u8>>,
}

impl Relay {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let (listener, address) = listen().await;
        let (held, mut holding) = watch::channel(false);
        let (all, sent) = watch::channel(Vec::new());
        tokio::spawn(async move {
            let (mut from_client, mut to_client) = listener.accept().await.unwrap().0.into_split();
            let (mut from_server, mut to_server) =
                TcpStream::connect(server).await.unwrap().into_split();
            tokio::spawn(async move { copy(&mut from_client, &mut to_server).await });
            let mut passed = 0;
            loop {
                let mut received = Vec::new();
                tokio::select! {
                    read = from_server.read_buf(&mut received) => {
                        if read.unwrap_or(0) == 0 {
                            break;
                        }
                        all.send_modify(|all| all.extend_from_slice(&received));
                    }
                    changed = holding.changed() => changed.unwrap(),
                }
                if !*holding.borrow() {
                    let rest = all.borrow()[passed..].to_vec();
                    passed += rest.len();
                    to_client.write_all(&rest).await.unwrap();
                }
            }
        });
        Self { address, held, sent }
    }

    pub(crate) fn hold(&self) {
        self.held.send_replace(true);
    }

    pub(crate) fn release(&self) {
        self.held.send_replace(false);
    }

    pub(crate) fn frames(&self, kind: u8) -> usize {
        count(&self.sent.borrow(), kind)
    }

    pub(crate) async fn has_seen(&mut self, frames: usize, kind: u8) {
        soon(self.sent.wait_for(|sent| count(sent, kind) >= frames)).await.unwrap();
    }
}

/// Counts whole frames only.
fn count(mut sent: &[u8], kind: u8) -> usize {
    let mut counted = 0;
    while let [a, b, c, this, _, _, _, _, _, rest @ ..] = sent {
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        let Some(next) = rest.get(length..) else { break };
        counted += usize::from(*this == kind);
        sent = next;
    }
    counted
}
