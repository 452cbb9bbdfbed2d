use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf},
    sync::mpsc::UnboundedReceiver,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    lua::allows_oom,
    network::Network,
    pubsub,
    resp::{Command, Reply, take_command},
    state::{Cut, Machine, Refusal, State},
};

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
                let is_held = link.is_cut_off || (has_entries && link.holds_reads);
                (!is_held).then_some(())
            };
            self.network.until(is_free).await;
            if writing.write_all(&bytes).await.is_err() {
                return;
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
            if !matches!(reading.read_buf(&mut input).await, Ok(1..)) {
                self.ended.cancel();
                return;
            }
        }
    }

    /// Executes a command. Returns `None` if the connection breaks.
    async fn answer(&self, command: &Command) -> Option<Sent> {
        self.network.count_command().await;
        self.network.travel(self.process).await;
        let machine = self.machine;
        let is_running = |state: &mut State| (!state.machines[machine].is_paused).then_some(());
        self.network.until(is_running).await;
        // The commands with which the client sets up a connection are of no interest.
        let is_setup = matches!(&command[0][..], b"CLIENT" | b"HELLO");
        let cut = if is_setup { None } else { self.take_cut() };
        if cut == Some(Cut::BeforeCommand) {
            self.network.log(|| format!("{} breaks before {}", self.number, text(command)));
            return None;
        }
        let reply = self.execute(command);
        let (number, process) = (self.number, self.process);
        self.network.log(|| {
            format!("{number} (process {process}): {} = {}", text(command), reply_text(&reply))
        });
        if cut == Some(Cut::AfterCommand) {
            self.network.log(|| format!("{number} breaks after {}", text(command)));
            return None;
        }
        let has_entries = command[0] == b"XRANGE";
        let delay = {
            let mut state = self.network.lock();
            let delay = if has_entries { state.links[process].read_delay } else { 0 };
            state.next_latency() + delay
        };
        let mut bytes = Vec::new();
        reply.encode(&mut bytes);
        Some(Sent { due: Instant::now() + Duration::from_millis(delay), bytes, has_entries })
    }

    fn take_cut(&self) -> Option<Cut> {
        self.network.lock().connections[self.number].cut_at.take()
    }

    fn execute(&self, command: &Command) -> Reply {
        let mut state = self.network.lock();
        let now = self.network.now(&state, self.machine);
        let machine = &mut state.machines[self.machine];
        if let Some(error) = machine.refusal.and_then(|refusal| refuse(refusal, machine, command)) {
            return Reply::Error(error.to_owned());
        }
        if let Some(reply) = pubsub::execute(&mut state, self.number, command) {
            return reply;
        }
        let machine = &mut state.machines[self.machine];
        let mut reply = machine.server.execute(now, command);
        if let (b"INFO", Some(Refusal::ReadOnly), Reply::Bulk(text)) =
            (&command[0][..], machine.refusal, &mut reply)
        {
            *text = String::from_utf8_lossy(text).replace("role:master", "role:slave").into();
        }
        pubsub::deliver(&mut state, self.machine);
        reply
    }
}

/// Returns the error with which a server in this state answers a command.
fn refuse(refusal: Refusal, machine: &Machine, command: &Command) -> Option<&'static str> {
    let name = &command[0][..];
    let is_write = matches!(name, b"XADD" | b"XTRIM" | b"EVALSHA");
    let is_allowed_without_memory = match name {
        b"XTRIM" => true,
        b"EVALSHA" => machine.server.scripts.get(&command[1]).is_some_and(|text| allows_oom(text)),
        _ => false,
    };
    let is_refused = match refusal {
        Refusal::Loading => !matches!(name, b"CLIENT" | b"HELLO" | b"INFO"),
        Refusal::OutOfMemory => is_write && !is_allowed_without_memory,
        Refusal::ReadOnly | Refusal::NoReplicas => is_write,
    };
    is_refused.then_some(match refusal {
        Refusal::OutOfMemory => "OOM command not allowed when used memory > 'maxmemory'.",
        Refusal::ReadOnly => "READONLY You can't write against a read only replica.",
        Refusal::Loading => "LOADING Redis is loading the dataset in memory",
        Refusal::NoReplicas => "NOREPLICAS Not enough good replicas to write.",
    })
}

fn text(command: &Command) -> String {
    let is_script = command[0] == b"SCRIPT";
    let parts = command.iter().enumerate().filter(|(index, _)| !(is_script && *index == 2));
    let parts: Vec<_> = parts.map(|(_, part)| String::from_utf8_lossy(part)).collect();
    parts.join(" ").replace("\n", "|")
}

fn reply_text(reply: &Reply) -> String {
    let mut bytes = Vec::new();
    reply.encode(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    // Lengths say nothing.
    let lines =
        text.split("\r\n").filter(|line| !line.starts_with(['$', '*']) || line.ends_with("-1"));
    lines.collect::<Vec<_>>().join(" ").replace("\n", "|")
}
