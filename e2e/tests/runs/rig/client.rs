//! Clients in separate processes, which print the events that they receive.

use std::path::Path;

use super::*;

const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../e2e/tests/runs/clients");

#[derive(Clone, Copy)]
pub(crate) enum Packages {
    /// The clients that `.ci/run` installs, which need only Node 18.
    Few,
    /// The clients that `.ci/slow runs` installs.
    All,
}

impl Packages {
    /// Copies the scripts next to `node_modules`, where Node looks for their packages, and returns
    /// the directory of the copies.
    fn scripts(self) -> &'static Path {
        static DIRECTORIES: [OnceLock<PathBuf>; 2] = [OnceLock::new(), OnceLock::new()];
        let (directory, name) = match self {
            Self::Few => (&DIRECTORIES[0], "npm"),
            Self::All => (&DIRECTORIES[1], "npm-runs"),
        };
        directory.get_or_init(|| {
            let copy = target(name).join("scripts");
            fs::create_dir_all(&copy).unwrap();
            for script in fs::read_dir(SCRIPTS).unwrap() {
                let script = script.unwrap();
                fs::copy(script.path(), copy.join(script.file_name())).unwrap();
            }
            copy
        })
    }

    fn has(self, package: &str) -> bool {
        self.scripts().parent().unwrap().join("node_modules").join(package).is_dir()
    }
}

/// A client's process. It ends when its standard input is closed and is killed when dropped.
pub(crate) struct Client {
    name: String,
    program: Program,
    /// The text that the client has received.
    pub(crate) text: String,
}

impl Client {
    /// Starts the client with this name, with the service at this address. Returns `None` if
    /// its interpreter or its npm package is not installed.
    pub(crate) fn of(name: &str, packages: Packages, url: &str) -> Option<Self> {
        let node = |package, script, path| {
            Self::node(packages, package, script, &[&format!("{url}{path}")])
        };
        let python = |script, path| Self::python(script, &[&format!("{url}{path}")]);
        match name {
            "eventsource" => node("eventsource", "event_source.mjs", "/words/1"),
            "fetch" => node("@microsoft/fetch-event-source", "fetch_event_source.mjs", "/words/2"),
            "tanstack" => node("@tanstack/ai-client", "tanstack.mjs", "/ag-ui"),
            "openai" => node("openai", "openai.mjs", "/v1"),
            "openai-python" => python("openai_client.py", "/v1"),
            "langgraph" => node("@langchain/langgraph-sdk", "langgraph.mjs", ""),
            "langgraph-python" => python("langgraph_client.py", ""),
            "anthropic" => node("@anthropic-ai/sdk", "anthropic.mjs", ""),
            "genai" => node("@google/genai", "genai.mjs", ""),
            "ai-responses" => node("@ai-sdk/openai", "ai_responses.mjs", "/v1"),
            // All other names are versions of the AI SDK.
            _ => Self::node(packages, name, "ai_ask.mjs", &[name, &format!("{url}/chat")]),
        }
    }

    /// Starts a script that uses a package of npm. Returns `None` if Node or the package
    /// is missing.
    pub(crate) fn node(
        packages: Packages,
        package: &str,
        script: &str,
        arguments: &[&str],
    ) -> Option<Self> {
        let node = find(&["node", "nodejs"])?;
        if !packages.has(package) {
            skip(&format!("no {package}"));
            return None;
        }
        let mut command = Command::new(node);
        command.arg(packages.scripts().join(script)).args(arguments);
        Some(Self::spawn(script, command))
    }

    /// Starts a script that uses the packages of `requirements.txt`.
    pub(crate) fn python(script: &str, arguments: &[&str]) -> Option<Self> {
        let mut command = Command::new(find(&["python3"])?);
        command.arg(Path::new(SCRIPTS).join(script)).args(arguments);
        let paths = [target("python-runs"), target("python")];
        command.env("PYTHONPATH", std::env::join_paths(paths).unwrap());
        command.env("PYTHONUNBUFFERED", "1").env("PYTHONDONTWRITEBYTECODE", "1");
        Some(Self::spawn(script, command))
    }

    /// Starts a script that uses a package of PyPI that `.ci/run` installs. Returns `None` if
    /// Python or the package is missing.
    pub(crate) fn few_python(package: &str, script: &str, arguments: &[&str]) -> Option<Self> {
        installed(&format!("python/{package}"))?;
        Self::python(script, arguments)
    }

    fn spawn(name: &str, mut command: Command) -> Self {
        let (name, program) = (name.to_owned(), Program::start(&mut command));
        Self { name, program, text: String::new() }
    }

    /// Returns the client's next line, and records the text in it as received.
    pub(crate) async fn next(&mut self) -> Value {
        let line = self.program.line().await;
        let line = line.unwrap_or_else(|| panic!("{} has failed", self.name));
        let line: Value = serde_json::from_str(&line).unwrap();
        if let Some(word) = line["add"].as_str() {
            self.text.push_str(word);
        }
        line
    }

    pub(crate) async fn until_received(&mut self, bytes: usize) {
        while self.text.len() < bytes {
            let line = self.next().await;
            assert!(line["end"].is_null(), "{}: {line}", self.name);
        }
    }

    /// Waits until the client prints this member and returns it.
    pub(crate) async fn until(&mut self, member: &str) -> Value {
        loop {
            let mut line = self.next().await;
            if !line[member].is_null() {
                return line[member].take();
            }
            assert!(line["end"].is_null(), "{} waits for {member}: {line}", self.name);
        }
    }

    /// Waits for the client's end: `complete`, or the error that it received.
    pub(crate) async fn end(&mut self) -> String {
        self.until("end").await.as_str().unwrap().to_owned()
    }

    /// Lets the client take its next step.
    pub(crate) async fn go_on(&mut self) {
        self.program.write("").await;
    }
}
