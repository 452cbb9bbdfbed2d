//! The store against a real server, which each test starts.

mod access;
mod commands;
mod connections;
mod failures;
mod full;
mod gate;
mod mirrors;
mod process;
mod pushes;
mod relay;
mod server;
mod swap;

use std::{sync::Arc, time::Duration};

use tokio::time::{Instant, timeout};

use self::{process::*, server::Server};
use crate::runs::{
    Outcome,
    cluster::seam::{
        command::EndMode,
        inbox::Incoming,
        reply::{
            AppendReply, CheckReply, EndReply, Liveness, LookReply, Push, RenewReply, Reply,
            StoreError, SyncReply,
        },
        run_id::ProcessId,
        store::Connection,
    },
};
