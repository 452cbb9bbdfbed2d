use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::{env, fs, io, os::unix::fs::chown, os::unix::process::CommandExt, sync::Mutex};

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{WaitPidFlag, waitpid};
use nix::unistd::{Pid, geteuid};
use tokio::{spawn, time::Instant};
use tokio_postgres::{Client, NoTls, SimpleQueryMessage};
use tower_sse_postgres::{Postgres, PostgresBroker};

use crate::support::{Directory, PATIENCE, free_port, skip};

/// The id of `nobody` on most systems. PostgreSQL refuses to run as root.
pub(crate) const NOBODY: u32 = 65_534;
/// Where Debian installs PostgreSQL's programs.
const DEBIAN: &str = "/usr/lib/postgresql";

/// A PostgreSQL server with its own directory and port. Dropping this value stops the server.
pub(crate) struct Server {
    process: Option<Child>,
    pub(crate) port: u16,
    directory: Directory,
    options: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Rolls back all transactions and writes a checkpoint.
    Fast,
    /// Stops at once. The next start recovers the data.
    Immediate,
}

impl Server {
    /// Starts a server whose database `postgres` has the schema. Returns `None` if PostgreSQL isn't
    /// installed.
    pub(crate) async fn start() -> Option<Self> {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(settings: &[&str]) -> Option<Self> {
        let server = Self::start_empty(settings).await?;
        sql(&server.connect().await, tower_sse_postgres::SCHEMA).await;
        Some(server)
    }

    pub(crate) async fn start_empty(settings: &[&str]) -> Option<Self> {
        let directory = Directory::new("postgres");
        copy(&template()?, &directory.path().join("data"));
        own(directory.path());
        Some(Self::start_in(directory, settings).await)
    }

    /// Starts a server with the data directory `data` in this directory.
    pub(crate) async fn start_in(directory: Directory, settings: &[&str]) -> Self {
        let options = settings.iter().map(ToString::to_string).collect();
        let mut server = Self { process: None, port: free_port(), directory, options };
        server.restart().await;
        server
    }

    pub(crate) async fn restart(&mut self) {
        assert!(self.process.is_none());
        let mut command = program("postgres").unwrap();
        command.arg("-D").arg(self.data()).args(["-p", &self.port.to_string()]);
        let settings = [
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            // Safe, because tests kill the server but not the machine.
            "fsync=off",
            "max_connections=120",
            "max_prepared_transactions=5",
            "shared_buffers=32MB",
            "log_min_messages=fatal",
            "min_wal_size=2MB",
        ];
        for setting in settings.into_iter().chain(self.options.iter().map(String::as_str)) {
            command.args(["-c", setting]);
        }
        let log = fs::File::create(self.directory.path().join("log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        self.process = Some(command.spawn().unwrap());
        let deadline = Instant::now() + PATIENCE;
        while self.try_connect().await.is_err() {
            let exited = self.process.as_mut().unwrap().try_wait().unwrap();
            let log = || fs::read_to_string(self.directory.path().join("log"));
            assert!(exited.is_none() && Instant::now() < deadline, "{exited:?}: {:?}", log());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }

    #[allow(dead_code)] // The tests without feature `tls` set nothing.
    pub(crate) fn set(&mut self, setting: &str) {
        self.options.push(setting.to_owned());
    }

    /// Stops the process and waits until it has ended.
    pub(crate) fn stop(&mut self, how: Stop) {
        let Some(mut process) = self.process.take() else { return };
        let signal = if how == Stop::Fast { Signal::SIGINT } else { Signal::SIGQUIT };
        kill(id_of(&process), signal).unwrap();
        process.wait().unwrap();
    }

    /// Stops the process, copies its data, and starts the process again.
    pub(crate) async fn take_snapshot(&mut self) {
        self.stop(Stop::Immediate);
        copy(&self.data(), &self.path().join("snapshot"));
        self.restart().await;
    }

    pub(crate) async fn restart_with_snapshot(&mut self) {
        self.stop(Stop::Immediate);
        fs::remove_dir_all(self.data()).unwrap();
        copy(&self.path().join("snapshot"), &self.data());
        self.restart().await;
    }

    /// Suspends the main process and its client processes until they are [resumed](Self::resume).
    pub(crate) async fn freeze(&self) -> Vec<Pid> {
        let ids = "select pid from pg_stat_activity where backend_type = 'client backend'
            and pid <> pg_backend_pid()";
        let rows = self.connect().await.query(ids, &[]).await.unwrap();
        let mut ids: Vec<_> = rows.iter().map(|row| Pid::from_raw(row.get(0))).collect();
        let postmaster = id_of(self.process.as_ref().unwrap());
        ids.push(postmaster);
        ids.iter().for_each(|id| _ = kill(*id, Signal::SIGSTOP));
        waitpid(postmaster, Some(WaitPidFlag::WUNTRACED)).unwrap();
        ids
    }

    pub(crate) fn resume(&self, ids: &[Pid]) {
        ids.iter().for_each(|id| _ = kill(*id, Signal::SIGCONT));
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Returns the address for the superuser.
    pub(crate) fn address(&self) -> String {
        self.address_of("postgres")
    }

    pub(crate) fn address_of(&self, user: &str) -> String {
        format!("host=127.0.0.1 port={} user={user} dbname=postgres", self.port)
    }

    pub(crate) fn broker(&self) -> PostgresBroker {
        self.broker_of("tower_sse")
    }

    pub(crate) fn broker_of(&self, stream: &str) -> PostgresBroker {
        patient(Postgres::open(&self.address()).unwrap().broker(stream))
    }

    pub(crate) async fn connect(&self) -> Client {
        self.try_connect().await.unwrap()
    }

    async fn try_connect(&self) -> Result<Client, tokio_postgres::Error> {
        connect(&self.address()).await
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop(Stop::Immediate);
    }
}

/// Sets a publish deadline as long as tests wait. Some tests then set another one.
pub(crate) fn patient(broker: PostgresBroker) -> PostgresBroker {
    broker.publish_deadline(PATIENCE)
}

pub(crate) fn broker_at(address: &str) -> PostgresBroker {
    patient(Postgres::open(address).unwrap().broker("tower_sse"))
}

pub(crate) async fn connect(address: &str) -> Result<Client, tokio_postgres::Error> {
    let (client, connection) = tokio_postgres::connect(address, NoTls).await?;
    spawn(connection);
    Ok(client)
}

/// Runs statements and returns the first column of their rows, without nulls.
pub(crate) async fn sql(client: &Client, statements: &str) -> Vec<String> {
    let messages = client.simple_query(statements).await;
    let messages = messages.unwrap_or_else(|error| panic!("{statements}: {error:?}"));
    let rows = messages.into_iter().filter_map(|message| match message {
        SimpleQueryMessage::Row(row) if !row.is_empty() => row.get(0).map(str::to_owned),
        _ => None,
    });
    rows.collect()
}

fn id_of(process: &Child) -> Pid {
    Pid::from_raw(process.id().try_into().unwrap())
}

/// Returns a command for one of the server's programs. The command never runs as root.
pub(crate) fn program(name: &str) -> Option<Command> {
    let mut command = Command::new(directory_of_programs()?.join(name));
    if geteuid().is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    Some(command)
}

fn directory_of_programs() -> Option<PathBuf> {
    if let Some(directory) = env::var_os("TOWER_SSE_POSTGRES_BIN").map(PathBuf::from) {
        assert!(directory.join("initdb").is_file(), "no PostgreSQL in {}", directory.display());
        return Some(directory);
    }
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let debian = versions.map(|version| version.path().join("bin"));
    let path = env::var_os("PATH").unwrap_or_default();
    let mut directories = env::split_paths(&path).chain(debian);
    let programs = ["initdb", "pg_basebackup", "pg_ctl", "postgres"];
    let found = directories.find(|it| programs.iter().all(|program| it.join(program).is_file()));
    if found.is_none() {
        skip("no PostgreSQL server (initdb)");
    }
    found
}

/// Returns the data directory of a new cluster, created once and copied for each test.
fn template() -> Option<PathBuf> {
    static MAKING: Mutex<()> = Mutex::new(());
    let _making = MAKING.lock().unwrap();
    let version = program("postgres")?.arg("--version").output().unwrap().stdout;
    let version = String::from_utf8(version).unwrap();
    let name: String = version.chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let template = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name.trim_matches('-'));
    if !template.is_dir() {
        let directory = Directory::new("initdb");
        let made = directory.path().join("data");
        initdb(&directory, &["--encoding=UTF8"]);
        // Another test program may create the directory at the same time.
        let copied = template.with_extension(std::process::id().to_string());
        copy(&made, &copied);
        if fs::rename(&copied, &template).is_err() {
            fs::remove_dir_all(copied).unwrap();
        }
    }
    Some(template)
}

pub(crate) fn initdb(directory: &Directory, arguments: &[&str]) {
    own(directory.path());
    let mut command = program("initdb").unwrap();
    command.arg("-D").arg(directory.path().join("data"));
    command.args(["--username=postgres", "--auth=trust", "--no-sync", "--locale=C"]);
    // Small segments leave less to copy for each test.
    command.arg("--wal-segsize=1");
    let output = command.args(arguments).output().unwrap();
    assert!(output.status.success(), "{output:?}");
}

/// Copies a directory and keeps the owners of its files.
pub(crate) fn copy(from: &Path, to: &Path) {
    let copied = Command::new("cp").arg("-a").arg(from).arg(to).status();
    let failed = |error: io::Error| panic!("cp: {error}");
    assert!(copied.unwrap_or_else(failed).success());
}

/// Gives a file or directory to the user that the server runs as.
pub(crate) fn own(directory: &Path) {
    if geteuid().is_root() {
        chown(directory, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}
