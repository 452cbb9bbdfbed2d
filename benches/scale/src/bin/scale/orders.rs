use std::io::{self, BufRead, BufReader, Write};
use std::{net::TcpStream, thread::sleep, time::Duration, time::Instant};

use tower_sse_scale::{client::PATIENCE, process::Server};

/// Waits until the server is almost idle, or until [`PATIENCE`] has passed. Returns the processor
/// time that the server has used.
pub(crate) fn settle(server: &Server) -> io::Result<u64> {
    let start = Instant::now();
    let mut last = server.cpu_time()?.total_ns;
    loop {
        sleep(Duration::from_millis(300));
        let now = server.cpu_time()?.total_ns;
        // The task that watches the thread always uses some processor time.
        if now - last < 15_000_000 || start.elapsed() > PATIENCE {
            return Ok(now);
        }
        last = now;
    }
}

/// The connection over which the server gets its orders.
pub(crate) struct Orders(BufReader<TcpStream>);

impl Orders {
    pub(crate) fn connect(server: &Server) -> io::Result<Self> {
        let connection = TcpStream::connect(server.address)?;
        connection.set_read_timeout(Some(PATIENCE))?;
        Ok(Self(BufReader::new(connection)))
    }

    pub(crate) fn send(&mut self, order: &str) -> io::Result<()> {
        self.0.get_mut().write_all(format!("{order}\n").as_bytes())
    }

    pub(crate) fn answer(&mut self) -> io::Result<u64> {
        let mut line = String::new();
        self.0.read_line(&mut line)?;
        line.trim().parse().map_err(|_| io::Error::other("the server has not obeyed"))
    }

    pub(crate) fn give(&mut self, order: &str) -> io::Result<u64> {
        self.send(order)?;
        self.answer()
    }
}
