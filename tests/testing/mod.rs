//! `testing`: the client and the streams that users test their handlers with.
#![cfg(feature = "testing")]

mod client;
mod panics;
mod stream;
