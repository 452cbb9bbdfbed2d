use axum::{extract::Path, routing::any};
use socket2::SockRef;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
};

use super::{HALF, breaks::Break};
use crate::*;

/// A handler whose answers break off, by itself or because its upstream does.
#[derive(Clone)]
pub(crate) struct Proxy {
    /// One permit for each answer that may break off now.
    may_break: Arc<Semaphore>,
}

impl Proxy {
    pub(crate) async fn new() -> Self {
        Self { may_break: Arc::new(Semaphore::new(0)) }
    }

    pub(crate) fn break_off(&self) {
        self.may_break.add_permits(1);
    }

    pub(crate) fn router(&self) -> Router {
        let proxy = self.clone();
        Router::new().route(
            "/{index}",
            any(move |Path(index): Path<usize>| async move { proxy.answer(Break::all()[index]).await }),
        )
    }

    async fn answer(self, broken: Break) -> Response<Body> {
        if let Some(error) = broken.error().await {
            let half = Ok::<_, BoxError>(Event::from("half"));
            let rest = stream::once(async move {
                self.may_break.acquire().await.unwrap().forget();
                Err(error)
            });
            let events = futures_util::StreamExt::chain(stream::iter([half]), rest);
            return tower_sse::response(events).map(Body::new);
        }
        let upstream = self.serve(broken).await;
        let request = Request::get("http://upstream/").body(Full::<Bytes>::default()).unwrap();
        let response = match broken {
            Break::H1 { .. } => connect_h1(upstream).await.send_request(request).await,
            _ => connect_h2(upstream).await.send_request(request).await,
        };
        response.unwrap().map(Body::new)
    }

    /// Starts an upstream that answers one request.
    async fn serve(self, broken: Break) -> SocketAddr {
        let (listener, address) = listen().await;
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            match broken {
                Break::H1 { chunked, reset } => self.answer_h1(stream, chunked, reset).await,
                Break::H2Reset(reason) => self.answer_h2(stream, Some(reason)).await,
                _ => self.answer_h2(stream, None).await,
            }
        });
        address
    }

    async fn answer_h1(self, mut stream: TcpStream, chunked: bool, reset: bool) {
        _ = stream.read(&mut [0; 1024]).await.unwrap();
        let body = if chunked {
            format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{HALF}\r\n", HALF.len())
        } else {
            format!("content-length: 100\r\n\r\n{HALF}")
        };
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n";
        stream.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
        self.may_break.acquire().await.unwrap().forget();
        if reset {
            SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
        }
    }

    async fn answer_h2(self, stream: TcpStream, reset: Option<h2::Reason>) {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let (_, mut respond) = connection.accept().await.unwrap().unwrap();
        let mut body = respond.send_response(event_stream(()), false).unwrap();
        body.send_data(Bytes::from_static(HALF.as_bytes()), false).unwrap();
        let may_break = async {
            self.may_break.acquire().await.unwrap().forget();
        };
        tokio::select! {
            () = may_break => {}
            _ = connection.accept() => panic!("a second request"),
        }
        if let Some(reason) = reset {
            body.send_reset(reason);
            // Drives the connection until the client closes it.
            _ = connection.accept().await;
        }
    }
}
