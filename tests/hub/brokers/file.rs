//! The example of a broker, whose log is a file, passes the kit.

use std::{
    env, fs,
    path::PathBuf,
    process,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
};

use tower_sse::testing::broker::{World, check};

use super::file_broker::FileBroker;

struct LogFile(PathBuf);

impl LogFile {
    async fn new() -> Self {
        static CREATED: AtomicUsize = AtomicUsize::new(0);
        let number = CREATED.fetch_add(1, Relaxed);
        Self(env::temp_dir().join(format!("tower-sse-kit-{}-{number}.log", process::id())))
    }
}

impl World for LogFile {
    type Broker = FileBroker;

    fn broker(&self) -> FileBroker {
        FileBroker(self.0.clone())
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        _ = fs::remove_file(&self.0);
    }
}

#[tokio::test]
async fn file_broker_passes_the_kit() {
    check(LogFile::new).await;
}
