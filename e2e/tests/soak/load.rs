use std::{net::SocketAddr, sync::Arc};

use tokio::{
    task::JoinSet,
    time::{Instant, interval},
};
use tokio_util::sync::CancellationToken;

use crate::{plan::Plan, *};

/// The clients of the server and a publisher.
pub(crate) struct Load {
    tasks: JoinSet<()>,
    client: Client,
}

impl Load {
    pub(crate) fn start(plan: &Arc<Plan>, address: SocketAddr) -> Self {
        let client = Client {
            plan: Arc::clone(plan),
            address,
            account: Arc::new(Account::default()),
            began: Instant::now(),
            stop: CancellationToken::new(),
        };
        let mut tasks: JoinSet<_> =
            (0..plan.streams).map(|number| client.clone().run(number)).collect();
        tasks.spawn(publish(client.clone()));
        Self { tasks, client }
    }

    /// Returns the account once all clients have left.
    pub(crate) async fn stop(self) -> Arc<Account> {
        self.client.stop.cancel();
        self.tasks.join_all().await;
        self.client.account
    }
}

/// Publishes to the topics of the moment, and large events to one that stays.
async fn publish(client: Client) {
    let mut control = Control::connect(client.address).await;
    let mut due = interval(client.plan.publish);
    let large = "x".repeat(1024);
    while !client.stop.is_cancelled() {
        due.tick().await;
        control.publish(&client.topic(), "news").await;
        control.publish(LARGE, &large).await;
    }
}
