use axum::Router;
use tokio::{
    sync::oneshot::{self, error::TryRecvError},
    time::timeout,
};

use crate::{
    chromium::PATIENCE,
    dashboard::INTERVAL,
    example,
    nginx::Nginx,
    support::{EventReader, client, serve_axum},
    tools::find_nginx,
};

/// Without this the tests through nginx would prove nothing.
#[tokio::test]
async fn without_the_layer_nginx_holds_events_back() {
    let Some(nginx) = find_nginx() else { return };
    let app = Router::new().merge(example::app(INTERVAL)).nest("/bare", example::routes(INTERVAL));
    let server = serve_axum(app).await;
    let nginx = Nginx::start(&nginx, server).await;

    let (saw, mut first) = oneshot::channel();
    tokio::spawn(async move {
        let response = client::get(nginx.address, "/bare/events", &[]).await;
        let first = EventReader::new(response).next().await.unwrap();
        saw.send(first).unwrap();
    });
    // The same events, with the layer and through the same proxy.
    let response = client::get(nginx.address, "/events", &[]).await;
    let mut layered = EventReader::new(response);
    for _ in 0..8 {
        assert_eq!(
            timeout(PATIENCE, layered.next()).await.expect("an event").unwrap().event,
            "sample"
        );
    }
    assert_eq!(first.try_recv().unwrap_err(), TryRecvError::Empty, "the buffer is not full yet");

    // Once it is, they do come.
    timeout(PATIENCE, first).await.expect("an event").unwrap();
}
