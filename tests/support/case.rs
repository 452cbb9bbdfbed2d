use std::{fmt::Display, thread};

/// The case that a test of a table is at.
pub struct Case(String);

/// Names the current case of a table. The name is printed if the test fails before this is dropped.
#[must_use]
pub fn case(name: impl Display) -> Case {
    Case(name.to_string())
}

impl Drop for Case {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("in the case {}", self.0);
        }
    }
}
