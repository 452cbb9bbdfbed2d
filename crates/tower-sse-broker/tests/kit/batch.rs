//! Combines events that are published at the same time into a batch, with at most one flaw.

use tokio::{spawn, sync::oneshot};

use crate::local::Flaw;
use crate::log::{COMMENT, ENDS, NAME, RETRY};
use crate::*;

/// An event's number and time.
type Number = (u64, Duration);

/// A process's events that are waiting to be written.
#[derive(Clone, Default)]
pub(super) struct Batch(Arc<Mutex<Waiting>>);

/// Events, each with the sender that returns its number and time to its publisher.
type Waiting = Vec<(Value, oneshot::Sender<Number>)>;

impl Batch {
    /// Writes an event together with those that are published before the task that writes runs.
    pub(super) async fn publish(
        &self,
        local: &Arc<Log>,
        flaw: Flaw,
        fields: Value,
    ) -> Result<Acknowledged, PublishError> {
        let (answer, answered) = oneshot::channel();
        let is_first = {
            let mut waiting = self.0.lock().unwrap();
            waiting.push((fields, answer));
            waiting.len() == 1
        };
        if is_first {
            let (batch, log) = (self.clone(), Arc::clone(local));
            let writing = spawn(async move { batch.write(&log, flaw) });
            if flaw == Flaw::LeaderDropped {
                send(writing.await.unwrap());
            } else {
                spawn(async move { send(writing.await.unwrap()) });
            }
        }
        match answered.await {
            Ok((number, at)) => Ok(Acknowledged::new(number, at)),
            Err(_) => Err(PublishError::Refused("the batch has no result".into())),
        }
    }

    /// Writes the batch. Returns the events' senders and the numbers to send.
    fn write(&self, log: &Log, flaw: Flaw) -> Vec<(oneshot::Sender<Number>, Number)> {
        let (mut fields, answers): (Vec<_>, Vec<_>) =
            mem::take(&mut *self.0.lock().unwrap()).into_iter().unzip();
        spoil(&mut fields, flaw);
        let numbers = fields.iter().map(|fields| log.append(Some(fields.to_string())));
        answers.into_iter().zip(numbers).collect()
    }
}

fn send(answers: Vec<(oneshot::Sender<Number>, Number)>) {
    answers.into_iter().for_each(|(answer, number)| _ = answer.send(number));
}

/// Changes the fields of a batch as a broker with this flaw would.
fn spoil(batch: &mut [Value], flaw: Flaw) {
    let column = |field: usize| batch.iter().map(move |fields| fields[field].clone());
    match flaw {
        Flaw::NamesShiftInBatch => {
            let names: Vec<_> = column(NAME).filter(|name| !name.is_null()).collect();
            let names = names.into_iter().chain(std::iter::repeat(Value::Null));
            batch.iter_mut().zip(names).for_each(|(fields, name)| fields[NAME] = name);
        }
        Flaw::StickyCommentInBatch => {
            let mut comment = Value::Null;
            for fields in batch {
                match &fields[COMMENT] {
                    Value::Null => fields[COMMENT] = comment.clone(),
                    other => comment = other.clone(),
                }
            }
        }
        Flaw::RetryOfBatch => {
            let retry = column(RETRY).next_back();
            batch.iter_mut().for_each(|fields| fields[RETRY] = json!(retry));
        }
        Flaw::EndFlagOfBatch => {
            let ends = column(ENDS).next();
            batch.iter_mut().for_each(|fields| fields[ENDS] = json!(ends));
        }
        _ => {}
    }
}
