use crate::*;

/// The tasks of one life of a process. They can be stopped, continued and killed together, as by
/// the signals of an operating system.
#[derive(Clone)]
pub(crate) struct Gate {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
}

struct State {
    /// The milliseconds that the machine's clock is ahead.
    clock_offset: i64,
    mode: Mode,
    tasks: u64,
    /// What wakes each task, in the order in which they began.
    wakers: BTreeMap<u64, Waker>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Running,
    Stopped,
    Killed,
}

thread_local! {
    /// The process whose code runs at present.
    static CURRENT: RefCell<Option<Gate>> = const { RefCell::new(None) };
}

impl Gate {
    pub(crate) fn new(clock_offset: i64) -> Self {
        let wakers = BTreeMap::new();
        let state = State { clock_offset, mode: Mode::Running, tasks: 0, wakers };
        Self { inner: Arc::new(Inner { state: Mutex::new(state) }) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap()
    }

    /// Runs a future as a part of the process. It returns `None` if the process is killed.
    pub(crate) fn run<F: Future>(&self, future: F) -> Gated<F> {
        let mut state = self.state();
        state.tasks += 1;
        let number = state.tasks;
        drop(state);
        Gated { gate: self.clone(), number, future: Some(Box::pin(future)) }
    }

    pub(crate) fn stop(&self) {
        self.set(Mode::Stopped);
    }

    pub(crate) fn go_on(&self) {
        self.set(Mode::Running);
    }

    pub(crate) fn kill(&self) {
        self.set(Mode::Killed);
    }

    pub(crate) fn is_killed(&self) -> bool {
        self.state().mode == Mode::Killed
    }

    /// Sets the machine's clock forward by a number of milliseconds, or back.
    pub(crate) fn set_clock(&self, step: i64) {
        self.state().clock_offset += step;
    }

    fn set(&self, mode: Mode) {
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

/// A future of a process.
pub(crate) struct Gated<F> {
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

/// Lets the tasks that a process spawns belong to it.
pub(crate) struct Machines {
    began: Instant,
}

impl Machines {
    pub(crate) fn new() -> Self {
        Self { began: Instant::now() }
    }
}

impl Host for Machines {
    fn adopt(&self, task: Task) -> Task {
        match CURRENT.with_borrow(Clone::clone) {
            Some(gate) => {
                let gated = gate.run(task);
                Box::pin(async move { _ = gated.await })
            }
            None => task,
        }
    }

    fn now(&self) -> Duration {
        let offset =
            CURRENT.with_borrow(|gate| gate.as_ref().map_or(0, |gate| gate.state().clock_offset));
        let elapsed = u64::try_from(self.began.elapsed().as_millis()).unwrap();
        Duration::from_millis((BEGIN + elapsed).saturating_add_signed(offset))
    }
}
