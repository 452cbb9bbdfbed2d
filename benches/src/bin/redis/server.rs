use nix::time::{ClockId, clock_gettime};

use crate::*;

pub(crate) struct Server {
    pub(crate) url: String,
    pub(crate) process: u32,
}

impl Server {
    pub(crate) async fn hub(&self) -> Hub {
        Hub::connect(self.broker()).await.expect("a server")
    }

    pub(crate) fn broker(&self) -> RedisBroker {
        Redis::open(&self.url)
            .expect("a URL")
            .broker("tower-sse")
            .publish_deadline(Duration::from_secs(20))
    }

    pub(crate) async fn connection(&self) -> MultiplexedConnection {
        self.client().get_multiplexed_async_connection().await.expect("a server")
    }

    pub(crate) fn client(&self) -> redis::Client {
        redis::Client::open(&*self.url).expect("a URL")
    }

    pub(crate) async fn flush(&self) {
        let _: () = redis::cmd("FLUSHALL").query_async(&mut self.connection().await).await.unwrap();
    }

    /// Returns the processor time of the server, which the system counts in hundredths of a second.
    pub(crate) fn processor_time(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.process)).expect("a process");
        // The process's name, before these fields, may have spaces. It ends with a parenthesis.
        let (_, fields) = stat.rsplit_once(") ").expect("fields");
        let ticks = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap());
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }
}

pub(crate) fn own_processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("a clock").into()
}

pub(crate) fn microseconds_per(time: Duration, count: usize) -> f64 {
    time.as_secs_f64() * 1e6 / count as f64
}

/// Runs a measurement on one thread, which leaves a second processor to the server.
pub(crate) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}
