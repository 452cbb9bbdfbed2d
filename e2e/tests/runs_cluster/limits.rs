//! What the limits of a program say about what its runs keep in Redis.

use std::time::Duration;

use futures_util::stream;
use tower_sse::{
    Event,
    runs::{RunKey, Runs, RunsBuilder},
};

use crate::server::Server;

async fn connect(server: &Server, options: RunsBuilder) -> Runs {
    options.connect(server.broker().key("app")).await.unwrap()
}

/// Starts runs of one event each, one after the other.
async fn start_all(runs: &Runs, keys: impl IntoIterator<Item = RunKey>) {
    for key in keys {
        let run = runs.start(&key, None, || stream::iter([Event::from("x")])).await.unwrap();
        run.ended().await.unwrap();
    }
}

/// A time that Redis could not add to its clock counts as ten years.
#[tokio::test]
async fn runs_start_whatever_the_times_are() {
    let Some(server) = Server::start().await else { return };
    let retained = connect(&server, Runs::builder().retain_for(Duration::MAX)).await;
    start_all(&retained, [RunKey::shared("retained").unwrap()]).await;
    let redis = server.broker().key("app").lease(Duration::MAX);
    let leased = Runs::builder().retain_for(Duration::MAX).connect(redis).await.unwrap();
    start_all(&leased, [RunKey::shared("leased").unwrap()]).await;
}
