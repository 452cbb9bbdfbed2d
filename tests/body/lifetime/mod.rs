//! How the layer ends streams whose source goes on: at the shutdown and at their maximum age, poll
//! by poll, under a paused clock.

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
