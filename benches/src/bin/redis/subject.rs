use axum::response::{IntoResponse, sse};
use tokio_stream::wrappers::BroadcastStream;

use crate::*;

/// One process of an application that shares events over Redis.
#[derive(Clone)]
pub(crate) enum Subject {
    TowerSse(Hub),
    /// Pub/sub, a channel, and axum's `Sse`. What is published while a process or a client is away
    /// is lost.
    ByHand {
        publisher: MultiplexedConnection,
        channel: broadcast::Sender<String>,
    },
}

pub(crate) const NAMES: [&str; 2] = ["tower-sse", "pub/sub by hand"];

/// The frames of the body of one client.
pub(crate) type Frames = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

impl Subject {
    pub(crate) async fn connect(server: &Server, name: &str) -> Self {
        if name == NAMES[0] {
            return Self::TowerSse(server.hub().await);
        }
        let mut subscription = server.client().get_async_pubsub().await.expect("a server");
        subscription.subscribe("a").await.expect("a channel");
        let (channel, _) = broadcast::channel(100_000);
        let sender = channel.clone();
        tokio::spawn(async move {
            let mut messages = subscription.into_on_message();
            while let Some(message) = messages.next().await {
                // Sending fails if there is no client.
                _ = sender.send(message.get_payload().expect("text"));
            }
        });
        Self::ByHand { publisher: server.connection().await, channel }
    }

    pub(crate) async fn publish(&self, data: String) {
        match self {
            Self::TowerSse(hub) => _ = hub.publish("a", data).await.expect("published"),
            Self::ByHand { publisher, .. } => {
                let mut publisher = publisher.clone();
                let _: () = redis::cmd("PUBLISH")
                    .arg("a")
                    .arg(data)
                    .query_async(&mut publisher)
                    .await
                    .expect("published");
            }
        }
    }

    /// Connects a client and returns what a server would write to it.
    pub(crate) async fn client(&self) -> Frames {
        match self {
            Self::TowerSse(hub) => {
                let hub = hub.clone();
                let service = tower::service_fn(move |_: http::Request<()>| {
                    let response = tower_sse::response(hub.subscribe_to("a").resume(None));
                    async move { Ok::<_, Infallible>(response) }
                });
                let mut service = SseLayer::new().layer(service);
                let service = ServiceExt::<http::Request<()>>::ready(&mut service).await.unwrap();
                frames(service.call(http::Request::new(())).await.unwrap().into_body())
            }
            Self::ByHand { channel, .. } => {
                let events = BroadcastStream::new(channel.subscribe()).map(|data| {
                    Ok::<_, Infallible>(sse::Event::default().data(data.expect("no lag")))
                });
                let keep_alive = sse::KeepAlive::default();
                frames(sse::Sse::new(events).keep_alive(keep_alive).into_response().into_body())
            }
        }
    }
}

fn frames<B>(body: B) -> Frames
where
    B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Send + 'static,
{
    Box::pin(body.into_data_stream().map(|frame| frame.expect("a frame")))
}

/// Calls `received` with the data of each event, until `count` events have come.
pub(crate) async fn receive(mut frames: Frames, count: usize, mut received: impl FnMut(&str)) {
    let mut decoder = Decoder::new();
    let mut events = 0;
    while events < count {
        let mut bytes: Bytes = frames.next().await.expect("an open stream");
        while let Some(message) = decoder.decode(&mut bytes).expect("events") {
            assert_ne!(message.event, "gap");
            received(&message.data);
            events += 1;
        }
    }
}
