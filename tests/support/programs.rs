//! The part of the rig that starts programs: for packages without the dependencies of the rest.

#![allow(dead_code, unreachable_pub, unused_imports)]

pub mod exchange;
pub mod openssl;
pub mod patience;
pub mod port;
pub mod process;
pub mod proxy;
pub mod tool;

pub use self::{exchange::*, patience::*, port::*, process::*, proxy::*, tool::*};
