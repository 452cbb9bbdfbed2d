use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::{sync::mpsc::UnboundedReceiver, time::timeout};

use super::{resp::take_command, *};

/// The number of bytes after which another connection can use a slow link.
const SEGMENT: usize = 8 << 10;

/// The server's end of a connection. Commands take effect in order, while earlier replies may still
/// be on their way.
#[derive(Clone)]
pub(super) struct Serving {
    pub(super) network: Network,
    pub(super) number: usize,
    pub(super) process: usize,
    pub(super) machine: usize,
    pub(super) ended: CancellationToken,
}

/// A reply or a message on its way to the process.
pub(super) struct Sent {
    pub(super) due: Instant,
    pub(super) bytes: Vec<u8>,
    pub(super) has_entries: bool,
}

impl Serving {
    pub(super) fn spawn(self, stream: DuplexStream, sent: UnboundedReceiver<Sent>) {
        let (reading, writing) = tokio::io::split(stream);
        let ended = self.ended.clone();
        let deliver = self.clone().deliver(writing, sent);
        tokio::spawn(ended.clone().run_until_cancelled_owned(deliver));
        tokio::spawn(ended.run_until_cancelled_owned(self.serve(reading)));
    }

    async fn deliver(
        self,
        mut writing: WriteHalf<DuplexStream>,
        mut sent: UnboundedReceiver<Sent>,
    ) {
        while let Some(Sent { due, bytes, has_entries }) = sent.recv().await {
            sleep_until(due).await;
            let is_free = |state: &mut State| {
                let link = &state.links[self.process];
                let is_held = link.is_cut_off
                    || state.connections[self.number].drops_packets
                    || (has_entries && link.holds_reads);
                (!is_held).then_some(())
            };
            self.network.until(is_free).await;
            // Connections that share a slow link take turns.
            let is_limited = self.network.lock().links[self.process].bandwidth.is_some();
            for part in bytes.chunks(if is_limited { SEGMENT } else { usize::MAX }) {
                self.network.pass(self.process, Direction::ToProcess, part.len()).await;
                if writing.write_all(part).await.is_err() {
                    return;
                }
            }
        }
    }

    async fn serve(self, mut reading: ReadHalf<DuplexStream>) {
        let mut input = Vec::new();
        loop {
            while let Some(command) = take_command(&mut input) {
                let Some(sent) = self.answer(&command).await else {
                    self.ended.cancel();
                    return;
                };
                _ = self.network.lock().connections[self.number].sending.send(sent);
            }
            let Ok(read @ 1..) = reading.read_buf(&mut input).await else {
                self.ended.cancel();
                return;
            };
            self.network.pass(self.process, Direction::ToServer, read).await;
            // Commands that were read together have the same latency.
            self.network.travel(self.process).await;
            let number = self.number;
            let passes =
                |state: &mut State| (!state.connections[number].drops_packets).then_some(());
            self.network.until(passes).await;
        }
    }

    /// Executes a command. Returns `None` if the connection breaks.
    async fn answer(&self, command: &Command) -> Option<Sent> {
        self.network.count_command().await;
        let machine = self.machine;
        let is_running = |state: &mut State| (!state.machines[machine].is_paused).then_some(());
        self.network.until(is_running).await;
        // The commands that set up a connection do not trigger its pending cut.
        let is_setup = matches!(&command[0][..], b"CLIENT" | b"HELLO");
        let take = |state: &mut State| state.connections[self.number].cut_at.take();
        let cut = if is_setup { None } else { take(&mut self.network.lock()) };
        if cut == Some(Cut::BeforeCommand) {
            self.network.log(|| format!("{} breaks before {}", self.number, text(command)));
            return None;
        }
        self.network.reach_command();
        let reply = self.execute(command).await;
        let (number, process) = (self.number, self.process);
        self.network
            .log(|| format!("{number} (process {process}): {} = {}", text(command), reply.text()));
        if cut == Some(Cut::AfterCommand) {
            self.network.log(|| format!("{number} breaks after {}", text(command)));
            return None;
        }
        let has_entries = self.reads_entries(command);
        let delay = {
            let mut state = self.network.lock();
            let delay = if has_entries { state.links[process].read_delay } else { 0 };
            if !has_entries && matches!(&reply, Reply::Error(text) if text.starts_with("MOVED")) {
                state.count_redirect(number);
            }
            state.next_latency() + delay
        };
        let mut bytes = Vec::new();
        reply.encode(&mut bytes);
        Some(Sent { due: Instant::now() + Duration::from_millis(delay), bytes, has_entries })
    }

    /// Returns whether a command reads entries of a stream: `XREAD`, `XRANGE`, or a loaded script
    /// with `XRANGE`.
    fn reads_entries(&self, command: &Command) -> bool {
        match &command[0][..] {
            b"XREAD" | b"XRANGE" => true,
            b"EVALSHA" => {
                let state = self.network.lock();
                let script = state.machines[self.machine].server.scripts.get(&command[1]);
                let read = b"'XRANGE'";
                script.is_some_and(|text| text.windows(read.len()).any(|part| part == read))
            }
            _ => false,
        }
    }

    async fn execute(&self, command: &Command) -> Reply {
        let milliseconds = match self.network.change(|state| self.execute_in(state, command)) {
            Outcome::Reply(reply) => return reply,
            Outcome::Blocked { milliseconds } => milliseconds,
        };
        let changes = |state: &State| state.machines[self.machine].server.changes;
        let mut seen = changes(&self.network.lock());
        let served = self.network.until(|state| {
            if state.machines[self.machine].is_paused || changes(state) == seen {
                return None;
            }
            seen = changes(state);
            match self.execute_in(state, command) {
                Outcome::Reply(reply) => Some(reply),
                Outcome::Blocked { .. } => None,
            }
        });
        let served = timeout(Duration::from_millis(milliseconds), served).await;
        served.unwrap_or(Reply::NilArray)
    }

    fn execute_in(&self, state: &mut State, command: &Command) -> Outcome {
        if let Some(moved) = state.redirect(self.number, command) {
            return Outcome::Reply(moved);
        }
        let server = &state.machines[self.machine].server;
        if server.refused(command).is_none()
            && let Some(reply) = pubsub::execute(state, self.number, command)
        {
            return Outcome::Reply(reply);
        }
        let now = self.network.now(state, self.machine);
        let outcome = state.machines[self.machine].server.execute(now, command);
        state.record(self.machine, self.network.elapsed(), command, &outcome);
        pubsub::deliver(state, self.machine);
        outcome
    }
}

/// Returns the text of a command, but leaves out the text of a script.
fn text(command: &Command) -> String {
    let script = match &command[0][..] {
        b"EVAL" => Some(1),
        b"SCRIPT" => Some(2),
        _ => None,
    };
    let parts = command.iter().enumerate().filter(|(index, _)| Some(*index) != script);
    let parts: Vec<_> = parts.map(|(_, part)| String::from_utf8_lossy(part)).collect();
    parts.join(" ").replace('\n', "|")
}
