use super::{
    cluster::Cluster,
    command::{Command, End, EndMode},
    reply::{EndReply, LookReply, Reply, StoreError},
    run_id::RunId,
};
use crate::runs::RunKey;

/// Single commands, each with the reply that belongs to it.
impl Cluster {
    pub(crate) async fn look(&self, key: &RunKey) -> Result<LookReply, StoreError> {
        self.look_up(Command::Look(key.clone())).await
    }

    /// Executes a `Look` or a `Claim`.
    pub(crate) async fn look_up(&self, command: Command) -> Result<LookReply, StoreError> {
        match self.one(command).await? {
            Reply::Look(reply) => Ok(reply),
            other => Err(mismatch(&other)),
        }
    }

    pub(crate) async fn end(&self, run: &RunId, mode: EndMode) -> Result<EndReply, StoreError> {
        match self.one(Command::End(End { run: run.clone(), mode })).await? {
            Reply::End(reply) => Ok(reply),
            other => Err(mismatch(&other)),
        }
    }

    async fn one(&self, command: Command) -> Result<Reply, StoreError> {
        let results = self.store.execute(None, vec![command]).await;
        results.into_iter().next().unwrap_or_else(|| Err(StoreError::Lost("no reply".into())))
    }
}

fn mismatch(reply: &Reply) -> StoreError {
    StoreError::Run(format!("unexpected reply {reply:?}").into())
}
