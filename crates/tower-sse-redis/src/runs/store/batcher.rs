use std::time::Duration;

use redis::{Arg, Cmd, Pipeline, Value};
use tokio::sync::{mpsc, oneshot};
use tokio::{task::yield_now, time::Instant, time::sleep_until};
use tokio_util::sync::CancellationToken;

use crate::runs::seam::{Failure, spawn};
use crate::server::MultiplexedConnection;

/// The number of commands at which a pipeline is full. Those of the last call may exceed it.
pub(super) const MAX_COMMANDS: usize = 512;
/// The maximum size of a pipeline. The last call may exceed it. Other commands wait for the
/// pipeline, so over a slow link, a larger one would take longer than their replies may.
const MAX_BYTES: usize = 256 * 1024;
/// How long each command of a pipeline delays the next pipeline. Thousands of events a second share
/// pipelines, each of which costs the store four system calls.
const COMMAND_TIME: Duration = Duration::from_micros(250);
/// The minimum delay after a pipeline.
const MIN_TIME: Duration = Duration::from_millis(1);
/// The maximum delay of a pipeline.
const MAX_TIME: Duration = Duration::from_millis(4);
/// How much of these delays a quiet time saves, at most: the few commands that end a run need not
/// wait for each other.
const MAX_SAVED: Duration = Duration::from_millis(10);

/// Sends the calls that must use this session. Calls that are close to each other share a pipeline.
pub(super) struct Batcher {
    calls: mpsc::UnboundedSender<Call>,
}

/// Commands that are sent together.
struct Call {
    commands: Vec<Cmd>,
    reply: oneshot::Sender<Result<Vec<Value>, Failure>>,
}

impl Batcher {
    /// Sends over this connection until the session has `ended`. Ends the session itself if the
    /// connection breaks.
    pub(super) fn start(connection: MultiplexedConnection, ended: CancellationToken) -> Self {
        let (calls, receiver) = mpsc::unbounded_channel();
        spawn(send_all(receiver, connection, ended));
        Self { calls }
    }

    /// Sends commands and returns their replies. Each reply can be an error. Calls are sent in their
    /// order, whenever their futures are polled.
    pub(super) fn call(
        &self,
        commands: Vec<Cmd>,
    ) -> impl Future<Output = Result<Vec<Value>, Failure>> + use<> {
        let (reply, replied) = oneshot::channel();
        _ = self.calls.send(Call { commands, reply });
        // A call that is dropped was not sent.
        async { replied.await.unwrap_or(Err(Failure::Unavailable)) }
    }
}

async fn send_all(
    mut calls: mpsc::UnboundedReceiver<Call>,
    mut connection: MultiplexedConnection,
    ended: CancellationToken,
) {
    // Ends the session after a panic, too, because no other task sends its calls.
    let _ending = ended.clone().drop_guard();
    let mut begin_at = Instant::now();
    while let Some(first) = calls.recv().await {
        // Calls that arrive during this wait join the pipeline, and so do the calls of tasks that
        // became ready together with the first caller's. The condition is needed because a timer in
        // the past fires up to a millisecond late.
        if begin_at > Instant::now() {
            sleep_until(begin_at).await;
        }
        yield_now().await;
        if ended.is_cancelled() {
            return;
        }
        let (mut pipeline, mut bytes, mut replies) = (Pipeline::new(), 0, Vec::new());
        let mut next = Some(first);
        while let Some(Call { commands, reply }) = next {
            replies.push((commands.len(), reply));
            bytes += commands.iter().map(size).sum::<usize>();
            commands.into_iter().for_each(|command| _ = pipeline.add_command(command));
            let is_full = pipeline.len() >= MAX_COMMANDS || bytes >= MAX_BYTES;
            next = if is_full { None } else { calls.try_recv().ok() };
        }
        let commands = u32::try_from(pipeline.len()).unwrap_or(u32::MAX);
        let now = Instant::now();
        let earliest = begin_at.max(now.checked_sub(MAX_SAVED).unwrap_or(now));
        let time = COMMAND_TIME.saturating_mul(commands).max(MIN_TIME);
        begin_at = (earliest + time).min(now + MAX_TIME);
        // Calls that arrive meanwhile wait for the replies, so only few commands are sent but not
        // yet executed.
        let Ok(values) = connection.send_packed_commands(&pipeline, 0, pipeline.len()).await else {
            // The server may still execute the commands. The next session first makes the server
            // close this connection, so that they do not run after later commands.
            replies.into_iter().for_each(|(_, reply)| _ = reply.send(Err(Failure::Lost)));
            return;
        };
        let mut values = values.into_iter();
        for (commands, reply) in replies {
            _ = reply.send(Ok(values.by_ref().take(commands).collect()));
        }
    }
}

fn size(command: &Cmd) -> usize {
    let sizes = command.args_iter().map(|argument| match argument {
        Arg::Simple(bytes) => bytes.len(),
        _ => 0,
    });
    sizes.sum()
}
