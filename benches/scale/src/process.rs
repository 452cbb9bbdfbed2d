use std::io::{self, BufRead, BufReader, Read};
use std::process::{self, Child, Command, Stdio};
use std::sync::{OnceLock, mpsc};
use std::{fs, net::SocketAddr, thread, time::Duration};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::{time::clock_getcpuclockid, unistd::Pid};

/// A server in its own process. Dropping this value ends the server.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

/// The processor time that a process has used.
#[derive(Clone, Copy)]
pub struct CpuTime {
    pub total_ns: u64,
    /// The resolution is the kernel's clock tick, 10 ms.
    pub user_ns: u64,
}

impl Server {
    /// Starts the server on the first processor and moves the calling thread to the second.
    pub fn start(command: Command) -> io::Result<Self> {
        let [first, second] = two_processors()?;
        // Move before the start: threads that the server starts at once inherit the processor.
        move_to(first)?;
        let child = spawn(command);
        move_to(second)?;
        Self::listening(child?)
    }

    /// Moves the calling thread to the second processor, and starts a server there that is not
    /// measured.
    pub fn start_beside(command: Command) -> io::Result<Self> {
        let [_, second] = two_processors()?;
        move_to(second)?;
        Self::listening(spawn(command)?)
    }

    fn listening(mut child: Child) -> io::Result<Self> {
        let stdout = child.stdout.take().ok_or(io::ErrorKind::BrokenPipe)?;
        let mut server = Self { child, address: ([127, 0, 0, 1], 0).into() };
        let (sender, receiver) = mpsc::channel();
        thread::spawn(move || {
            let mut line = String::new();
            let mut stdout = BufReader::new(stdout);
            _ = stdout.read_line(&mut line);
            _ = sender.send(line);
            // A server that prints more would otherwise panic.
            _ = io::copy(&mut stdout, &mut io::sink());
        });
        let line = receiver.recv_timeout(Duration::from_secs(20)).unwrap_or_default();
        let address = line.trim().strip_prefix("listening on ");
        let address = address.map(|address| address.trim_start_matches("http://").parse());
        match address {
            Some(Ok(address)) => {
                server.address = address;
                Ok(server)
            }
            _ => Err(io::Error::other(format!("the server did not start: {line:?}"))),
        }
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Returns the processor time of all threads of the server.
    pub fn cpu_time(&self) -> io::Result<CpuTime> {
        let pid = Pid::from_raw(self.child.id() as i32);
        let total = clock_getcpuclockid(pid)?.now()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // The name of the process comes before these fields and may contain anything.
        let fields = stat.rsplit(')').next().unwrap_or_default();
        let user = fields.split_whitespace().nth(11).and_then(|ticks| ticks.parse::<u64>().ok());
        Ok(CpuTime {
            total_ns: total.tv_sec() as u64 * 1_000_000_000 + total.tv_nsec() as u64,
            user_ns: user.ok_or_else(|| io::Error::other("no user time"))? * 10_000_000,
        })
    }

    pub fn resident_kib(&self) -> io::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok())
            .ok_or_else(|| io::Error::other("no resident size"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

fn spawn(mut command: Command) -> io::Result<Child> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()
}

/// Ends this process, which is a server, together with the benchmark.
pub fn end_with_parent() {
    thread::spawn(|| {
        _ = io::stdin().read_to_end(&mut Vec::new());
        process::exit(0);
    });
}

fn two_processors() -> io::Result<[usize; 2]> {
    // Read once: after `move_to`, the set has only one processor.
    static PROCESSORS: OnceLock<Option<[usize; 2]>> = OnceLock::new();
    let found = PROCESSORS.get_or_init(|| {
        let allowed = sched_getaffinity(Pid::from_raw(0)).ok()?;
        let mut allowed = (0..CpuSet::count()).filter(|&at| allowed.is_set(at) == Ok(true));
        Some([allowed.next()?, allowed.next()?])
    });
    found.ok_or_else(|| io::Error::other("two processors are wanted"))
}

fn move_to(processor: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(processor)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Raises the limit of open files to what the system allows, here and in the servers.
pub fn raise_open_files() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}
