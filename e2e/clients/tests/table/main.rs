//! Runs common clients through situations that happen to streams. Run by `.ci/slow clients`. The
//! results are in docs/clients.md, which this test writes if `TOWER_SSE_CLIENT_TABLE` is `write`.

mod cells;
mod clients;
mod driver;
mod half;
mod kind;
mod origin;
mod situations;
mod table;
