//! The compiler, for snippets that use this crate.

use crate::*;

pub(crate) fn compile(snippet: &str) -> String {
    COMPILER.compile(&format!("{IMPORTS}{snippet}"))
}

/// The version of Rust whose errors the page on troubleshooting quotes. Other versions word them
/// differently.
const QUOTED_VERSION: &str = "1.95.";

pub(crate) fn is_quoted() -> bool {
    static IS_QUOTED: LazyLock<bool> = LazyLock::new(|| {
        let output = Command::new("rustc").arg("--version").output().unwrap();
        let version = String::from_utf8(output.stdout).unwrap();
        let is_quoted = version.starts_with(&format!("rustc {QUOTED_VERSION}"));
        if !is_quoted {
            println!("the quoted errors are those of Rust {QUOTED_VERSION}0, this is {version}");
        }
        is_quoted
    });
    *IS_QUOTED
}

const IMPORTS: &str = "
    use std::convert::Infallible;
    use axum::{Router, extract::Request, response::IntoResponse, routing::get};
    use futures_util::{Stream, StreamExt, stream};
    use tower::{Layer, service_fn};
    use tower_sse::*;
";

/// The compiler, with the newest builds of the crates that fit together. Several builds of this
/// crate can have the features of this test, each linked against its own build of `tower`. If cargo
/// has left only the metadata of that `tower`, an older build of this crate is tried.
static COMPILER: LazyLock<Compiler> = LazyLock::new(|| {
    let mut misfits = Vec::new();
    let compiler = Compiler::default().with(&CRATES, &mut misfits);
    compiler.unwrap_or_else(|| panic!("no builds fit together: {misfits:#?}"))
});

/// A check of the crate that was added to a compiler last. Returns what is wrong with the crate, or
/// an empty text.
type Misfit = fn(&Compiler) -> String;

const CRATES: [(&str, Misfit); 4] = [
    ("tower_sse", |compiler| {
        let imports = [
            (true, "use tower_sse::Event;"),
            (cfg!(feature = "hub"), "use tower_sse::hub::Hub;"),
            (cfg!(feature = "json"), "fn f() { _ = tower_sse::Event::new().json(&1); }"),
            (cfg!(feature = "runs"), "use tower_sse::runs::Runs;"),
            (cfg!(feature = "testing"), "use tower_sse::testing::TestClient;"),
        ];
        let printed = imports.iter().map(|(is_on, import)| (is_on, compiler.compile(import)));
        let wrong = printed.filter(|(is_on, printed)| printed.is_empty() != **is_on);
        wrong.map(|(is_on, printed)| format!("{is_on}: {printed}")).collect()
    }),
    ("futures_util", |compiler| {
        let stream = "futures_util::stream::empty::<tower_sse::Event>()";
        compiler.compile(&format!("fn f() {{ _ = tower_sse::response({stream}); }}"))
    }),
    ("tower", |compiler| {
        let service = "tower::service_fn(|_: ()| std::future::pending::<Result<(), ()>>())";
        let layer = "tower_sse::SseLayer::<tower_sse::layer::marker::Http>::new()";
        compiler.compile(&format!("fn f() {{ _ = tower::Layer::layer(&{layer}, {service}); }}"))
    }),
    ("axum", |compiler| {
        let part = "fn f(options: tower_sse::StreamOptions) -> impl axum::response::IntoResponse {
            (options, ())
        }";
        if compiler.compile(part).is_empty() != cfg!(feature = "axum") {
            return "tower_sse has another feature `axum`".to_owned();
        }
        compiler.compile(&format!("{IMPORTS}{BARE_STREAM}"))
    }),
];

/// A service that returns a bare stream, inside a layer of a kind that the compiler infers.
pub(crate) const BARE_STREAM: &str = "
    async fn events(_: Request) -> Result<stream::Empty<Event>, Infallible> { Ok(stream::empty()) }
    fn app() -> Router {
        let layer: SseLayer<_> = SseLayer::new();
        Router::new().route_service(\"/\", layer.layer(service_fn(events)))
    }
";

#[derive(Clone, Default)]
struct Compiler {
    externs: Vec<(&'static str, PathBuf)>,
}

impl Compiler {
    /// Adds the newest builds of these crates that fit together.
    fn with(&self, crates: &[(&'static str, Misfit)], misfits: &mut Vec<String>) -> Option<Self> {
        let Some(((name, misfit), others)) = crates.split_first() else {
            return Some(self.clone());
        };
        builds_of(name).into_iter().find_map(|build| {
            let mut compiler = self.clone();
            compiler.externs.push((name, build));
            let misfit = misfit(&compiler);
            if misfit.is_empty() {
                compiler.with(others, misfits)
            } else {
                misfits.push(format!("{name}: {misfit}"));
                None
            }
        })
    }

    fn compile(&self, source: &str) -> String {
        static COMPILED: AtomicU32 = AtomicU32::new(0);

        let name = format!("snippet{}", COMPILED.fetch_add(1, Relaxed));
        let directory = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let path = directory.join(&name).with_extension("rs");
        fs::write(&path, format!("#![allow(unused)]\n{source}")).unwrap();
        let mut rustc = Command::new("rustc");
        rustc
            .args(["--edition=2024", "--crate-type=lib", "--emit=metadata"])
            .arg(format!("-Ldependency={}", builds().display()))
            .arg(format!("--out-dir={}", directory.display()))
            .arg(path);
        for (name, build) in &self.externs {
            rustc.arg(format!("--extern={name}={}", build.display()));
        }
        String::from_utf8(rustc.output().unwrap().stderr).unwrap()
    }
}

fn builds() -> PathBuf {
    env::current_exe().unwrap().parent().unwrap().to_owned()
}

fn builds_of(name: &str) -> Vec<PathBuf> {
    let prefix = format!("lib{name}-");
    let mut builds: Vec<PathBuf> = fs::read_dir(builds())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rlib"))
        .filter(|path| path.file_name().unwrap().to_str().unwrap().starts_with(&prefix))
        .collect();
    builds.sort_by_key(|path| fs::metadata(path).unwrap().modified().unwrap());
    builds.reverse();
    builds
}
