use std::sync::{Arc, Mutex};

/// The log of a simulation, if it is wanted.
#[derive(Clone, Debug)]
pub struct Log {
    lines: Option<Arc<Mutex<Vec<String>>>>,
}

impl Log {
    pub fn new(is_wanted: bool) -> Self {
        Self { lines: is_wanted.then(Arc::default) }
    }

    pub fn is_wanted(&self) -> bool {
        self.lines.is_some()
    }

    /// Adds a line with the milliseconds since the beginning.
    pub fn add(&self, elapsed: u64, line: impl FnOnce() -> String) {
        if let Some(lines) = &self.lines {
            let line = format!("{:3}.{:03}  {}", elapsed / 1000, elapsed % 1000, line());
            lines.lock().unwrap().push(line);
        }
    }

    pub fn take(&self) -> Vec<String> {
        let lines = self.lines.iter();
        lines.flat_map(|lines| std::mem::take(&mut *lines.lock().unwrap())).collect()
    }
}
