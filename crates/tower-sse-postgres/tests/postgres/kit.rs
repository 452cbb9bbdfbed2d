//! Runs the brokers' test kit against a real server, and defines the `Process` of most tests.

use crate::*;

/// A new stream on a server, for one scene.
pub(crate) struct Stream<'s> {
    server: &'s Server,
    proxy: &'s Proxy,
    name: String,
}

impl<'s> Stream<'s> {
    pub(crate) fn new(server: &'s Server, proxy: &'s Proxy) -> Self {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        Self { server, proxy, name: format!("kit{}", CREATED.fetch_add(1, Relaxed)) }
    }

    async fn run(&self, statements: String) {
        sql(&self.server.connect().await, &statements).await;
    }
}

impl World for Stream<'_> {
    type Broker = PostgresBroker;

    fn broker(&self) -> PostgresBroker {
        let broker = self.proxy.broker_of(&self.name);
        broker.publish_deadline(std::time::Duration::from_secs(2))
    }

    fn trim(&self, keep: usize) -> Option<Fault<'_>> {
        let name = &self.name;
        Some(Box::pin(self.run(format!(
            "delete from tower_sse.log where stream = '{name}' and seq < (
                select seq from tower_sse.log where stream = '{name}' and kind < 2
                order by seq desc offset {keep} - 1 limit 1)"
        ))))
    }

    fn lose(&self) -> Option<Fault<'_>> {
        let name = &self.name;
        // The lock makes sure that the row of a hub that connects meanwhile is deleted too.
        Some(Box::pin(self.run(format!(
            "begin; select from tower_sse.stream where name = '{name}' for update;
            delete from tower_sse.log where stream = '{name}'; commit"
        ))))
    }

    fn roll_back(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        let name = &self.name;
        let copy = format!(
            "create table copy_{name} as select * from tower_sse.log where stream = '{name}'"
        );
        let put_back = format!(
            "begin; select from tower_sse.stream where name = '{name}' for update;
            delete from tower_sse.log where stream = '{name}';
            insert into tower_sse.log select * from copy_{name}; commit"
        );
        Some((Box::pin(self.run(copy)), Box::pin(self.run(put_back))))
    }

    fn cut(&self) -> Option<Fault<'_>> {
        Some(Box::pin(async { self.proxy.cut() }))
    }

    fn outage(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        let set = |is_down| async move { self.proxy.set_down(is_down) };
        Some((Box::pin(set(true)), Box::pin(set(false))))
    }
}

#[tokio::test]
async fn postgres_passes_the_kit() {
    let Some(server) = Server::start().await else { return };
    let proxy = Proxy::start(server.port).await;
    check(async || Stream::new(&server, &proxy)).await;
}

pub(crate) type Process = HubProcess<Health, BrokerStats>;

impl Process {
    pub(crate) async fn start() -> Option<(Server, Self)> {
        let server = Server::start().await?;
        let process = Self::connect(server.broker()).await;
        Some((server, process))
    }

    pub(crate) async fn connect(broker: PostgresBroker) -> Self {
        Self::connect_with(Hub::builder(), broker).await
    }

    pub(crate) async fn connect_with(builder: HubBuilder, broker: PostgresBroker) -> Self {
        let (health, stats) = (broker.health(), broker.stats());
        Self::new(builder.connect(broker).await.unwrap(), health, stats)
    }

    pub(crate) async fn delivers(&mut self, numbers: impl IntoIterator<Item = usize> + Clone) {
        self.publish(numbers.clone()).await;
        self.reads(numbers).await;
    }
}
