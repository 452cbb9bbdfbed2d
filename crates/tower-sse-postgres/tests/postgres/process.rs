use tokio::time::{Instant, sleep};
use tower_sse::hub::{Hub, HubBuilder, PublishError, Receipt};
use tower_sse_postgres::{BrokerStats, Postgres, PostgresHealth};

use crate::*;

/// The hub of a process, and one client of topic `a`.
pub(crate) struct Process {
    pub(crate) hub: Hub,
    pub(crate) health: PostgresHealth,
    pub(crate) stats: BrokerStats,
    pub(crate) client: Client,
}

impl Process {
    pub(crate) async fn connect(broker: Postgres) -> Self {
        Self::connect_with(Hub::builder(), broker).await
    }

    pub(crate) async fn connect_with(builder: HubBuilder, broker: Postgres) -> Self {
        let (health, stats) = (broker.health(), broker.stats());
        let hub = builder.connect(broker).await.unwrap();
        let client = Client::connect(&hub, &["a"]);
        Self { hub, health, stats, client }
    }

    /// Publishes events to topic `a`, each until it is acknowledged, and returns the last receipt.
    pub(crate) async fn publish(
        &self,
        numbers: impl IntoIterator<Item = usize>,
    ) -> Option<Receipt> {
        let mut receipt = None;
        for number in numbers {
            receipt = Some(publish(&self.hub, "a", &number.to_string()).await);
        }
        receipt
    }

    /// Reads events with these numbers as data.
    pub(crate) async fn reads(&mut self, numbers: impl IntoIterator<Item = usize>) {
        let numbers: Vec<_> = numbers.into_iter().map(|number| number.to_string()).collect();
        assert_eq!(self.client.data(numbers.len()).await, numbers);
    }

    pub(crate) async fn reads_gap(&mut self) {
        self.client.gap("a").await;
    }
}

/// Publishes an event that the broker may refuse at first.
pub(crate) async fn publish(hub: &Hub, topic: &str, data: &str) -> Receipt {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match hub.publish(topic, data.to_owned()).await {
            Ok(receipt) => return receipt,
            Err(PublishError::Refused(error)) => {
                assert!(Instant::now() < deadline, "{error:?}");
                sleep(std::time::Duration::from_millis(5)).await;
            }
            Err(error) => panic!("{error:?}"),
        }
    }
}
