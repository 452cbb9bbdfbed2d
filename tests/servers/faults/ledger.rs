use crate::*;

#[derive(Default)]
pub(crate) struct Ledger {
    accounts: Mutex<HashMap<u64, Account>>,
    changed: Notify,
    stats: Stats,
    sources: AtomicUsize,
}

#[derive(Debug, Default)]
struct Account {
    disconnect: Option<Disconnect>,
    reports: Vec<CloseReason>,
    outcome: Option<Outcome>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Outcome {
    /// The stream was opened, and closed for this reason.
    Closed(CloseReason),
    /// The stream was not opened, and the response was over.
    NotOpened,
    /// The client left so early that the request may never have arrived.
    LeftEarly,
}

impl Account {
    /// Returns whether everything that the account's outcome requires has happened, and nothing
    /// else.
    fn is_settled(&self) -> bool {
        let over = self.disconnect.as_ref().map(Disconnect::is_cancelled);
        let reports = &*self.reports;
        let disconnected = CloseReason::Disconnected;
        match self.outcome.expect("a test waits for each stream") {
            Outcome::Closed(reason) => over == Some(true) && reports == [reason],
            Outcome::NotOpened => over == Some(true) && reports.is_empty(),
            Outcome::LeftEarly => {
                over.unwrap_or(true) && (reports.is_empty() || reports == [disconnected])
            }
        }
    }
}

impl Ledger {
    pub(crate) fn open_account(&self) -> u64 {
        let mut accounts = self.accounts.lock().unwrap();
        let id = accounts.len() as u64;
        accounts.insert(id, Account::default());
        id
    }

    pub(crate) fn len(&self) -> usize {
        self.accounts.lock().unwrap().len()
    }

    pub(crate) fn layer<M>(&self) -> SseLayer<M> {
        SseLayer::new().stats(&self.stats).track_disconnects(true)
    }

    pub(crate) fn options(self: &Arc<Self>, id: u64) -> StreamOptions {
        let ledger = Arc::clone(self);
        StreamOptions::new().on_close(move |closed| {
            ledger.change(id, |account| account.reports.push(closed.reason));
        })
    }

    pub(crate) fn arrived(&self, id: u64, disconnect: Disconnect) {
        self.change(id, |account| account.disconnect = Some(disconnect));
    }

    /// Returns a guard that lives as long as the source.
    pub(crate) fn guard(self: &Arc<Self>) -> Guard {
        self.sources.fetch_add(1, SeqCst);
        Guard(Arc::clone(self))
    }

    pub(crate) async fn until_arrived(&self, id: u64) {
        self.until(id, |account| account.disconnect.is_some()).await;
    }

    /// Waits until stream `id` has this outcome. Does not wait for `LeftEarly`, because the request
    /// may never arrive.
    pub(crate) async fn settle(&self, id: u64, outcome: Outcome) {
        self.change(id, |account| account.outcome = Some(outcome));
        if outcome == Outcome::LeftEarly {
            return;
        }
        self.until_arrived(id).await;
        // A stream may be over without a report.
        let disconnect = self.accounts.lock().unwrap()[&id].disconnect.clone().unwrap();
        soon(disconnect.cancelled()).await;
        self.until(id, Account::is_settled).await;
    }

    /// Asserts that everything was released. Call it once every server has stopped.
    pub(crate) fn audit(&self) {
        let accounts = self.accounts.lock().unwrap();
        let mut closed = HashMap::new();
        for (id, account) in accounts.iter() {
            assert!(account.is_settled(), "stream {id}: {account:?}");
            for reason in &account.reports {
                *closed.entry(*reason).or_default() += 1;
            }
        }
        assert_eq!(self.sources.load(SeqCst), 0, "sources that are left");
        let stats = self.stats.snapshot();
        assert_eq!((stats.open, stats.opened), (0, stats.closed));
        for (reason, count) in stats.closed_by_reason.iter().copied() {
            assert_eq!(closed.get(&reason).copied(), Some(count), "{reason}");
        }
        println!("{} streams: {stats:?}", accounts.len());
    }

    fn change(&self, id: u64, change: impl FnOnce(&mut Account)) {
        change(self.accounts.lock().unwrap().get_mut(&id).expect("an account"));
        self.changed.notify_waiters();
    }

    async fn until(&self, id: u64, is: impl Fn(&Account) -> bool) {
        let changed = async {
            loop {
                let changed = self.changed.notified();
                if is(&self.accounts.lock().unwrap()[&id]) {
                    return;
                }
                changed.await;
            }
        };
        let account = || panic!("stream {id}: {:?}", self.accounts.lock().unwrap()[&id]);
        timeout(PATIENCE, changed).await.unwrap_or_else(|_| account());
    }
}

pub(crate) struct Guard(Arc<Ledger>);

impl Drop for Guard {
    fn drop(&mut self) {
        self.0.sources.fetch_sub(1, SeqCst);
    }
}
