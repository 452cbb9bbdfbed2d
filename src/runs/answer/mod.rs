//! Answering requests from runs: the response of each client, and its body.
//!
//! - [`answer`] attaches a client to a run and returns its response, according to the table in
//!   [`Runs`](crate::runs::Runs#answers).
//! - [`Attachment`] is the stream of one client's events, and [`AnswerBody`] the body that has it.

mod attachment;
mod body;
mod response;
mod start_error;

pub(crate) use self::response::{Requester, answer, bad_request, ended_before_answer, not_found};
pub use self::{
    attachment::Attachment,
    body::{AnswerBody, RunBody},
};
