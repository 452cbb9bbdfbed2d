//! The part of the rig that starts programs: for packages without the dependencies of the rest.

#![allow(dead_code, unreachable_pub, unused_imports)]

pub mod openssl;
pub mod patience;
pub mod port;
pub mod process;
pub mod proxy;
pub mod tool;

pub use self::patience::{PATIENCE, soon, until, until_async};
pub use self::port::{free_port, listen};
pub use self::process::{Process, Program, node};
pub use self::proxy::{Proxy, find_envoy, find_newest_nginx, find_nginx};
pub use self::tool::{Directory, find, installed, package, skip, target};
