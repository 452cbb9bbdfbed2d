use std::future::Future;

use tokio::{runtime, time};

use super::*;

pub const MILLISECOND: Duration = Duration::from_millis(1);
pub const SECOND: Duration = Duration::from_secs(1);

/// Asserts that `body` has nothing to yield, and advances the clock by `time`.
#[track_caller]
pub fn idle<B>(body: &mut B, time: Duration) -> impl Future<Output = ()> + use<B>
where
    B: Body<Data = Bytes, Error: ToString> + Unpin,
{
    assert_eq!(poll_frame(body), Polled::Pending);
    time::advance(time)
}

pub fn under_a_paused_clock<F: Future>(future: F) -> F::Output {
    let mut runtime = runtime::Builder::new_current_thread();
    runtime.enable_time().start_paused(true).build().unwrap().block_on(future)
}

/// Awaits `future` and advances the paused clock meanwhile, also if the task is never idle. Panics
/// if `future` takes longer than `limit` of that clock.
pub async fn while_the_clock_runs<F: Future>(limit: Duration, future: F) -> F::Output {
    let mut future = pin!(future);
    let mut ticks = time::interval(SECOND);
    let output = async {
        loop {
            tokio::select! {
                output = &mut future => break output,
                _ = ticks.tick() => time::advance(SECOND).await,
            }
        }
    };
    time::timeout(limit, output).await.expect("it is ready in time")
}

pub struct Case(String);

/// Names the current case of a table-driven test. The name is printed if the test fails before the
/// returned value is dropped.
#[must_use]
pub fn case(name: impl Display) -> Case {
    Case(name.to_string())
}

impl Drop for Case {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("in the case {}", self.0);
        }
    }
}
