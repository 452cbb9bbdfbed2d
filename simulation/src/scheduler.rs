use fastrand::Rng;

/// How often things happen in a simulation, and how much time is between them.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// The weight of steps without a fault. If there are faults, their weight is from 2 to 13, or
    /// `calm` in a series.
    pub calm: u32,
    /// The maximum number of steps of a series. After its first step, which is a fault, faults are
    /// more likely and pauses shorter.
    pub series: u32,
    /// The longest pauses after steps, each as likely as another, in milliseconds.
    pub pauses: [u64; 20],
    /// The longest pauses after the steps of a series, in milliseconds.
    pub short_pauses: [u64; 2],
}

/// The processes and clients of one simulation, and what may happen to them.
#[allow(async_fn_in_trait)]
pub trait Scheduler {
    const PACE: Pace;

    /// Returns the generator of all random values.
    fn rng(&mut self) -> &mut Rng;

    /// Takes a step without a fault. `choice` is below [`Pace::calm`].
    async fn act(&mut self, choice: u32);

    async fn inject(&mut self);

    async fn pass(&mut self, milliseconds: u64);

    async fn play(&mut self, steps: usize, has_faults: bool) {
        let Pace { calm, series, pauses, short_pauses } = Self::PACE;
        let weight = if has_faults { self.rng().u32(2..14) } else { 0 };
        let mut left = 0;
        for _ in 0..steps {
            let in_series = left > 0;
            let choice = self.rng().u32(..calm + if in_series { calm } else { weight });
            if choice < calm {
                self.act(choice).await;
            } else {
                self.inject().await;
                if !in_series && self.rng().bool() {
                    left = self.rng().u32(1..series) + 1;
                }
            }
            left = left.saturating_sub(1);
            let pauses = if in_series { &short_pauses[..] } else { &pauses };
            let milliseconds = choose_time(self.rng(), pauses);
            self.pass(milliseconds).await;
        }
    }
}

/// Chooses a few of the kinds of faults for one simulation, so that faults of two given kinds
/// coincide more often.
pub fn choose_few<T>(rng: &mut Rng, kinds: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut kinds: Vec<_> = kinds.into_iter().collect();
    rng.shuffle(&mut kinds);
    kinds.truncate(rng.usize(1..5));
    kinds
}

/// Chooses one of `count` processes, which is `victim` most of the time.
pub fn choose_near(rng: &mut Rng, victim: usize, count: usize) -> usize {
    if rng.u8(..3) > 0 { victim } else { rng.usize(..count) }
}

/// Chooses one of these maximums, each as likely as another, and then a time up to it, in
/// milliseconds.
pub fn choose_time(rng: &mut Rng, longest: &[u64]) -> u64 {
    let longest = longest[rng.usize(..longest.len())];
    rng.u64(..=longest)
}
