//! Runs the brokers' test kit.

use crate::*;

impl File {
    fn fault(&self, statements: String) -> Fault<'_> {
        Box::pin(async move { self.run(&statements) })
    }
}

impl World for File {
    type Broker = SqliteBroker;

    fn broker(&self) -> SqliteBroker {
        self.broker()
    }

    fn trim(&self, keep: usize) -> Option<Fault<'_>> {
        Some(self.fault(format!(
            "delete from news where id < (
                select id from news where ends < 2 order by id desc limit 1 offset {keep} - 1)"
        )))
    }

    fn lose(&self) -> Option<Fault<'_>> {
        Some(self.fault("delete from news; delete from sqlite_sequence".to_owned()))
    }

    fn roll_back(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        const COLUMNS: &str = "id, at, nonce, ends, retry, event, topic, comment, data";
        let copy = "create table copy as select * from news";
        let put_back = format!(
            "begin immediate; delete from news;
            insert into news ({COLUMNS}) select {COLUMNS} from copy order by id;
            update sqlite_sequence set seq = (select max(id) from news); commit"
        );
        Some((self.fault(copy.to_owned()), self.fault(put_back)))
    }

    /// Replaces the file with a complete copy while no connection can write.
    fn cut(&self) -> Option<Fault<'_>> {
        Some(Box::pin(async {
            let _lock = loop {
                let lock = self.sql();
                if lock.execute_batch("begin immediate").is_ok() {
                    break lock;
                }
                // While a hub opens the file, `-wal` or `-shm` can vanish, so locking can fail.
                drop(lock);
                tokio::task::yield_now().await;
            };
            let copy = self.with_suffix("-copy");
            self.back_up_to(&copy);
            self.replace_by(&copy);
        }))
    }

    /// Keeps the file locked, as another program can.
    fn outage(&self) -> Option<(Fault<'_>, Fault<'_>)> {
        let lock = Arc::new(Mutex::new(None));
        let held = Arc::clone(&lock);
        let begin = async move {
            let locking = self.sql();
            locking.execute_batch("begin immediate").unwrap();
            *held.lock().unwrap() = Some(locking);
        };
        Some((Box::pin(begin), Box::pin(async move { _ = lock.lock().unwrap().take() })))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_passes_the_kit() {
    check(async || File::new()).await;
}
