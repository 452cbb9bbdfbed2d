use std::sync::{Arc, atomic::AtomicU64, atomic::Ordering::Relaxed};

use pg_bus::{Bus, Config, Filter, Item};
use serde_json::Value;
use sqlx::{PgConnection, PgPool, Postgres, Transaction, query};

use super::{MANY, Server, Side};

pub(crate) struct Theirs {
    bus: Bus,
}

impl Side for Theirs {
    async fn connect(pool: &PgPool, _: &Server, _: &str) -> Self {
        let config = Config { schema: "bus".to_owned(), ..Config::default() };
        Self { bus: Bus::start(pool.clone(), config).await.unwrap() }
    }

    async fn publish(&self, transaction: &mut Transaction<'_, Postgres>, data: &str) {
        let data = Value::from(data);
        self.bus.publish(transaction, "a", &data, None).await.unwrap();
    }

    fn committed(&self) {}

    async fn publish_many(&self, connection: &mut PgConnection) {
        let mut transaction = sqlx::Connection::begin(connection).await.unwrap();
        query(
            "insert into bus.messages (channel, data)
            select 'a', to_jsonb(repeat('x', 100)) from generate_series(1, $1)",
        )
        .bind(i64::try_from(MANY).unwrap())
        .execute(&mut *transaction)
        .await
        .unwrap();
        query("select pg_notify('bus', '')").execute(&mut *transaction).await.unwrap();
        transaction.commit().await.unwrap();
    }

    async fn count(&self) -> Arc<AtomicU64> {
        let count = Arc::<AtomicU64>::default();
        let filter = Filter { channels: vec!["a".to_owned()], tags: Vec::new() };
        let mut subscription = self.bus.subscribe(self.bus.now().await.unwrap(), filter);
        let counted = Arc::clone(&count);
        tokio::spawn(async move {
            loop {
                let item = subscription.next().await.unwrap();
                assert!(matches!(item, Item::Message(_)), "a gap");
                counted.fetch_add(1, Relaxed);
            }
        });
        count
    }
}
