//! The clients, by language. Their list is in `clients.txt`.

use std::{fs, process::Command};

use Language::{Debian, Go, Java, JavaScript, Python, Rust};

#[derive(Clone, Copy)]
pub(crate) enum Language {
    JavaScript,
    Python,
    Rust,
    Go,
    Java,
    Debian,
}

pub(crate) struct Client {
    language: Language,
    /// The package that has the client, or its runtime or language.
    package: &'static str,
    /// The driver's name for the client.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    /// What to set, or why nothing helps.
    pub(crate) remark: &'static str,
}

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/clients");
const HERE: &str = env!("CARGO_MANIFEST_DIR");

impl Client {
    pub(crate) fn command(&self) -> Vec<String> {
        let (root, here) = (ROOT, HERE);
        let words: Vec<String> = match self.language {
            JavaScript if self.package == "deno" => {
                let deno = format!("{root}/js/node_modules/.bin/deno");
                vec![
                    deno,
                    "run".into(),
                    "--allow-net".into(),
                    "--no-lock".into(),
                    format!("{here}/js/native.mjs"),
                ]
            }
            JavaScript => {
                let file = if self.package == "node" { "native" } else { "main" };
                vec![
                    format!("{root}/js/node_modules/node/bin/node"),
                    "--experimental-eventsource".into(),
                    format!("{root}/js/{file}.mjs"),
                ]
            }
            Python => vec!["python3".into(), format!("{here}/python/main.py")],
            Rust => vec![env!("CARGO_BIN_EXE_rust-clients").into()],
            Go => vec![format!("{root}/go/clients")],
            Java => vec![
                "java".into(),
                "-XX:TieredStopAtLevel=1".into(),
                "-Xmx512m".into(),
                "-cp".into(),
                format!("{root}/jvm/classes:{}", self.class_path()),
                "Main".into(),
            ],
            Debian => vec!["python3".into(), format!("{here}/debian/main.py")],
        };
        words
    }

    /// Returns the class path that `.ci/slow` wrote, without one of the two packages that implement
    /// JAX-RS: for RESTEasy without Jersey, otherwise without RESTEasy.
    fn class_path(&self) -> String {
        let all = fs::read_to_string(format!("{ROOT}/jvm/classpath")).expect("written by .ci/slow");
        let others = if self.package == "resteasy-client" {
            ["/jersey-", "/hk2-"]
        } else {
            ["/resteasy-"; 2]
        };
        let jars = all.trim().split(':').filter(|jar| !others.iter().any(|it| jar.contains(it)));
        jars.collect::<Vec<_>>().join(":")
    }

    pub(crate) fn version(&self) -> String {
        let found = match self.language {
            JavaScript => between(
                include_str!("../../js/package.json"),
                &format!("\"{}\": \"", self.package),
                "\"",
            ),
            Python => between(
                concat!(
                    include_str!("../../python/requirements.txt"),
                    include_str!("../../python/sseclient.txt")
                ),
                &format!("{}==", self.package),
                "\n",
            ),
            Rust => {
                let manifest = include_str!("../../Cargo.toml");
                let line =
                    manifest.lines().find(|line| line.split(' ').next() == Some(self.package));
                line.and_then(|line| between(line, "\"=", "\""))
            }
            Go => between(include_str!("../../go/go.mod"), &format!("{} ", self.package), "\n"),
            Java if self.package == "java" => Some("17".to_owned()),
            Java => between(
                include_str!("../../jvm/pom.xml"),
                &format!("<artifactId>{}</artifactId><version>", self.package),
                "<",
            ),
            Debian => {
                let query = Command::new("dpkg-query")
                    .args(["--show", "--showformat=${Version}", self.package])
                    .output();
                query.ok().map(|it| String::from_utf8_lossy(&it.stdout).into_owned())
            }
        };
        let found =
            found.map(|it| it.rsplit("-20210830082556-").next().unwrap_or_default().to_owned());
        found.unwrap_or_else(|| panic!("the version of {}", self.package))
    }
}

fn between(text: &str, start: &str, end: &str) -> Option<String> {
    let (_, rest) = text.split_once(start)?;
    rest.split_once(end).map(|(version, _)| version.trim().to_owned())
}

const ROWS: &str = include_str!("../../clients.txt");

pub(crate) fn clients() -> Vec<Client> {
    let rows = ROWS.lines().filter(|row| !row.starts_with('#'));
    rows.map(|row| {
        let mut cells = row.split('|').map(str::trim);
        let mut cell = || cells.next().unwrap_or_default();
        let language = match cell() {
            "JavaScript" => JavaScript,
            "Python" => Python,
            "Rust" => Rust,
            "Go" => Go,
            "Java" => Java,
            "Debian" => Debian,
            other => panic!("no language {other}: {row}"),
        };
        Client { language, package: cell(), name: cell(), title: cell(), remark: cell() }
    })
    .collect()
}
