use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed};

use futures_util::StreamExt;
use sqlx::{PgConnection, PgPool, Postgres, Transaction, query, raw_sql};
use tower_sse::{Retention, hub::Hub};

use super::{MANY, Server, Side};

/// How the hub learns of a commit.
pub(crate) struct Wake;

impl Wake {
    /// By the hub's waker.
    pub(crate) const WAKER: u8 = 0;
    /// By `wake => true`.
    pub(crate) const SQL: u8 = 1;
    /// By its polls.
    pub(crate) const NONE: u8 = 2;
}

pub(crate) struct Ours<const WAKE: u8> {
    hub: Hub,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl<const WAKE: u8> Side for Ours<WAKE> {
    async fn connect(pool: &PgPool, server: &Server, database: &str) -> Self {
        raw_sql(tower_sse_postgres::SCHEMA).execute(pool).await.unwrap();
        let address =
            format!("host=127.0.0.1 port={} user=postgres dbname={database}", server.port);
        let broker = tower_sse_postgres::Postgres::open(&address).unwrap().broker("s");
        // Enough for the events of the last part that the client has not read yet.
        let broker = broker.max_events(2_000_000);
        let retention = Retention::new().events(1_000_000).bytes(1 << 30);
        let builder = Hub::builder().retention(retention).max_memory(2 << 30);
        let wake = Box::new(broker.waker());
        Self { hub: builder.connect(broker).await.unwrap(), wake }
    }

    async fn publish(&self, transaction: &mut Transaction<'_, Postgres>, data: &str) {
        let publish = if WAKE == Wake::SQL {
            "select tower_sse.publish('a', $1, stream => 's', wake => true)"
        } else {
            "select tower_sse.publish('a', $1, stream => 's')"
        };
        query(publish).bind(data).execute(&mut **transaction).await.unwrap();
    }

    fn committed(&self) {
        if WAKE == Wake::WAKER {
            (self.wake)();
        }
    }

    async fn publish_many(&self, connection: &mut PgConnection) {
        let mut transaction = sqlx::Connection::begin(connection).await.unwrap();
        query(
            "insert into tower_sse.inbox (stream, topic, data)
            select 's', 'a', repeat('x', 100) from generate_series(1, $1)",
        )
        .bind(i64::try_from(MANY).unwrap())
        .execute(&mut *transaction)
        .await
        .unwrap();
        if WAKE == Wake::SQL {
            let notify = "select pg_notify(tower_sse.channel('s'), '')";
            query(notify).execute(&mut *transaction).await.unwrap();
        }
        transaction.commit().await.unwrap();
    }

    async fn count(&self) -> Arc<AtomicU64> {
        let count = Arc::<AtomicU64>::default();
        let (counted, mut subscription) =
            (Arc::clone(&count), self.hub.subscribe(["a"]).resume(None));
        tokio::spawn(async move {
            while let Some(events) = subscription.next().await {
                // The data of each published event begins with `x`, unlike that of the hub's own
                // events.
                let text = str::from_utf8(events.as_bytes()).unwrap();
                assert!(!text.contains("event: gap"), "a gap");
                counted.fetch_add(text.matches("data: x").count() as u64, Relaxed);
            }
        });
        count
    }
}
