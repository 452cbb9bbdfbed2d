use axum::{Extension, extract::Path, routing::get};

use crate::{listen, patient, support::Process, *};

/// Starts a server in a process of its own.
pub(super) async fn start(redis: &str) -> Process {
    Process::start("storm::process::serve", redis).await
}

#[tokio::test]
#[ignore = "is a process of the storm"]
async fn serve() {
    let Some(redis) = Process::task() else { return };
    let hub = Hub::connect(patient(Redis::open(&redis).unwrap())).await.unwrap();
    let app = Router::new()
        .route("/events/{topics}", get(events))
        .route("/publish/{topic}", post(publish))
        .layer(SseLayer::new())
        .with_state(hub);
    let (listener, address) = listen().await;
    Process::announce(address);
    axum::serve(listener, app).await.unwrap();
}

async fn events(
    State(hub): State<Hub>,
    Path(topics): Path<String>,
    last: Option<Extension<LastEventId>>,
) -> impl IntoResponse {
    let greeting = Event::new().event("hello").data("");
    let last = last.map(|Extension(last)| last);
    tower_sse::response(hub.subscribe(topics.split(',')).greeting(greeting).resume(last))
}

async fn publish(State(hub): State<Hub>, Path(topic): Path<String>, data: String) -> String {
    match hub.publish(topic, data).await {
        Ok(receipt) => receipt.id().to_string(),
        Err(PublishError::Refused(_)) => "refused".to_owned(),
        Err(PublishError::Unknown(_)) => "unknown".to_owned(),
        Err(error) => panic!("{error:?}"),
    }
}
