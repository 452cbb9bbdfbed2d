use std::io::{self, Write};
use std::net::SocketAddr;

use axum::serve::{Listener, ListenerExt};
use tokio::net::TcpListener;

/// Listens on a free port, and prints its address for the process that has started this one.
pub async fn listen() -> impl Listener<Addr = SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    println!("listening on {}", listener.local_addr().expect("an address"));
    io::stdout().flush().expect("a reader of standard output");
    listener.tap_io(|io| io.set_nodelay(true).expect("a socket option"))
}
