use std::{fmt::Display, future::poll_fn, pin::Pin, task::Poll, time::Duration};

use futures_core::Stream;
use tokio::time::timeout;
use tower_sse::hub::{Gap, Messages, Subscription};
use tower_sse::{LastEventId, decode::Message};

use super::{Fault, Problem, world::ensure};

/// A client of a process. All its waits are bounded.
pub(super) struct HubClient {
    process: &'static str,
    messages: Messages,
    pub(super) received: Vec<Message>,
}

impl HubClient {
    pub(super) fn new(process: &'static str, subscription: Subscription) -> Self {
        Self { process, messages: subscription.messages(), received: Vec::new() }
    }

    /// Returns the next message, or `None` at the end. `expected` appears in a [`Problem`]'s text.
    async fn next(&mut self, expected: &str) -> Result<Option<Message>, Problem> {
        let what = format!("process {}: {expected}", self.process);
        let next = poll_fn(|cx| Pin::new(&mut self.messages).poll_next(cx));
        let next = soon(what, next).await?;
        let message = next.map(|next| next.unwrap_or_else(|gap| message_of(&gap)));
        self.received.extend(message.clone());
        Ok(message)
    }

    pub(super) async fn message(&mut self, expected: &str) -> Result<Message, Problem> {
        match self.next(expected).await? {
            Some(message) => Ok(message),
            None => {
                let process = self.process;
                Err(Problem::new(format!("process {process}: stream ended before {expected}")))
            }
        }
    }

    /// Reads messages, which must be the events with these data.
    pub(super) async fn reads<I>(&mut self, expected: I) -> Result<(), Problem>
    where
        I: IntoIterator<Item: AsRef<str>>,
    {
        for data in expected {
            let message = self.message(&quoted(data.as_ref())).await?;
            ensure!(
                !is_gap(&message) && message.data == data.as_ref(),
                "process {}: received {} instead of {}",
                self.process,
                shown(&message),
                quoted(data.as_ref()),
            );
        }
        Ok(())
    }

    /// Reads up to the event with these data, whatever comes before it.
    pub(super) async fn read_until(&mut self, data: &str) -> Result<(), Problem> {
        let expected = quoted(data);
        loop {
            let message = self.message(&expected).await?;
            if !is_gap(&message) && message.data == data {
                return Ok(());
            }
        }
    }

    pub(super) async fn read_until_gap(&mut self) -> Result<(), Problem> {
        while !is_gap(&self.message("a gap").await?) {}
        Ok(())
    }

    pub(super) async fn reads_gap(&mut self) -> Result<(), Problem> {
        let message = self.message("a gap").await?;
        let (process, received) = (self.process, shown(&message));
        ensure!(is_gap(&message), "process {process}: received {received} instead of a gap");
        Ok(())
    }

    /// Checks that the stream ends without another message.
    pub(super) async fn ends(&mut self) -> Result<(), Problem> {
        match self.next("the end of the stream").await? {
            None => Ok(()),
            Some(message) => {
                let (process, received) = (self.process, shown(&message));
                Err(Problem::new(format!("process {process}: received {received} after the end")))
            }
        }
    }

    pub(super) fn last_event_id(&self) -> Option<LastEventId> {
        LastEventId::try_from(&*self.received.last()?.last_event_id).ok()
    }
}

/// Returns a message that stands for a gap. Its data is the topic, not the JSON that a client gets.
fn message_of(gap: &Gap) -> Message {
    let mut message = Message::new(gap.topic());
    message.event = "gap".into();
    message.last_event_id = gap.last_event_id().clone();
    message
}

/// Returns whether a message is the gap of a hub. No scene publishes an event named `gap`.
pub(super) fn is_gap(message: &Message) -> bool {
    message.event == "gap"
}

fn shown(message: &Message) -> String {
    if is_gap(message) {
        format!("a gap with id {}", message.last_event_id)
    } else {
        format!("{} with id {}", quoted(&message.data), message.last_event_id)
    }
}

/// Quotes data, shortened to a readable length.
pub(super) fn quoted(data: &str) -> String {
    const MAX_CHARS: usize = 60;
    match data.char_indices().nth(MAX_CHARS) {
        None => format!("{data:?}"),
        Some((end, _)) => format!("{:?}… ({} bytes)", &data[..end], data.len()),
    }
}

/// How long a scene waits for one thing, such as an event, a connection or a result.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Awaits a future for at most [`PATIENCE`].
pub(super) async fn soon<F: Future>(what: impl Display, future: F) -> Result<F::Output, Problem> {
    let late = |_| Problem::new(format_args!("{what} did not come within {PATIENCE:?}"));
    timeout(PATIENCE, future).await.map_err(late)
}

/// Yields to other futures `turns` times, then causes a fault.
pub(super) async fn after_turns(turns: usize, fault: Fault<'_>) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
    fault.await;
}

/// Polls a future up to `polls` times, letting other tasks run in between, then drops it. Returns
/// the output if the future was ready by then.
pub(super) async fn poll_and_drop<F: Future>(future: F, polls: usize) -> Option<F::Output> {
    let mut future = Box::pin(future);
    for _ in 0..polls {
        let poll = poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx)));
        if let Poll::Ready(output) = poll.await {
            return Some(output);
        }
        tokio::task::yield_now().await;
    }
    None
}
