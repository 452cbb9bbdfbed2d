//! How the layer ends streams whose source goes on: at the shutdown, at their maximum age, when the
//! program closes them, and after a long poll. Poll by poll, under a paused clock.

mod busy;
mod causes;
mod foreign;
mod goodbye;
mod long_poll;
mod max_age;
mod phases;
mod reader;
mod shutdown;
mod wakes;

use crate::support::naive::Place;
