use redis::Pipeline;

use super::{
    decode::decode,
    encode::{Encoder, parts},
    link::Link,
    session::Session,
};
use crate::runs::seam::{
    command::Command,
    reply::{Failure, Reply},
};

/// Sending commands in pipelines.
impl Link {
    /// Executes commands. Loads the scripts again if the server has lost them.
    pub(super) async fn execute(
        &self,
        connection: Option<u64>,
        commands: &[Command],
    ) -> Vec<Result<Reply, Failure>> {
        // The Redis client takes a pipeline without commands for an error, which would end the session.
        if commands.is_empty() {
            return Vec::new();
        }
        let session = match self.session() {
            Ok(session) if connection.is_none_or(|number| number == session.number) => session,
            _ => return vec![Err(Failure::Unavailable); commands.len()],
        };
        let mut results = self.send(&session, commands).await;
        let is_missing = |result: &Result<_, Failure>| matches!(result, Err(Failure::NoScript));
        if results.iter().any(is_missing) && session.load_scripts().await.is_ok() {
            let missing = || results.iter().map(is_missing);
            let again = commands.iter().zip(missing()).filter(|(_, is_missing)| *is_missing);
            let again: Vec<_> = again.map(|(command, _)| command.clone()).collect();
            let again = self.send(&session, &again).await;
            let slots = results.iter_mut().filter(|result| is_missing(result));
            slots.zip(again).for_each(|(slot, result)| *slot = result);
        }
        results
    }

    /// Sends commands in one pipeline.
    async fn send(&self, session: &Session, commands: &[Command]) -> Vec<Result<Reply, Failure>> {
        let is_new = session.opened.elapsed() < self.endpoint.scope.lease * 2;
        let encoder = Encoder { scope: &self.endpoint.scope, hashes: &session.hashes, is_new };
        let mut pipeline = Pipeline::with_capacity(commands.len());
        parts(commands).for_each(|part| encoder.encode(part, &mut pipeline));
        let mut replies = match session.send_all(&pipeline).await {
            Ok(replies) => replies.into_iter(),
            Err(_) => return vec![Err(Failure::Lost); commands.len()],
        };
        let mut results = Vec::with_capacity(commands.len());
        parts(commands).for_each(|part| decode(part, &mut replies, &mut results));
        if results.contains(&Err(Failure::WrongServer)) {
            session.ended.cancel();
        }
        results
    }
}
