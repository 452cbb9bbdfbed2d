//! A server process, observed from outside.

use std::collections::HashMap;

use crate::*;

pub(super) struct Server {
    pub(super) process: Process,
    output: JoinHandle<Output>,
    /// The number of streams whose clients do not read and whose server is full.
    stalled: watch::Receiver<usize>,
}

/// The output of the process.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// The time from the signal to the end of its `main`, as the process reports it.
    pub(super) exit: Option<Duration>,
    /// The close reasons by the numbers of the streams.
    pub(super) closed: HashMap<usize, String>,
}

impl Server {
    pub(super) async fn start(host: &str, deadline: Duration) -> Self {
        let task = format!("{host} {}", deadline.as_millis());
        let mut process = Process::start("process::server::serves_until_sigterm", task).await;
        let mut lines = process.output();
        let (count, stalled) = watch::channel(0);
        // Read continuously, or the process would wait for a reader.
        let output = tokio::spawn(async move {
            let mut output = Output::default();
            while let Some(line) = lines.next_line().await.unwrap() {
                let words: Vec<_> = line.split(' ').collect();
                match words[..] {
                    ["closed", number, reason] => {
                        let previous =
                            output.closed.insert(number.parse().unwrap(), reason.to_owned());
                        assert_eq!(previous, None, "stream {number} has two close reports");
                    }
                    ["stalled", _] => count.send_modify(|stalled| *stalled += 1),
                    ["exits", milliseconds] => {
                        output.exit = Some(Duration::from_millis(milliseconds.parse().unwrap()));
                    }
                    _ => {}
                }
            }
            output
        });
        Self { process, output, stalled }
    }

    /// Waits until the clients of this number of streams have stalled.
    pub(super) async fn stalled(&self, streams: usize) {
        let mut stalled = self.stalled.clone();
        soon(stalled.wait_for(|stalled| *stalled == streams)).await.unwrap();
    }

    /// Returns everything that the process printed before it exited.
    pub(super) async fn output(mut self) -> Output {
        assert!(self.process.exited().await.success());
        soon(self.output).await.unwrap()
    }
}
