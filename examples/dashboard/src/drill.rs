use std::{io, pin::pin, sync::Arc, time::Duration};

use serde::Serialize;
use tokio::{
    sync::Mutex,
    time::{Instant, interval, timeout},
};
use tower_sse::{Drain, Event, Retry, hub::Hub, stats::Stats};

use super::{DRILLS, clients::Clients, generation::Generation};

/// The number of clients. Each takes two file descriptors of this process, whose limit may be a
/// thousand.
pub(super) const CLIENTS: usize = 200;

const SECOND: Duration = Duration::from_secs(1);

/// The way in which the old generation of a server drains its clients.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    /// All at once, with the same reconnection time. If the server sent no reconnection time, the
    /// clients would also return together.
    Storm,
    /// One after another, each with its own reconnection time.
    Spread,
}

impl Kind {
    fn drain(self) -> Drain {
        match self {
            Self::Storm => Drain::at_once().retry(SECOND),
            Self::Spread => {
                Drain::spread_over(5 * SECOND).retry(Retry::between(SECOND, 3 * SECOND))
            }
        }
    }
}

/// Drills of a deployment, one at a time: a few hundred clients lose their server and reconnect to
/// the next.
#[derive(Clone)]
pub(super) struct Drills {
    stats: Stats,
    hub: Hub,
    /// Locked by the drill that runs.
    runs: Arc<Mutex<Runs>>,
}

/// The last drill of each kind.
#[derive(Default, Serialize)]
struct Runs {
    storm: Option<Run>,
    spread: Option<Run>,
}

impl Runs {
    fn set(&mut self, kind: Kind, run: &Run) {
        let last = match kind {
            Kind::Storm => &mut self.storm,
            Kind::Spread => &mut self.spread,
        };
        *last = Some(run.clone());
    }
}

#[derive(Clone, Default, Serialize)]
struct Run {
    phase: Phase,
    clients: usize,
    /// The number of clients that reconnected in each second since the shutdown began.
    returned: Vec<usize>,
    /// The seconds after which the old server had ended all its streams and exited.
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
    pub(super) fn new(stats: &Stats, hub: &Hub) -> Self {
        Self { stats: stats.clone(), hub: hub.clone(), runs: Arc::default() }
    }

    /// Starts a drill, unless one is running.
    pub(super) fn start(&self, kind: Kind) -> bool {
        let Ok(mut runs) = Arc::clone(&self.runs).try_lock_owned() else {
            return false;
        };
        let Self { stats, hub, .. } = self.clone();
        tokio::spawn(async move {
            let mut run = Run::default();
            let mut tell = |run: &Run| {
                runs.set(kind, run);
                let event = Event::new().event("drill").json_data(&*runs).unwrap();
                _ = hub.publish_now(DRILLS, event).unwrap();
            };
            let result = timeout(40 * SECOND, drill(kind, &stats, &mut run, &mut tell)).await;
            if !matches!(result, Ok(Ok(()))) {
                run.phase = Phase::Failed;
                tell(&run);
            }
        });
        true
    }
}

async fn drill(
    kind: Kind,
    stats: &Stats,
    run: &mut Run,
    mut tell: impl FnMut(&Run),
) -> io::Result<()> {
    let old = Generation::start(kind.drain(), stats).await?;
    let mut clients = Clients::of(old.address());
    let mut ticks = interval(SECOND / 10);
    while run.clients < CLIENTS {
        // One after another, or they would connect as a storm.
        clients.add();
        clients.opened().await;
        run.clients += 1;
        if run.clients.is_multiple_of(20) {
            tell(run);
        }
    }

    // The new server's streams end when the clients leave.
    let new = Generation::start(Drain::never(), stats).await?;
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
                tell(run);
            }
        }
    }
    drop(clients);
    new.shut_down().await?;
    run.phase = Phase::Over;
    tell(run);
    Ok(())
}
