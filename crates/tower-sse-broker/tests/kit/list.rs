//! The example of a broker, over a list in memory, passes the kit.

use crate::*;

struct Server(ListBroker);

impl Server {
    async fn new() -> Self {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let name = format!("kit{}", CREATED.fetch_add(1, Relaxed));
        Self(ListBroker { name, server: list_broker::Server::default() })
    }

    fn change(
        &self,
        change: impl FnOnce(&mut Vec<list_broker::Entry>) + Send + 'static,
    ) -> Fault<'_> {
        Box::pin(async move { change(&mut self.0.server.entries()) })
    }
}

impl World for Server {
    type Broker = ListBroker;

    fn broker(&self) -> ListBroker {
        self.0.clone()
    }

    fn trim(&self, keep: usize) -> Option<Fault<'_>> {
        Some(self.change(move |entries| {
            let is_event = |entry: &list_broker::Entry| !matches!(entry.kind, Kind::Mark);
            let places = entries.iter().enumerate().rev().filter(|(_, entry)| is_event(entry));
            let oldest = places.map(|(place, _)| place).nth(keep - 1).unwrap();
            drop(entries.drain(..oldest));
        }))
    }

    fn lose(&self) -> Option<Fault<'_>> {
        Some(self.change(Vec::clear))
    }

    fn roll_back(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        let copy = Arc::new(Mutex::new(Vec::new()));
        let copied = Arc::clone(&copy);
        let take = move |entries: &mut Vec<_>| *copied.lock().unwrap() = entries.clone();
        let put_back = move |entries: &mut Vec<_>| *entries = mem::take(&mut copy.lock().unwrap());
        Some((self.change(take), self.change(put_back)))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn list_broker_passes_the_kit() {
    check(Server::new).await;
}
