//! Calls that return no event stream.

use crate::*;

const ROUNDS: usize = 200;
/// The requests of one round, at all processes.
const REQUESTS: usize = 9;

/// Each request makes its own call, because no call has an answer for the others.
#[tokio::test]
async fn simultaneous_requests_whose_calls_fail_are_each_answered() {
    let Some(cluster) = Cluster::start().await else { return };
    for round in 0..ROUNDS {
        let name = format!("failing-{round}");
        let posts = (0..REQUESTS).map(|at| {
            let (name, to) = (name.clone(), cluster.address(at % cluster::PROCESSES));
            async move { Client::of_turn(&name, 0, 0).post(to, usize::MAX).await }
        });
        let answers = join_all(posts).await;
        assert_eq!(answers, [Closed::Status(StatusCode::IM_A_TEAPOT); REQUESTS], "{round}");
        assert_eq!(cluster.calls(&name), REQUESTS, "{round}");
    }
}
