use std::net::{self, SocketAddr, UdpSocket};
use std::sync::Mutex;

use tokio::net::TcpListener;

/// Below the ports that Linux, macOS and Windows give to outgoing connections, which other tests
/// open all the time.
const PORTS: std::ops::Range<u16> = 10_000..32_768;

/// Returns a TCP port that no process listens on, for a server that cannot choose one by itself.
///
/// No other test gets the same port while this process runs: the UDP port of the same number stays
/// open as its reservation.
pub fn free_port() -> u16 {
    static RESERVED: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    loop {
        let port = fastrand::u16(PORTS);
        let Ok(reservation) = UdpSocket::bind(("127.0.0.1", port)) else { continue };
        if net::TcpListener::bind(("127.0.0.1", port)).is_ok() {
            RESERVED.lock().unwrap().push(reservation);
            return port;
        }
    }
}

pub async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}
