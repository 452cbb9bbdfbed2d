use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker};
use std::{cell::RefCell, collections::BTreeMap, fmt::Debug, pin::Pin, time::Duration};

use tokio::time::{Instant, sleep};
use tower_sse::simulation::{Host, Task};
use tower_sse_redis_model::{BEGIN, Network};

/// A process and the value that it has connected to Redis.
#[derive(Clone, Debug)]
pub struct Process<T> {
    pub number: usize,
    /// The number of this life: a process that starts again has another one.
    pub life: usize,
    pub gate: Gate,
    connected: Arc<Mutex<Option<T>>>,
}

impl<T: Clone + Send + 'static> Process<T> {
    /// Starts a process, which calls `connect` until that succeeds. The clock of its machine is
    /// ahead by `clock` milliseconds.
    pub fn start<F, E: Debug + Send>(
        network: &Network,
        number: usize,
        life: usize,
        clock: i64,
        connect: impl Fn(&Gate) -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<T, E>> + Send,
    {
        let state = State { clock_offset: clock, ..State::default() };
        let gate = Gate { state: Arc::new(Mutex::new(state)) };
        let process = Self { number, life, gate, connected: Arc::default() };
        let (starting, network) = (process.clone(), network.clone());
        network.log(|| format!("process {number}: life {life}"));
        tokio::spawn(process.gate.run(async move {
            loop {
                match connect(&starting.gate).await {
                    Ok(connected) => {
                        network.log(|| format!("process {number}: connected"));
                        *starting.connected.lock().unwrap() = Some(connected);
                        return;
                    }
                    Err(error) => network.log(|| format!("process {number}: {error:?}")),
                }
                sleep(Duration::from_millis(200)).await;
            }
        }));
        process
    }

    pub fn get(&self) -> Option<T> {
        self.connected.lock().unwrap().clone()
    }

    pub fn kill(&self) {
        self.gate.set(Mode::Killed);
        // Without this drop, clones of this process would keep the connected value.
        drop(self.connected.lock().unwrap().take());
    }
}

pub async fn connect<T: Clone + Send + 'static>(processes: &BTreeMap<usize, Process<T>>) {
    while processes.values().any(|process| process.get().is_none()) {
        sleep(Duration::from_millis(10)).await;
    }
}

/// The tasks of one life of a process. They can be stopped, continued and killed together, as by
/// the signals of an operating system.
#[derive(Clone, Debug)]
pub struct Gate {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The milliseconds that the machine's clock is ahead.
    clock_offset: i64,
    mode: Mode,
    tasks: u64,
    /// The wakers of the tasks, in the order in which the tasks began.
    wakers: BTreeMap<u64, Waker>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    #[default]
    Running,
    Stopped,
    Killed,
}

thread_local! {
    /// The process whose code is running.
    static CURRENT: RefCell<Option<Gate>> = const { RefCell::new(None) };
}

impl Gate {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Runs a future as a part of the process. Returns `None` if the process is killed.
    pub fn run<F: Future>(&self, future: F) -> impl Future<Output = Option<F::Output>> + use<F> {
        let number = {
            let mut state = self.state();
            state.tasks += 1;
            state.tasks
        };
        Gated { gate: self.clone(), number, future: Some(Box::pin(future)) }
    }

    pub fn is_killed(&self) -> bool {
        self.state().mode == Mode::Killed
    }

    /// Sets the machine's clock forward by a number of milliseconds, or back.
    pub fn set_clock(&self, step: i64) {
        self.state().clock_offset += step;
    }

    /// Stops, continues or kills the process's tasks. A killed process stays killed.
    pub fn set(&self, mode: Mode) {
        let mut state = self.state();
        if state.mode != Mode::Killed {
            state.mode = mode;
        }
        let wakers: Vec<_> = state.wakers.values().cloned().collect();
        drop(state);
        wakers.into_iter().for_each(Waker::wake);
    }

    fn enter<R>(&self, run: impl FnOnce() -> R) -> R {
        let earlier = CURRENT.replace(Some(self.clone()));
        let result = run();
        CURRENT.set(earlier);
        result
    }
}

struct Gated<F> {
    gate: Gate,
    number: u64,
    future: Option<Pin<Box<F>>>,
}

impl<F: Future> Future for Gated<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gate = self.gate.clone();
        let mode = {
            let mut state = gate.state();
            state.wakers.insert(self.number, cx.waker().clone());
            state.mode
        };
        let Some(future) = &mut self.future else { return Poll::Ready(None) };
        match mode {
            Mode::Stopped => Poll::Pending,
            Mode::Running => gate.enter(|| future.as_mut().poll(cx).map(Some)),
            Mode::Killed => {
                let future = self.future.take();
                gate.enter(|| drop(future));
                Poll::Ready(None)
            }
        }
    }
}

impl<F> Drop for Gated<F> {
    fn drop(&mut self) {
        self.gate.state().wakers.remove(&self.number);
        let future = self.future.take();
        self.gate.clone().enter(|| drop(future));
    }
}

/// The host of a thread's processes: gives each its clock and the tasks that it spawns.
#[derive(Debug)]
pub struct Machines {
    began: Instant,
}

impl Machines {
    /// Makes a new value the host of this thread's processes.
    pub fn serve_this_thread() {
        tower_sse::simulation::set_host(Self { began: Instant::now() });
    }
}

impl Host for Machines {
    fn adopt(&self, task: Task) -> Task {
        let Some(gate) = CURRENT.with_borrow(Clone::clone) else { return task };
        let gated = gate.run(task);
        Box::pin(async move { _ = gated.await })
    }

    fn now(&self) -> Duration {
        let offset =
            CURRENT.with_borrow(|gate| gate.as_ref().map_or(0, |gate| gate.state().clock_offset));
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        Duration::from_millis((BEGIN + elapsed).saturating_add_signed(offset))
    }
}
