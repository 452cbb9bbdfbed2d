use ::redis::Cmd;

use super::{
    decode::decode,
    encode::{Encoder, parts, reply_count},
    failure::{Class, Failure},
    session::Session,
    store::Inner,
};
use crate::runs::cluster::{
    command::Command,
    reply::{Reply, StoreError},
};

/// The maximum number of commands of Redis in one pipeline.
const MAX_COMMANDS: usize = 512;
/// The maximum number of bytes in one pipeline, unless one command has more.
const MAX_BYTES: usize = 1024 * 1024;
/// An estimate of a command's size besides its events.
const COMMAND_SIZE: usize = 512;

/// Sending commands in pipelines.
impl Inner {
    pub(super) async fn execute(
        &self,
        connection: Option<u64>,
        commands: &[Command],
    ) -> Vec<Result<Reply, StoreError>> {
        let session = self.session().and_then(|session| match connection {
            Some(number) if number != session.number => {
                Err(StoreError::Unavailable("the connection has been replaced".into()))
            }
            _ => Ok(session),
        });
        let session = match session {
            Ok(session) => session,
            Err(error) => return vec![Err(error); commands.len()],
        };
        let mut results = Vec::with_capacity(commands.len());
        let mut rest = commands;
        while let Some((pipeline, later)) = rest.split_at_checked(pipeline_len(rest)) {
            if pipeline.is_empty() {
                break;
            }
            if session.ended.is_cancelled() {
                let error = StoreError::Unavailable(self.link.reason());
                results.extend(pipeline.iter().map(|_| Err(error.clone())));
            } else {
                results.extend(self.send(&session, pipeline).await);
            }
            rest = later;
        }
        results
    }

    /// Sends commands in one pipeline. Loads the scripts again if the server has lost them.
    async fn send(
        &self,
        session: &Session,
        commands: &[Command],
    ) -> Vec<Result<Reply, StoreError>> {
        let mut results = self.send_once(session, commands).await;
        let is_missing = |result: &Result<Reply, Failure>| matches!(result, Err(failure) if failure.class == Class::NoScript);
        let missing: Vec<usize> =
            (0..results.len()).filter(|at| results.get(*at).is_some_and(is_missing)).collect();
        if !missing.is_empty() && session.load_scripts().await.is_ok() {
            let again: Vec<_> =
                missing.iter().filter_map(|at| commands.get(*at)).cloned().collect();
            for (at, result) in missing.into_iter().zip(self.send_once(session, &again).await) {
                if let Some(slot) = results.get_mut(at) {
                    *slot = result;
                }
            }
        }
        results.into_iter().map(|result| result.map_err(StoreError::from)).collect()
    }

    async fn send_once(
        &self,
        session: &Session,
        commands: &[Command],
    ) -> Vec<Result<Reply, Failure>> {
        let encoder = self.encoder(session);
        let mut encoded: Vec<Cmd> = Vec::with_capacity(commands.len());
        parts(commands).for_each(|part| encoder.encode(part, &mut encoded));
        let mut replies = match session.send_all(encoded).await {
            Ok(replies) => replies.into_iter(),
            Err(error) => {
                return vec![Err(Failure::lost(&error)); commands.len()];
            }
        };
        let mut results = Vec::with_capacity(commands.len());
        parts(commands).for_each(|part| decode(part, &mut replies, &mut results));
        let is_of_wrong_server = |failure: &Failure| failure.class == Class::WrongServer;
        if results.iter().filter_map(|result| result.as_ref().err()).any(is_of_wrong_server) {
            session.ended.cancel();
        }
        results
    }

    fn encoder<'a>(&'a self, session: &'a Session) -> Encoder<'a> {
        Encoder {
            keys: &self.keys,
            hashes: &session.hashes,
            process: &self.process,
            lease: self.lease,
            kept_for: self.kept_for,
            is_new: session.opened.elapsed() < self.lease * 2,
        }
    }
}

/// Returns the number of commands that fit into one pipeline, at least 1 if there are any.
fn pipeline_len(commands: &[Command]) -> usize {
    let (mut count, mut bytes) = (0, 0);
    let fits = |command: &&Command| {
        count += reply_count(command);
        bytes += size(command);
        count <= MAX_COMMANDS && bytes <= MAX_BYTES
    };
    commands.iter().take_while(fits).count().max(usize::from(!commands.is_empty()))
}

/// Returns the approximate size of a command. A batch that is pushed is sent twice.
fn size(command: &Command) -> usize {
    match command {
        Command::Append(append) => {
            (1 + usize::from(append.pushes)) * (append.batch.bytes.len() + COMMAND_SIZE)
        }
        _ => COMMAND_SIZE,
    }
}
