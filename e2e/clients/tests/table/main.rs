//! Clients that programs use, and what happens to their streams: `.ci/slow clients`. What was seen is in docs/clients.md,
//! which this writes if `TOWER_SSE_CLIENT_TABLE` is `write`.

mod cells;
mod clients;
mod driver;
mod half;
mod kind;
mod origin;
mod situations;
mod table;
