use tokio::net::TcpSocket;

use super::*;

pub async fn connect_h1(address: SocketAddr) -> http1::SendRequest<Full<Bytes>> {
    handshake_h1(TcpStream::connect(address).await.unwrap()).await
}

pub async fn connect_h2(address: SocketAddr) -> http2::SendRequest<Full<Bytes>> {
    handshake_h2(TcpStream::connect(address).await.unwrap()).await
}

/// Opens an HTTP/2 connection over `io` with an initial flow-control window of `window` bytes for
/// each stream.
pub async fn connect_h2_with_window(io: TcpStream, window: u32) -> http2::SendRequest<Full<Bytes>> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.initial_stream_window_size(window);
    let (sender, connection) = builder.handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

/// Opens a TCP connection whose small receive buffer soon blocks a server if the client doesn't
/// read.
pub async fn connect_small(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    soon(socket.connect(address)).await.unwrap()
}

pub async fn handshake_h1<I>(io: I) -> http1::SendRequest<Full<Bytes>>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(io)).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub async fn handshake_h2<I>(io: I) -> http2::SendRequest<Full<Bytes>>
where
    I: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(io));
    let (sender, connection) = handshake.await.unwrap();
    tokio::spawn(connection);
    sender
}

pub async fn get(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
    send(address, Request::get(path), headers, Bytes::new()).await
}

pub async fn post(
    address: SocketAddr,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Response<Incoming> {
    send(address, Request::post(path), headers, body.into()).await
}

async fn send(
    address: SocketAddr,
    mut request: http::request::Builder,
    headers: &[(&str, &str)],
    body: Bytes,
) -> Response<Incoming> {
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    // Dropping `connection` closes it, unless a response is still in progress.
    let mut connection = Protocol::Http1.connect(address).await;
    connection.send(request.body(Full::from(body)).unwrap()).await
}
