use tower_sse::hub::{Hub, HubBuilder};
use tower_sse_postgres::{BrokerStats, Postgres, PostgresHealth};

use crate::*;

pub(crate) type Process = HubProcess<PostgresHealth, BrokerStats>;

impl Process {
    pub(crate) async fn connect(broker: Postgres) -> Self {
        Self::connect_with(Hub::builder(), broker).await
    }

    pub(crate) async fn connect_with(builder: HubBuilder, broker: Postgres) -> Self {
        let (health, stats) = (broker.health(), broker.stats());
        Self::new(builder.connect(broker).await.unwrap(), health, stats)
    }
}
