use std::{io, pin::pin, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, interval, timeout},
};
use tower_sse::{Drain, Encoded, Json, Retry, Stats};

use super::{clients::Clients, generation::Generation};

/// Each is two file descriptors of this process, which may have no more than a thousand.
pub(super) const CLIENTS: usize = 200;

const SECOND: Duration = Duration::from_secs(1);

/// How the old generation of a server lets go of its clients.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// All at once, and all are told the same time: that is also what happens when nobody tells them any.
    Storm,
    /// One after another, each with a time of its own.
    Spread,
}

impl Kind {
    fn drain(self) -> Drain {
        match self {
            Self::Storm => Drain::at_once().retry(Retry::fixed(SECOND)),
            Self::Spread => {
                Drain::spread_over(5 * SECOND).retry(Retry::between(SECOND, 3 * SECOND))
            }
        }
    }
}

/// Drills of a deployment, one at a time: some hundred clients lose their server, and come back to the
/// next.
#[derive(Clone)]
pub(super) struct Drills {
    stats: Stats,
    runs: watch::Sender<Runs>,
    running: Arc<Mutex<()>>,
}

/// The last drill of either kind.
#[derive(Clone, Default, Serialize)]
pub(super) struct Runs {
    storm: Option<Run>,
    spread: Option<Run>,
}

impl Runs {
    /// An event for a client that has seen the sample `seen`. It has that id again: at an event without
    /// one, the first of a connection, clients may forget theirs.
    pub(super) fn event(&self, seen: u64) -> Encoded {
        Encoded::try_new(Json::new(self).event("drill").id(seen)).unwrap()
    }
}

#[derive(Clone, Default, Serialize)]
struct Run {
    phase: Phase,
    clients: usize,
    /// How many came back in each second since the shutdown began.
    returned: Vec<usize>,
    /// After how many seconds the old server had ended all its streams and was gone.
    exited: Option<f64>,
}

#[derive(Clone, Copy, Default, Serialize)]
#[serde(rename_all = "lowercase")]
enum Phase {
    #[default]
    Opening,
    Draining,
    Over,
    Failed,
}

impl Run {
    fn reach(&mut self, since: Duration) {
        let seconds = since.as_secs() as usize + 1;
        if self.returned.len() < seconds {
            self.returned.resize(seconds, 0);
        }
    }

    fn came_back(&mut self, since: Duration) {
        self.reach(since);
        self.returned[since.as_secs() as usize] += 1;
    }

    fn is_over(&self) -> bool {
        self.exited.is_some() && self.returned.iter().sum::<usize>() >= self.clients
    }
}

impl Drills {
    pub(super) fn new(stats: &Stats) -> Self {
        Self { stats: stats.clone(), runs: watch::Sender::default(), running: Arc::default() }
    }

    /// What becomes of the drills, beginning with how they stand if there were any.
    pub(super) fn watch(&self) -> watch::Receiver<Runs> {
        let mut runs = self.runs.subscribe();
        let happened = runs.borrow().storm.is_some() || runs.borrow().spread.is_some();
        if happened {
            runs.mark_changed();
        }
        runs
    }

    /// Starts one, unless one is under way.
    pub(super) fn start(&self, kind: Kind) -> bool {
        let Ok(running) = Arc::clone(&self.running).try_lock_owned() else {
            return false;
        };
        let drills = self.clone();
        tokio::spawn(async move {
            let mut run = Run::default();
            let result = timeout(40 * SECOND, drills.drill(kind, &mut run)).await;
            if !matches!(result, Ok(Ok(()))) {
                run.phase = Phase::Failed;
                drills.tell(kind, &run);
            }
            drop(running);
        });
        true
    }

    async fn drill(&self, kind: Kind, run: &mut Run) -> io::Result<()> {
        let old = Generation::start(kind.drain(), &self.stats).await?;
        let mut clients = Clients::of(old.address());
        let mut ticks = interval(SECOND / 10);
        while run.clients < CLIENTS {
            // One after another, or they would come as a storm from the start.
            clients.add();
            clients.opened().await;
            run.clients += 1;
            if run.clients.is_multiple_of(20) {
                self.tell(kind, run);
            }
        }

        // Its streams end when the clients leave.
        let new = Generation::start(Drain::never(), &self.stats).await?;
        clients.turn_to(new.address());
        run.phase = Phase::Draining;
        let began = Instant::now();
        let mut exit = pin!(old.shut_down());
        while !run.is_over() {
            tokio::select! {
                exited = &mut exit, if run.exited.is_none() => {
                    exited?;
                    run.exited = Some(began.elapsed().as_secs_f64());
                }
                () = clients.opened() => run.came_back(began.elapsed()),
                _ = ticks.tick() => {
                    run.reach(began.elapsed());
                    self.tell(kind, run);
                }
            }
        }
        drop(clients);
        new.shut_down().await?;
        run.phase = Phase::Over;
        self.tell(kind, run);
        Ok(())
    }

    fn tell(&self, kind: Kind, run: &Run) {
        self.runs.send_modify(|runs| match kind {
            Kind::Storm => runs.storm = Some(run.clone()),
            Kind::Spread => runs.spread = Some(run.clone()),
        });
    }
}
