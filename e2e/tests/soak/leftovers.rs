//! What a server holds when its clients have left.

use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use tokio::time::{Instant, sleep};

use crate::{plan::Plan, process::ServerProcess, support::PATIENCE, *};

/// Opens as many streams as the limit allows, which needs every permit, and shuts the server down.
/// Returns its figures when all streams have closed.
pub(crate) async fn drain(plan: &Plan, server: &mut ServerProcess) -> Figures {
    wait_for(&mut server.control, plan, |figures| figures.open == 0).await;
    let address = server.address();
    let open = async || get(address, "/events/held", &[]).await;
    let streams: Vec<_> =
        stream::iter(0..plan.max_streams()).map(|_| open()).buffered(16).collect().await;
    for response in &streams {
        assert_eq!(response.status(), 200, "a permit is missing: {response:?}");
    }
    assert_eq!(open().await.status(), 503, "a permit too many");
    server.control.drain().await;
    for response in streams {
        soon(response.into_body().collect()).await.unwrap();
    }
    wait_for(&mut server.control, plan, |figures| figures.open == 0).await
}

/// Asserts that the server has no more than before the load. Events of topics to which nothing is
/// published are evicted while other events are published.
pub(crate) async fn assert_none(plan: &Plan, before: &Figures, control: &mut Control) {
    _ = wait_for(control, plan, |now| {
        let held = [now.open, now.subscribers, now.running, now.kept, now.attached];
        let is_gone = held == [0; 5] && now.topics <= 1;
        is_gone && now.tasks <= before.tasks && now.descriptors <= before.descriptors
    })
    .await;
}

async fn wait_for(
    control: &mut Control,
    plan: &Plan,
    condition: impl Fn(&Figures) -> bool,
) -> Figures {
    let deadline = Instant::now() + plan.retention + plan.abandon_after + PATIENCE;
    loop {
        let figures = control.figures().await;
        if condition(&figures) {
            return figures;
        }
        assert!(Instant::now() < deadline, "still there: {figures:#?}");
        control.publish("end", "").await;
        sleep(plan.publish).await;
    }
}
