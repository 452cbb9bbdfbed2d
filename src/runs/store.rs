//! The interface between runs and the store that processes share, for `tower-sse-redis`. Exempt from
//! semantic versioning.

pub use super::cluster::seam::{
    command::{Append, Batch, Check, Command, End, EndMode, Renew, Sync, Trim},
    inbox::{Inbox, Incoming},
    reply::{
        AppendReply, CheckReply, EndReply, Liveness, LookReply, Page, Push, RenewReply, Reply,
        StoreError, StoredEnd, SyncReply,
    },
    run_id::{ProcessId, RunId},
    store::{Connect, Connection, Overhead, Pending, Settings, Store},
};
pub use super::cluster::timing::kept_for;
pub use crate::history::Epoch;
